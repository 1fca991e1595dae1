"""Stanford I2V's two tasks: scenes that show an image, and the seconds in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from jaxret.data.ground_truth.stanford_i2v import (
    I2VQueries,
    I2VQuery,
    write_refinement_results,
    write_scene_results,
)
from jaxret.errors import ConfigError, MediaError
from jaxret.files import write_atomically
from jaxret.index import MediaIndex
from jaxret.metrics import scene_retrieval_scores, temporal_refinement_jaccard
from jaxret.retrieval.encode import clip_rows, frame_vectors
from jaxret.retrieval.evaluate.report import Report
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.evaluate.settings import SceneEvaluation
from jaxret.retrieval.options import VectorSearch

if TYPE_CHECKING:
    from jaxret.models.encoder import VideoEncoder

__all__ = ["SCENE_FILE", "SPAN_FILE", "evaluate_stanford_i2v"]

SCENE_FILE, SPAN_FILE = "scene_retrieval.txt", "temporal_refinement.txt"
"""The result files, in the formats of the data set's own scorer."""

_KEPT = 100  # videos of a query that count, as published


def evaluate_stanford_i2v(index: MediaIndex, encoder: VideoEncoder, request: EvaluationRequest) -> Report:
    """Rank the videos of an index for each image, and find the seconds in those that show it.

    A video counts by its best shot, and the span of that shot is the answer within a video.

    Args:
      index: holds all videos of the ground truth, and may hold others. A video is known by the end of its path: the
        name in the ground truth, such as `20121002/PBS_segment/01.mp4`.
      encoder: of the index, one of shots.
      request: its queries are `I2VQueries`, its settings a `SceneEvaluation`. It has no options and cut-offs: videos
        are ranked by their best shots, and the first 100 count.

    Returns:
      `mAP` and `P@1` of scene retrieval (several videos can be right), `Jaccard` of temporal refinement, whose videos
      are given, and `queries`; see `jaxret.metrics.stanford_i2v`.

    Raises:
      ConfigError: the encoder is not one of shots, a video is not in the index or in it twice, options or cut-offs are
        given, or the result files cannot be written.
      MediaError: an image cannot be read.
    """
    queries: I2VQueries = request.queries
    settings = request.settings_of(SceneEvaluation)
    if request.options is not None:
        raise ConfigError("Stanford I2V ranks videos by their best shots: leave the options of a search out")
    if encoder.preprocessing.shots is None:
        raise ConfigError("Stanford I2V's images search shots, and this index was made by an encoder of chunks")
    names = _video_names(index, queries.truth)
    if settings.results is not None:
        _make_folder(settings.results)
    media = {}
    for number, vectors in frame_vectors(queries.images, encoder, threads=request.threads):
        if isinstance(vectors, MediaError):
            raise vectors
        media[number] = vectors
    result = index.search("clip", clip_rows(media, encoder).vectors, len(index), kinds=("video",))
    scenes: dict[int, list[str]] = {}
    spans: dict[int, dict[str, list[tuple[float, float]]]] = {}
    for row, query in enumerate(queries.truth):
        kept = result.ids[row] >= 0
        ids = result.ids[row][kept].tolist()
        scenes[query.number] = [names.get(id_, index.items[id_].key) for id_ in ids[:_KEPT]]
        best = zip(ids, result.starts[row][kept].tolist(), result.ends[row][kept].tolist(), strict=True)
        spans[query.number] = {
            names[id_]: [_whole_seconds(start, end)] for id_, start, end in best if names.get(id_) in query.spans
        }
    if settings.results is not None:
        with write_atomically(settings.results / SCENE_FILE) as partial:
            write_scene_results(partial, scenes)
        with write_atomically(settings.results / SPAN_FILE) as partial:
            write_refinement_results(partial, spans)
    scores = scene_retrieval_scores(list(scenes.values()), [query.spans for query in queries.truth], k=_KEPT)
    jaccard = temporal_refinement_jaccard(list(spans.values()), [query.spans for query in queries.truth])
    figures = {
        "mAP": float(scores.average_precision.mean),
        "P@1": float(scores.precision_at_1.mean),
        "Jaccard": float(np.mean(jaccard)),
        "queries": float(len(queries.truth)),
    }
    words = (
        f"Stanford I2V: videos by their best shots, the first {_KEPT} count; the span of the best shot in each video "
        "that shows the image"
    )
    return Report({"all": figures}, words, VectorSearch(), settings)


def _video_names(index: MediaIndex, truth: Sequence[I2VQuery]) -> dict[int, str]:
    """The videos of the ground truth by their numbers in the index."""
    wanted = {name: PurePosixPath(name).parts for query in truth for name in query.spans}
    by_file: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for number, item in enumerate(index.items):
        parts = Path(item.path or item.key).parts
        if item.kind == "video":
            by_file.setdefault(parts[-1], []).append((number, parts))
    found: dict[int, str] = {}
    for name, parts in wanted.items():
        numbers = [number for number, path in by_file.get(parts[-1], []) if path[-len(parts) :] == parts]
        if len(numbers) != 1:
            where = "in the index more than once" if numbers else "not in the index"
            raise ConfigError(f"the video {name} of the ground truth is {where}: index the whole data set, once")
        found[numbers[0]] = name
    return found


def _whole_seconds(start: float, end: float) -> tuple[float, float]:
    """The first and the last whole second that a shot is seen in; its end is not part of it."""
    return float(int(start)), float(max(int(start), int(np.ceil(end)) - 1))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"results: {folder} cannot be made: {error.strerror}") from error
