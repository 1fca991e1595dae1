"""Queries cropped from the videos of an index, with gaps, and changed more and more.

Y. Ma and D. Klabjan, "Semi-supervised 3D Video Information Retrieval with Deep Neural Network and Bi-directional
Dynamic-time Warping Algorithm", section 5.4: *by clip* the video that a query was cropped from is right, *by class*
the others of its class are, without those of its own source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.ground_truth.changed import ChangedVideos
from jaxret.data.ground_truth.cropped import CroppedQueries
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.errors import ConfigError
from jaxret.evaluation import GroupFigures, LabelProtocol, Ranking, chance_figures
from jaxret.index import MediaIndex
from jaxret.retrieval.evaluate.labelled_part import LabelledPart
from jaxret.retrieval.evaluate.query_media import QueryMedia
from jaxret.retrieval.evaluate.ranked_figures import (
    query_rows,
    ranked_figures,
    said_of_reranking,
    vector_ranking,
    vector_reranking,
)
from jaxret.retrieval.evaluate.report import Report
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.evaluate.settings import CroppedEvaluation
from jaxret.retrieval.matches import match_items
from jaxret.retrieval.options import SequenceSearch, SpaceName, VectorSearch

if TYPE_CHECKING:
    from jaxret.models.encoder import VideoEncoder

__all__ = ["CroppedVideos", "evaluate_cropped"]


@dataclasses.dataclass(frozen=True)
class CroppedVideos:
    """Queries that are cropped from the videos of an index.

    Attributes:
      count: videos that become queries, evenly chosen of the split test where the index has one, else of all.
      media: a data set that holds the videos; None: they are read from the files that were indexed.

    Raises:
      ConfigError: `count` is below 1.
    """

    count: int
    media: MediaDataset | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"cropped must be at least 1 video, got {self.count}")


def evaluate_cropped(index: MediaIndex, encoder: VideoEncoder, request: EvaluationRequest) -> Report:
    """mAP and P@1 by clip, and mAP by class, at each strength of the changes.

    Args:
      index: the gallery: its videos, in the clip space, or where it has codes and the options name no vectors, those.
      encoder: of the index.
      request: its queries are `CroppedVideos`, its settings a `CroppedEvaluation`, its options as for an evaluation by
        labels.

    Raises:
      ConfigError: no video of the index can be read, the encoder sees depth, which changes would leave as it is, or an
        option does not fit.
    """
    settings = request.settings_of(CroppedEvaluation)
    options: VectorSearch | SequenceSearch = VectorSearch() if request.options is None else request.options
    if encoder.preprocessing.depth is not None and any(settings.strengths):
        raise ConfigError("changes are of colours alone, and the encoder sees depth: give the strengths 0 alone")
    space: SpaceName = "clip"
    ranking = Ranking()
    if not isinstance(options, SequenceSearch):
        space, ranking = vector_ranking(index, options, None)
    measure = options.measure if isinstance(options, SequenceSearch) else ranking.distance
    gallery = LabelledPart.of(index.rows(space), index.items, lambda item: item.kind == "video")
    dataset, ids = _queried(index, request.queries)
    crops = CroppedQueries(
        dataset, videos=list(ids), crops=settings.runs, share=settings.share, seed=settings.query_seed
    )
    items = [index.items[ids[int(video)]] for video in crops.videos]
    figures: GroupFigures = {}
    chance: GroupFigures = {}
    remarks: dict[str, None] = {}  # which most strengths have in common
    for strength in settings.strengths:
        media = QueryMedia.read(_changed(crops, settings, strength), encoder, threads=request.threads)
        remarks |= dict.fromkeys(media.remarks)
        # Each query is the item that it was cropped from.
        queries = LabelledPart.of(query_rows(media.vectors, encoder, space), items, lambda item: True)
        if not len(queries.numbers):
            raise ConfigError(f"none of {len(ids)} videos gives a query{_first_reason(crops)}")
        group = f"strength {strength:g}"
        figures[group], chance[group] = {}, {}
        reranking = vector_reranking(index, encoder, options, gallery, queries, media.vectors)
        for by, (searching, searched, protocol) in _ways(queries, gallery).items():
            found = ranked_figures(searching, searched, options, ranking, protocol, reranking)
            figures[group] |= _named(found, by)
            chance[group] |= _named(chance_figures(searching.items, searched.items, protocol), by)
        figures[group]["queries"] = float(len(queries.numbers))
    changed = f"; changed: {', '.join(settings.changes)}" if any(settings.strengths) else ""
    words = (
        f"{space} space by {measure}{said_of_reranking(reranking)};"
        f" queries of {settings.runs} runs of frames of a video with gaps between, together"
        f" {settings.share:.0%} of its frames{changed}; {len(gallery.items)} videos are searched"
        f"{_fewer(index, ids, request.queries.count)}{_left_out(crops)}"
    )
    return Report(figures, words, options, settings, {"chance": chance}, remarks=list(remarks))


def _queried(index: MediaIndex, queries: CroppedVideos) -> tuple[MediaDataset, dict[int, int]]:
    """A data set, and which of its videos become queries: number in it -> id in the index."""
    dataset = queries.media
    if dataset is None:
        files = [item for item in index.items if item.kind == "video" and item.path is not None]
        dataset = MediaFiles(files, probe=False)
    ids = {number: index.id_of(key) for number, key in match_items(dataset, index).known.items()}
    ids = {number: id for number, id in ids.items() if index.items[id].kind == "video"}
    if not ids:
        raise ConfigError(
            f"{index.folder} holds no videos that are files, or none of those given: name the data that it was made of"
            " (--queries DATA)"
        )
    tested = [number for number, id in ids.items() if index.items[id].split == "test"] or list(ids)
    return dataset, {tested[place]: ids[tested[place]] for place in evenly_spaced(len(tested), queries.count)}


def _fewer(index: MediaIndex, ids: Mapping[int, int], wanted: int) -> str:
    """How many videos can be queries, where that is fewer than wanted."""
    if len(ids) >= wanted:
        return ""
    tested = {index.items[id].split for id in ids.values()} == {"test"}
    where = "the split test" if tested else "the index"
    return f"; {wanted} were wanted as queries, and {where} has {len(ids)}"


def _changed(crops: CroppedQueries, settings: CroppedEvaluation, strength: float) -> MediaDataset:
    if not strength:
        return crops
    return ChangedVideos(crops, settings.changes, strength, seed=settings.query_seed)


def _ways(queries: LabelledPart, gallery: LabelledPart) -> dict[str, tuple[LabelledPart, LabelledPart, LabelProtocol]]:
    """Queries, gallery and protocol of each way of being right."""
    by_clip = [_own_sources(part) for part in (queries, gallery)]
    return {
        "clip": (*by_clip, LabelProtocol((1,), relevant="source")),  # type: ignore[dict-item]
        "class": (queries, gallery, LabelProtocol((1,))),
    }


def _own_sources(part: LabelledPart) -> LabelledPart:
    """The same, where what an item shares its source with is itself alone."""
    return dataclasses.replace(part, items=[dataclasses.replace(item, source=item.key) for item in part.items])


def _named(figures: GroupFigures, by: str) -> dict[str, float]:
    row = figures.get("all", {})
    return {f"{name} by {by}": row[name] for name in ("mAP", "P@1") if name in row}


def _first_reason(crops: CroppedQueries) -> str:
    return f": {crops.skipped[0]}" if crops.skipped else ""


def _left_out(crops: CroppedQueries) -> str:
    return f"; {len(crops.skipped)} videos give no query{_first_reason(crops)}" if crops.skipped else ""
