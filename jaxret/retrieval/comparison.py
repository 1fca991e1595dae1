"""Why a query and a result match: which moments meet, or which places."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from jaxret.data.rows import Rows
from jaxret.rank import SequenceRanking, align_sequences
from jaxret.retrieval.region import Box

__all__ = ["RegionComparison", "SequenceComparison", "compare_rows"]

_MOST_ROWS = 200  # of a comparison: more are not told apart when it is drawn


@dataclasses.dataclass(frozen=True)
class SequenceComparison:
    """Two videos beside each other in time.

    Attributes:
      query_times: float64 (T,), seconds of the rows of the query: frames, or the middles of chunks.
      item_times: float64 (L,), likewise of the item.
      path: int64 (P, 2), which of them meet, in order of the query.
      distances: float32 (T, L), Euclidean, between all of them.
      backwards: whether one of the two was read backwards.
    """

    query_times: NDArray[np.float64]
    item_times: NDArray[np.float64]
    path: NDArray[np.int64]
    distances: NDArray[np.float32]
    backwards: bool


@dataclasses.dataclass(frozen=True)
class RegionComparison:
    """A region beside the place where it was found, in shares of the width and height of their images.

    Attributes:
      box: of the place; None where nothing of it was found.
      query_points: float64 (P, 2), x and y of key points, or of local features, of the region.
      points: float64 (P, 2), those of the place that agree with them; P is 0 where regions have vectors alone.
    """

    box: Box | None
    query_points: NDArray[np.float64]
    points: NDArray[np.float64]


def compare_rows(query: Rows, item: Rows, ranking: SequenceRanking) -> SequenceComparison:
    """Compare two videos row by row.

    Of more rows than can be told apart, 200, evenly spread ones are compared.

    Args:
      query, item: rows of one video each, at least one.
      ranking: how they are aligned.

    Raises:
      ValueError: the ranking aligns nothing.
    """
    query, item = _few(query), _few(item)
    own, other = (np.asarray(rows.vectors, np.float32) for rows in (query, item))
    found = align_sequences(own, other, ranking)
    a, b = own.astype(np.float64), other.astype(np.float64)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return SequenceComparison(
        (query.starts + query.ends) / 2,
        (item.starts + item.ends) / 2,
        found.path,
        np.sqrt(np.maximum(squares, 0)).astype(np.float32),
        found.match.backwards,
    )


def _few(rows: Rows) -> Rows:
    """Rows in order of time, evenly spread where there are many."""
    order = np.argsort(rows.starts, kind="stable")
    if len(order) > _MOST_ROWS:
        order = order[np.linspace(0, len(order) - 1, _MOST_ROWS).round().astype(np.int64)]
    return rows.take(order)
