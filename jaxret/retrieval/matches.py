"""From the results of a query's rows, one a frame or a chunk, to matches, one an item."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from jaxret import rank
from jaxret.embedding import Rows
from jaxret.index import Hit, MediaIndex, MediaSearchResult, Metric

__all__ = ["Match", "best_per_item", "chunk_matches", "mean_over_frames", "reranked"]


@dataclasses.dataclass(frozen=True)
class Match(Hit):
    """A result, with the span of the query that it answers.

    Attributes:
      query_start, query_end: seconds in the query; both 0 for a picture.
      metric: what `distance` is: "euclidean", "cosine" (1 - cosine similarity), or "hamming", the bits in which the
        codes differ. Matches of codes that were re-ranked have the Euclidean distance of their clip embeddings.
    """

    query_start: float = 0.0
    query_end: float = 0.0
    metric: Metric = "euclidean"


def chunk_matches(result: MediaSearchResult, rows: Rows, metric: Metric) -> list[Match]:
    """Every result of every row of the query as a match."""
    return [
        Match(
            hit.item,
            hit.distance,
            hit.start,
            hit.end,
            hit.cosine,
            query_start=float(rows.starts[row]),
            query_end=float(rows.ends[row]),
            metric=metric,
        )
        for row in range(len(rows.vectors))
        for hit in result.hits(row)
    ]


def best_per_item(matches: Iterable[Match], k: int, index: MediaIndex) -> list[Match]:
    """The k nearest of different items, by (distance, id) and then by the earlier span of the query."""
    best: dict[str, Match] = {}
    for match in sorted(matches, key=lambda m: (m.distance, index.id_of(m.item.key), m.query_start)):
        if match.item.key not in best and len(best) < k:
            best[match.item.key] = match
    return list(best.values())


def mean_over_frames(
    result: MediaSearchResult, rows: Rows, k: int, min_cosine: float | None, metric: Metric
) -> list[Match]:
    """The k nearest items by the mean of their distances to all frames of the query; their span covers the frames met.

    Args:
      result: the whole ranking of every frame.
      rows: the query's frames.
      k: items wanted.
      min_cosine: keep those whose mean cosine exceeds this; None for all.
      metric: of the result.
    """
    order = np.argsort(result.ids, axis=1, kind="stable")
    # Every frame ranks the same items, so sorted by id the columns are the items.
    ids = np.take_along_axis(result.ids, order, axis=1)[0]
    present = ids >= 0
    ids, order = ids[present], order[:, present]

    def by_item(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, order, axis=1)

    distances = by_item(result.distances).mean(axis=0, dtype=np.float64)
    cosines = None if result.cosines is None else by_item(result.cosines).mean(axis=0, dtype=np.float64)
    starts, ends = by_item(result.starts).min(axis=0), by_item(result.ends).max(axis=0)
    return [
        Match(
            result.found[int(ids[place])],
            float(distances[place]),
            float(starts[place]),
            float(ends[place]),
            None if cosines is None else float(cosines[place]),
            query_start=float(rows.starts.min()),
            query_end=float(rows.ends.max()),
            metric=metric,
        )
        for place in np.lexsort((ids, distances))[:k]
        if cosines is None or min_cosine is None or cosines[place] > min_cosine
    ]


def reranked(
    index: MediaIndex, candidates: npt.NDArray[np.int64], clips: Rows, k: int, threads: int | None
) -> list[Match]:
    """The k nearest of the candidates by Euclidean distance in the clip space, each at its best pair of chunks.

    With all items as candidates this is the search of the clip space. Only the candidates' vectors are read.

    Args:
      index: with a clip space.
      candidates: ids of items, at least one, each with rows in the clip space.
      clips: clip embeddings of the query's chunks.
      k: items wanted.
      threads: for the ranking kernel.
    """
    stored = index.rows("clip", candidates)
    vectors, owners = np.asarray(stored.vectors), np.asarray(stored.items)
    starts, ends = np.asarray(stored.starts), np.asarray(stored.ends)
    ranked = rank.euclidean_topk(clips.vectors, vectors, len(vectors), threads=threads)
    distances = np.empty_like(ranked.distances)  # (query chunks, rows), rows in the order of their items
    np.put_along_axis(distances, ranked.ids, ranked.distances, axis=1)
    first = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
    matches = []
    for begin, end in zip(first, [*first[1:], len(owners)], strict=True):
        # The first least is that of the earliest chunk of the query and, for it, of the earliest of the item.
        chunk, place = np.divmod(int(distances[:, begin:end].argmin()), end - begin)
        row = begin + place
        matches.append(
            Match(
                index.items[owners[row]],
                float(distances[chunk, row]),
                float(starts[row]),
                float(ends[row]),
                query_start=float(clips.starts[chunk]),
                query_end=float(clips.ends[chunk]),
            )
        )
    return best_per_item(matches, k, index)
