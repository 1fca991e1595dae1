"""How well screen photos of films find the film, the shot and the moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxret.data.ground_truth.films import FilmQueries
from jaxret.errors import ConfigError, MediaError
from jaxret.index import MediaIndex
from jaxret.retrieval.encode import clip_rows, frame_vectors
from jaxret.retrieval.evaluate.report import Report
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.evaluate.settings import FilmEvaluation
from jaxret.retrieval.hit import hits_of_rows
from jaxret.retrieval.options import VectorSearch
from jaxret.retrieval.systems.shots import with_best_frames

if TYPE_CHECKING:
    from jaxret.models.encoder import VideoEncoder

__all__ = ["evaluate_films"]


def evaluate_films(
    index: MediaIndex,
    encoder: VideoEncoder,
    request: EvaluationRequest,
) -> Report:
    """Search with screen photos for the videos of an index, each of which counts by its best shot.

    Args:
      index: holds the films, and may hold others.
      encoder: of the index, one of shots.
      request: its queries are `FilmQueries`, screen photos with the film and the time that each shows; its settings are
        a `FilmEvaluation`. It has no options and cut-offs: films are ranked by their best shots, to the end.

    Returns:
      `mAP` and `R@1` of finding the film (one film is right, so an average precision is 1 / its rank); `shot R@1`, the
      share whose best shot of all lies in the right film and shows the time; where the index keeps frames `moment R@1`,
      the share whose best frame of that shot does; and `queries`.

    Raises:
      ConfigError: the encoder is not one of shots, a film is not in the index (by the path of its file), or options or
        cut-offs are given.
      MediaError: a photo cannot be read.
    """
    queries: FilmQueries = request.queries
    settings = request.settings_of(FilmEvaluation)
    if request.options is not None:
        raise ConfigError("screen photos rank films by their best shots: leave the options of a search out")
    if encoder.preprocessing.shots is None:
        raise ConfigError("screen photos are queries for shots, and this index was made by an encoder of chunks")
    known = {path: number for number, path in enumerate(index.values("path"))}
    films = []
    for item in queries.films.items:
        path = str(Path(str(item.path)).resolve())
        if path not in known:
            raise ConfigError(f"the film {path} is not in the index")
        films.append(known[path])
    media = {}
    for number, vectors in frame_vectors(queries.photographs, encoder, threads=request.threads):
        if isinstance(vectors, MediaError):
            raise vectors
        media[number] = vectors
    rows = clip_rows(media, encoder)
    result = index.search("clip", rows.vectors, len(index), kinds=("video",))
    right = np.array(films)[queries.film_of]
    ranks = 1 + np.argmax(result.ids == right[:, None], axis=1)
    has_frames = "frame" in index.spaces
    best = hits_of_rows(result, rows, "euclidean", depth=1)
    shots, moments = [], []
    for number, (start, end) in enumerate(queries.spans.tolist()):
        start, end = start - settings.tolerance, end + settings.tolerance
        hit = best[number]
        in_film = int(result.ids[number, 0]) == right[number]
        shots.append(in_film and hit.start <= end and hit.end >= start)
        if has_frames:
            moment = with_best_frames(index, [hit], rows.vectors[number])[0].moment
            moments.append(in_film and moment is not None and start <= moment <= end)
    figures = {"mAP": np.mean(1 / ranks), "R@1": np.mean(ranks == 1), "shot R@1": np.mean(shots)}
    if has_frames:
        figures["moment R@1"] = np.mean(moments)
    found = {name: float(value) for name, value in figures.items()} | {"queries": float(len(ranks))}
    words = f"films by their best shots; a shot or moment may miss the time by {settings.tolerance:g} s"
    return Report({"all": found}, words, VectorSearch(), settings)
