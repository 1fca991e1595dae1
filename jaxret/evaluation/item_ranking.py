"""Rank whole items, each by its best pair of rows, for evaluation over a complete gallery."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret import rank
from jaxret.evaluation.ranking import Ranking

__all__ = ["ItemVectors", "rank_items"]

_SEARCHES = {"euclidean": rank.euclidean_topk, "cosine": rank.cosine_topk, "hamming": rank.hamming_topk}


@dataclasses.dataclass(frozen=True)
class ItemVectors:
    """Rows of vectors, or of packed codes, and the item that each belongs to.

    Attributes:
      vectors: (N, D) float32; for the distance `hamming` packed codes, uint8 (N, bits / 8).
      items: (N,) int64, item numbers 0 .. count-1, not decreasing.
      count: how many items there are; one without rows is never found and finds nothing.
    """

    vectors: npt.NDArray[Any]
    items: npt.NDArray[np.int64]
    count: int


def rank_items(
    queries: ItemVectors,
    gallery: ItemVectors,
    ranking: Ranking,
    *,
    excluded: npt.NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> rank.SearchResult:
    """The ranking of all gallery items for each query item.

    The distance between two items is that of their nearest rows. Exact, with O(Q * N) memory for Q query and
    N gallery items; large galleries belong into `jaxret.index`.

    Args:
      queries, gallery: rows and their items.
      ranking: the distance, PAR's threshold, and how many results to keep.
      excluded: bool (Q, N), pairs that are as if the gallery item did not exist. It is taken out before
        `depth` counts: PAR over 5 looks at the 5 nearest of what is left.
      threads: for the ranking kernels.

    Returns:
      ids (Q, depth), distances (Q, depth), ordered by (distance, id); id -1 where there is no more.

    Raises:
      TypeError: the rows are not floats, or for `hamming` not uint8.
      ValueError: the rows of queries and gallery differ in length, or a number is not finite.
    """
    depth = gallery.count if ranking.depth is None else min(ranking.depth, gallery.count)
    shape = (queries.count, gallery.count)
    best = np.full(shape, np.inf, np.float32)
    cosines = np.full(shape, -np.inf, np.float32)
    if len(queries.vectors) and len(gallery.vectors):
        _fill(best, cosines, queries, gallery, ranking, threads)
    if excluded is not None:
        best[excluded] = np.inf
    order = np.argsort(best, axis=1, kind="stable")[:, :depth]  # stable: ties fall to the smaller id
    distances = np.take_along_axis(best, order, axis=1)
    found = np.isfinite(distances)
    if ranking.distance != "par":
        return rank.SearchResult(np.where(found, order, -1), distances)
    assert ranking.min_cosine is not None
    found &= np.take_along_axis(cosines, order, axis=1) > ranking.min_cosine
    # What passes the threshold moves left and keeps its order.
    packed = np.argsort(~found, axis=1, kind="stable")
    order, distances, found = (np.take_along_axis(a, packed, axis=1) for a in (order, distances, found))
    return rank.SearchResult(np.where(found, order, -1), np.where(found, distances, np.float32(np.inf)))


def _fill(
    best: npt.NDArray[np.float32],
    cosines: npt.NDArray[np.float32],
    queries: ItemVectors,
    gallery: ItemVectors,
    ranking: Ranking,
    threads: int | None,
) -> None:
    """Write, for each pair of items, the smallest distance of their rows and that pair's cosine similarity."""
    rows = len(gallery.vectors)
    result: rank.SearchResult
    if ranking.distance == "par":
        result = par = rank.par(queries.vectors, gallery.vectors, rows, -2.0, threads=threads)
        row_cosines = par.cosines
    else:
        result = _SEARCHES[ranking.distance](queries.vectors, gallery.vectors, rows, threads=threads)
        row_cosines = result.distances
    for row, item in enumerate(queries.items):
        owners = gallery.items[result.ids[row]]
        # Rows come nearest first, so an item's first row is its best: written last, it stays.
        nearer = np.full(gallery.count, np.inf, np.float32)
        affinity = np.full(gallery.count, -np.inf, np.float32)
        nearer[owners[::-1]] = result.distances[row, ::-1]
        affinity[owners[::-1]] = row_cosines[row, ::-1]
        better = nearer < best[item]
        best[item] = np.where(better, nearer, best[item])
        cosines[item] = np.where(better, affinity, cosines[item])
