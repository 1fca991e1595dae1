"""Rank whole items, each by its best pair of rows, for evaluation over a complete gallery."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret import rank
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.evaluation.ranking import Ranking

__all__ = ["Reranking", "above", "in_order", "nearest_with_cosines", "rank_items", "reranked"]

_PAIRS_AT_ONCE = 1 << 24
"""Of rows, ranked at once: some 60 bytes each, and on every further thread."""
_ALONE = 4
"""How many times as long a pair of rows takes where a query is measured by itself, against its own copy of rows."""


def rank_items(
    queries: Rows,
    gallery: Rows,
    ranking: Ranking,
    *,
    excluded: npt.NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> rank.SearchResult:
    """The ranking of all gallery items for each query item.

    The distance between two items is that of their nearest rows. Exact, with O(Q * N) memory for Q query and
    N gallery items; large galleries belong into `jaxret.index`.

    Args:
      queries, gallery: rows in order of their items, float32 or, for a distance of codes, packed codes. An item
        without rows is never found, and finds nothing.
      ranking: the distance, PAR's threshold, and how many results to keep.
      excluded: bool (Q, N), pairs that are as if the gallery item did not exist. It is taken out before
        `depth` counts: PAR over 5 looks at the 5 nearest of what is left.
      threads: for the ranking kernels.

    Returns:
      ids (Q, depth), distances (Q, depth), ordered by (distance, id); id -1 where there is no more.

    Raises:
      TypeError: the rows are not floats, or for a distance of codes not uint8.
      ValueError: the rows of queries and gallery differ in length, or a number is not finite.
    """
    ranked, cosines = _ranked(queries, gallery, ranking, excluded, threads)
    return ranked if ranking.min_cosine is None else above(ranked, cosines, ranking.min_cosine)


@dataclasses.dataclass(frozen=True)
class Reranking:
    """What puts the first results of a ranking, such as one by codes, in order again.

    Attributes:
      count: how many results.
      queries, gallery: float32 rows of the items that are ranked.

    Raises:
      ConfigError: the count is below 1.
    """

    count: int
    queries: Rows
    gallery: Rows

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"count of a reranking must be at least 1, got {self.count}")


def reranked(ranked: rank.SearchResult, by: Reranking, *, threads: int | None = None) -> rank.SearchResult:
    """The first results of each query by the Euclidean distance of their nearest rows; the others follow as they were.

    Only those first results are measured, unless they are a large part of the gallery.

    Args:
      ranked: ids (Q, depth) of the gallery's items.
      by: rows of Q queries and of the gallery.
      threads: for the ranking kernels.

    Returns:
      The same ids. Distances are Euclidean, and infinite of what is not put in order again.

    Raises:
      TypeError, ValueError: as of `rank_items`.
    """
    ids, distances = ranked.ids.copy(), np.full(ranked.ids.shape, np.inf, np.float32)
    step = 1 if by.count * _ALONE < by.gallery.n_items else max(1, len(ids))
    for part in (slice(start, start + step) for start in range(0, len(ids), step)):
        head = ranked.ids[part, : by.count]
        found = head >= 0
        measured = np.zeros(by.gallery.n_items, bool)
        measured[head[found]] = True
        if not measured.any():
            continue
        queries = by.queries.of_items(np.arange(part.start, part.start + len(head)))
        best, _ = _tables(queries, by.gallery.of_items(np.flatnonzero(measured)), Ranking(), threads)
        places = (np.cumsum(measured) - 1)[head]
        nearest = np.where(found, np.take_along_axis(best, places, axis=1), np.float32(np.inf))
        order = np.lexsort((np.where(found, head, by.gallery.n_items), nearest))  # ties fall to the smaller id
        ids[part, : by.count] = np.take_along_axis(head, order, axis=1)
        distances[part, : by.count] = np.take_along_axis(nearest, order, axis=1)
    return rank.SearchResult(ids, distances)


def nearest_with_cosines(
    queries: Rows,
    gallery: Rows,
    depth: int,
    *,
    excluded: npt.NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> tuple[rank.SearchResult, npt.NDArray[np.float32]]:
    """The nearest items by Euclidean distance and their cosine similarities: what PAR filters by a threshold.

    Args:
      queries, gallery, excluded, threads: as for `rank_items`.
      depth: results wanted, at least 1.

    Returns:
      ids and distances (Q, depth), and float32 (Q, depth) cosines of the nearest rows, -inf where there is no result.
    """
    return _ranked(queries, gallery, Ranking(min_cosine=-2.0, depth=depth), excluded, threads)


def above(ranked: rank.SearchResult, cosines: npt.NDArray[np.float32], threshold: float) -> rank.SearchResult:
    """The results whose cosine exceeds a threshold: they move left and keep their order."""
    kept = (ranked.ids >= 0) & (cosines > threshold)
    ids, distances = np.where(kept, ranked.ids, -1), np.where(kept, ranked.distances, np.float32(np.inf))
    packed = np.argsort(~kept, axis=1, kind="stable")
    return rank.SearchResult(np.take_along_axis(ids, packed, axis=1), np.take_along_axis(distances, packed, axis=1))


def _ranked(
    queries: Rows,
    gallery: Rows,
    ranking: Ranking,
    excluded: npt.NDArray[np.bool_] | None,
    threads: int | None,
) -> tuple[rank.SearchResult, npt.NDArray[np.float32]]:
    """The ranking before PAR's threshold, and the cosines of its results where there is one."""
    depth = gallery.n_items if ranking.depth is None else min(ranking.depth, gallery.n_items)
    best, cosines = _tables(queries, gallery, ranking, threads)
    ranked = in_order(best, excluded, depth)
    of_results = np.take_along_axis(cosines, np.maximum(ranked.ids, 0), axis=1)
    return ranked, np.where(ranked.ids >= 0, of_results, np.float32(-np.inf))


def in_order(
    distances: npt.NDArray[np.float32], excluded: npt.NDArray[np.bool_] | None, depth: int | None = None
) -> rank.SearchResult:
    """The ranking that a table of distances gives, by (distance, id).

    Args:
      distances: (Q, N); what is infinite is not found. Where something is excluded it is written to.
      excluded: bool (Q, N), pairs that are as if the gallery item did not exist.
      depth: results kept; None for all.
    """
    if excluded is not None:
        distances[excluded] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :depth]  # stable: ties fall to the smaller id
    ranked = np.take_along_axis(distances, order, axis=1)
    return rank.SearchResult(np.where(np.isfinite(ranked), order, -1), ranked)


def _tables(
    queries: Rows, gallery: Rows, ranking: Ranking, threads: int | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each pair of items the smallest distance of their rows and that pair's cosine similarity, each (Q, N)."""
    shape, rows = (queries.n_items, gallery.n_items), len(gallery.vectors)
    best, cosines = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)
    step = max(1, _PAIRS_AT_ONCE // max(1, rows))
    for start in range(0, len(queries.vectors) if rows else 0, step):
        part = slice(start, start + step)
        _fill_part(best, cosines, queries.vectors[part], queries.items[part], gallery, ranking, threads)
    return best, cosines


def _fill_part(
    best: npt.NDArray[np.float32],
    cosines: npt.NDArray[np.float32],
    vectors: npt.NDArray[Any],
    items: npt.NDArray[np.int64],
    gallery: Rows,
    ranking: Ranking,
    threads: int | None,
) -> None:
    rows = len(gallery.vectors)
    result: rank.SearchResult
    if ranking.min_cosine is not None:
        result = par = rank.par(vectors, gallery.vectors, rows, -2.0, threads=threads)
        row_cosines = par.cosines
    else:
        result = rank.METRICS[ranking.distance].topk(vectors, gallery.vectors, rows, threads=threads)
        row_cosines = result.distances
    for row, item in enumerate(items):
        owners = gallery.items[result.ids[row]]
        # Rows come nearest first, so an item's first row is its best: written last, it stays.
        nearer = np.full(gallery.n_items, np.inf, np.float32)
        affinity = np.full(gallery.n_items, -np.inf, np.float32)
        nearer[owners[::-1]] = result.distances[row, ::-1]
        affinity[owners[::-1]] = row_cosines[row, ::-1]
        better = nearer < best[item]
        best[item] = np.where(better, nearer, best[item])
        cosines[item] = np.where(better, affinity, cosines[item])
