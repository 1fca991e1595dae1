"""How to search for an instance, and what a search gives: of each item the best of its pictures, with the place."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.index import Hit
from jaxret.retrieval.systems.base import InstanceGallery, Located
from jaxret.retrieval.systems.region import Box

__all__ = ["InstanceMatch", "InstanceRanking", "Search", "best_of_items", "first_of_each"]


@dataclasses.dataclass(frozen=True)
class InstanceMatch(Hit):
    """A result: `start` = `end` is the moment of a video's frame.

    Attributes:
      box: left, top, right, bottom in pixels of the picture, where the query was found; None where nothing of it was,
        or where the picture was not among those that were re-ranked.
      size: (height, width) of the picture.
      inliers: key points that agree on one transform of the query; None where that was not asked.
    """

    box: Box | None = None
    size: tuple[int, int] = (0, 0)
    inliers: int | None = None


@dataclasses.dataclass(frozen=True)
class Search:
    """How to search.

    Attributes:
      rerank: candidates of the first pass that the query is looked for in, at least 0: so many nearest pictures and
        frames, and of so many nearest videos the nearest frame at least; 0 leaves their order, without boxes.
      weighted: weight words by how rare they are (idf), and channels of region vectors likewise.
      centre: weight the words of the gallery by how near to the centre of their picture they are; the first pass alone.
      surroundings: let words around the box ask too, less the further away: the standard deviation as a share of the
        box's diagonal; 0: those inside alone. It needs a box.
      expand: ask once more with the mean of the query and of its so many best results, at least 0.
      verify: put the re-ranked results in order by key points that agree on one transform (SIFT words, extra `opencv`).
      min_words: places or key points that a box must hold, at least 1.

    Raises:
      ValueError: a setting is out of range or does not fit the others.
    """

    rerank: int = 100
    weighted: bool = False
    centre: bool = False
    surroundings: float = 0.0
    expand: int = 0
    verify: bool = False
    min_words: int = 1

    def __post_init__(self) -> None:
        for name, title, least in (("rerank", "candidates", 0), ("expand", "expand", 0), ("min_words", "min_words", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{title} must be a whole number of at least {least}, got {value!r}")
        if not 0 <= self.surroundings < float("inf"):
            raise ValueError(f"surroundings must be a finite number of at least 0, got {self.surroundings!r}")
        if self.expand > self.rerank:
            raise ValueError(
                f"expand takes from the candidates that are re-ranked, {self.rerank} of them: it must be no more, "
                f"got {self.expand}"
            )
        if self.verify and not self.rerank:
            raise ValueError("verify looks at the candidates that are re-ranked: ask for more than 0")


@dataclasses.dataclass(frozen=True, eq=False)
class InstanceRanking:
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


def best_of_items(
    gallery: InstanceGallery[Any], order: NDArray[np.int64], first: NDArray[np.float32], found: Located | None
) -> InstanceRanking:
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
    return InstanceRanking(gallery.items[rows], distances[rows], rows, boxes[rows], inliers[rows])


def first_of_each(items: NDArray[np.int64]) -> NDArray[np.intp]:
    """The places where each item is named first, in order."""
    _, places = np.unique(items, return_index=True)
    return np.sort(places)
