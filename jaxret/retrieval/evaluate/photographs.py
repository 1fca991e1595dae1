"""How well photographs of films find the film, the shot and the moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxret.data.ground_truth.films import FilmQueries
from jaxret.errors import ConfigError, MediaError
from jaxret.retrieval.encode import clip_rows, frame_vectors
from jaxret.retrieval.retriever import Retriever
from jaxret.retrieval.systems.matches import Match
from jaxret.retrieval.systems.shots import with_best_frames

__all__ = ["evaluate_photographs"]


def evaluate_photographs(
    retriever: Retriever, queries: FilmQueries, *, tolerance: float = 1.0, threads: int = 2
) -> dict[str, float]:
    """Let photographs ask for the videos of an index, each of which counts by its best shot.

    Args:
      retriever: of an encoder of shots; its index holds the films, and may hold others.
      queries: photographs, with the film and the time that each shows.
      tolerance: seconds by which a shot or a moment may miss that time.
      threads: photographs decoded at once.

    Returns:
      `mAP` and `R@1` of finding the film (one film is right, so an average precision is 1 / its rank); `shot R@1`, the
      share whose best shot of all lies in the right film and shows the time; where the index keeps frames `moment R@1`,
      the share whose best frame of that shot does; and `queries`.

    Raises:
      ConfigError: the encoder is not one of shots, or a film is not in the index (by the path of its file).
      MediaError: a photograph cannot be read.
      ValueError: the tolerance is negative.
    """
    if not retriever.finds_shots:
        raise ConfigError("photographs ask for shots, and this index was made by an encoder of chunks")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0 seconds, got {tolerance!r}")
    index = retriever.index
    known = {item.path: number for number, item in enumerate(index.items)}
    films = []
    for item in queries.films.items:
        path = str(Path(str(item.path)).resolve())
        if path not in known:
            raise ConfigError(f"the film {path} is not in the index")
        films.append(known[path])
    media = {}
    for number, vectors in frame_vectors(queries.photographs, retriever.encoder, threads=threads):
        if isinstance(vectors, MediaError):
            raise vectors
        media[number] = vectors
    rows = clip_rows(media, retriever.encoder)
    result = index.search("clip", rows.vectors, len(index), kinds=("video",))
    right = np.array(films)[queries.film_of]
    ranks = 1 + np.argmax(result.ids == right[:, None], axis=1)
    shots, moments = [], []
    for query, (start, end) in enumerate(queries.spans.tolist()):
        best = result.hits(query)[0]
        match = Match(best.item, best.distance, best.start, best.end)
        in_film = int(result.ids[query, 0]) == right[query]
        shots.append(in_film and match.start <= end + tolerance and match.end >= start - tolerance)
        if retriever.has_frames:
            moment = with_best_frames(index, [match], rows.vectors[query])[0].moment
            moments.append(in_film and moment is not None and start - tolerance <= moment <= end + tolerance)
    figures = {"mAP": np.mean(1 / ranks), "R@1": np.mean(ranks == 1), "shot R@1": np.mean(shots)}
    if retriever.has_frames:
        figures["moment R@1"] = np.mean(moments)
    return {name: float(value) for name, value in figures.items()} | {"queries": float(len(ranks))}
