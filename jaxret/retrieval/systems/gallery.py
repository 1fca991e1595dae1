"""The rows of an index of regions, and the two passes over them: whole rows first, then the place in the best."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxret.data.rows import Rows
from jaxret.index import MediaIndex
from jaxret.rank import first_of_each
from jaxret.retrieval.options import RegionSearch
from jaxret.retrieval.region import Box

__all__ = ["Gallery", "Located", "PassQueries", "RegionRanking", "best_of_items", "rank_rows"]

Query = TypeVar("Query")


@dataclasses.dataclass(frozen=True, eq=False)
class PassQueries(Generic[Query]):
    """What both passes of a search compare.

    Attributes:
      region: what is looked for in the candidates.
      first: what the first pass compares: the same, or the whole image that the region lies in.
    """

    region: Query
    first: Query


@dataclasses.dataclass(frozen=True, eq=False)
class Located:
    """Rows with the place in each where a query was found, best first.

    Attributes:
      rows: int64 (K,), of the gallery.
      distances: float32 (K,), 1 - cosine of the best place.
      boxes: float64 (K, 4), left, top, right, bottom in shares of width and height; NaN where nothing was found.
      inliers: int64 (K,), key points that agree on one transform; None without verification.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float32]
    boxes: NDArray[np.float64]
    inliers: NDArray[np.int64] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class RegionRanking:
    """A ranking of all items of an index, or of all of some kinds: one row an item, the best of its rows.

    Attributes:
      ids: int64 (n,), items, nearest first; the re-ranked ones before the others.
      distances: float32 (n,). Those of re-ranked items are of the place found, and need not go on from where the
        others' begin.
      rows: int64 (n,), of the gallery.
      boxes: float64 (n, 4) in shares of width and height; NaN where there is none.
      inliers: int64 (n,), -1 where they were not counted.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float32]
    rows: NDArray[np.int64]
    boxes: NDArray[np.float64]
    inliers: NDArray[np.int64]


class Gallery(abc.ABC, Generic[Query]):
    """The rows of an index that queries are compared with, as they are when it is made.

    Args:
      index: whose spaces have the same rows.
      space: one of them.

    Attributes:
      items: int64 (N,), the id of the item that each row belongs to, not decreasing.
    """

    def __init__(self, index: MediaIndex, space: str):
        self.index = index
        self.items: NDArray[np.int64] = np.repeat(np.arange(len(index)), index.rows_per_item(space))

    def stored(self, space: str, rows: NDArray[np.int64]) -> Rows:
        """What a space holds of some rows, in that order; only their items are read."""
        read = self.index.rows(space, np.unique(self.items[rows]))
        # Counted from the first row of each item, in the gallery and among those read.
        positions = np.searchsorted(read.items, self.items[rows])
        positions += rows - np.searchsorted(self.items, self.items[rows])
        return read.take(positions)

    @abc.abstractmethod
    def distances(self, query: Query, *, idf: bool, centre: bool) -> NDArray[np.float32]:
        """1 - cosine of the query with every row as a whole, (N,)."""

    @abc.abstractmethod
    def locate(self, query: Query, rows: NDArray[np.int64], *, idf: bool) -> Located:
        """Look for the query in these rows; best first, by (distance, row)."""

    @abc.abstractmethod
    def expanded(self, query: Query, found: Located, *, idf: bool) -> Query:
        """The mean of the query and what it found (average query expansion, Chum et al., ICCV 2007)."""

    def agreeing(self, query: Query, row: int, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points of the query, and those that agree with them in a place of a row: (P, 2) each, x and y in shares. None
        where regions have vectors alone.

        Args:
          query: it.
          row: where it was found.
          box: the place, in shares.
        """
        return np.zeros((0, 2)), np.zeros((0, 2))

    def verified(self, query: Query, found: Located) -> Located:
        """What was found in the order of the key points that agree with one affine transform of the query; of systems
        that have `key_points`.
        """
        raise NotImplementedError


def rank_rows(
    gallery: Gallery[Query], rows: NDArray[np.int64], query: PassQueries[Query], options: RegionSearch
) -> tuple[NDArray[np.int64], NDArray[np.float32], Located | None]:
    """These rows in order, the distances of all rows, and of the candidates the places in them."""
    first = gallery.distances(query.first, idf=options.idf, centre=options.centre)
    order = rows[np.argsort(first[rows], kind="stable")]
    if not options.candidates or not len(order):
        return order, first, None
    # The frames of one long video may be the nearest rows of all, and other videos want their place shown, too.
    best = order[first_of_each(gallery.items[order])][: options.candidates]
    nearest = np.union1d(order[: options.candidates], best)
    return order, first, gallery.locate(query.region, nearest, idf=options.idf)


def best_places(gallery: Gallery[Query], query: Query, found: Located, options: RegionSearch) -> Located:
    """The places that a query is expanded by: the best ones, where results are verified of those alone whose key points
    agree with the query (Chum et al. 2007).
    """
    count = options.expand
    if options.verify:
        found = gallery.verified(query, found)
        assert found.inliers is not None
        count = min(count, int((found.inliers > 0).sum()))
    return Located(found.rows[:count], found.distances[:count], found.boxes[:count])


def best_of_items(
    gallery: Gallery[Any], order: NDArray[np.int64], first: NDArray[np.float32], found: Located | None
) -> RegionRanking:
    """Of each item its best row: of those that were re-ranked, or else of the first pass.

    Args:
      gallery: whose rows they are.
      order: int64 (n,), the rows that take part, nearest first.
      first: float32 (N,), distances of all rows.
      found: those that were re-ranked, if any.
    """
    distances, boxes = first.copy(), np.full((len(first), 4), np.nan)
    inliers = np.full(len(first), -1, np.int64)
    if found is not None:
        rest = np.ones(len(first), bool)
        rest[found.rows] = False
        order = np.concatenate([found.rows, order[rest[order]]])
        distances[found.rows], boxes[found.rows] = found.distances, found.boxes
        if found.inliers is not None:
            inliers[found.rows] = found.inliers
    rows = order[first_of_each(gallery.items[order])]
    return RegionRanking(gallery.items[rows], distances[rows], rows, boxes[rows], inliers[rows])
