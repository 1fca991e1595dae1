"""Where in a video: several of its places as results of their own, and the frame of a shot that a picture shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from jaxret import rank
from jaxret.data.rows import Rows
from jaxret.index import MediaIndex
from jaxret.retrieval.systems.matches import Match

__all__ = ["by_best_frame", "matches_of_every_clip", "with_best_frames"]


def matches_of_every_clip(
    index: MediaIndex,
    query: Rows,
    k: int,
    metric: str,
    *,
    kinds: Collection[str] | None,
    threads: int | None,
) -> list[Match]:
    """The k nearest chunks or shots, several of one item among them, each by the nearest row of the query.

    By (distance, id, start).

    Args:
      index: with a clip space.
      query: clip vectors.
      k: results wanted.
      metric: of vectors, a name in `jaxret.rank.METRICS`.
      kinds: of items that may be found; None for all.
      threads: for the ranking kernel.
    """
    wanted = np.flatnonzero(index.searchable("clip", kinds))
    stored = index.rows("clip", wanted)
    vectors, owners = np.asarray(stored.vectors, np.float32), np.asarray(stored.items)
    starts, ends = np.asarray(stored.starts), np.asarray(stored.ends)
    if not len(vectors):
        return []
    # A row that is among the k best of all is among the k best of the row of the query that found it.
    result = rank.METRICS[metric].topk(query.vectors, vectors, min(k, len(vectors)), threads=threads)
    asking = np.broadcast_to(np.arange(len(query.vectors))[:, None], result.ids.shape)
    order = np.lexsort((asking.ravel(), result.ids.ravel(), result.distances.ravel()))
    found: dict[int, Match] = {}
    for place in order.tolist():
        row, asked = int(result.ids.ravel()[place]), int(asking.ravel()[place])
        if row < 0 or row in found or len(found) == k:
            continue
        found[row] = Match(
            index.items[owners[row]],
            float(result.distances.ravel()[place]),
            float(starts[row]),
            float(ends[row]),
            query_start=float(query.starts[asked]),
            query_end=float(query.ends[asked]),
            metric=metric,
        )
    return list(found.values())


def with_best_frames(index: MediaIndex, matches: Sequence[Match], picture: npt.NDArray[np.float32]) -> list[Match]:
    """The matches, those in videos with the frame within their span that is nearest to the picture.

    Args:
      index: with a frame space.
      matches: of the picture.
      picture: (D,), its frame vector.

    Returns:
      As many, in the same order; `moment` and `moment_distance` are set where the item has frames in the span.
    """
    completed = []
    of_item: dict[str, Rows] = {}  # several matches can lie in one film, and its frames are many
    for match in matches:
        key = match.item.key
        if key not in of_item:
            of_item[key] = index.rows("frame", np.array([index.id_of(key)], np.int64))
        frames = of_item[key]
        times = frames.starts
        inside = np.flatnonzero((times >= match.start) & (times < match.end))
        if not len(inside):
            completed.append(match)
            continue
        vectors = np.asarray(frames.vectors, np.float32)[inside]
        metric = match.metric if match.metric in rank.metrics_of("float32") else "euclidean"
        nearest = rank.METRICS[metric].topk(picture[None], vectors, 1)
        completed.append(
            dataclasses.replace(
                match,
                moment=float(times[inside[nearest.ids[0, 0]]]),
                moment_distance=float(nearest.distances[0, 0]),
            )
        )
    return completed


def by_best_frame(index: MediaIndex, matches: Sequence[Match]) -> list[Match]:
    """Matches in the order of their best frames, whose distance is then theirs; one without frames keeps its own.

    Ties by id and time.
    """
    measured = [
        match if match.moment_distance is None else dataclasses.replace(match, distance=match.moment_distance)
        for match in matches
    ]
    return sorted(measured, key=lambda match: (match.distance, index.id_of(match.item.key), match.start))
