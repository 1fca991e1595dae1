"""Results at equal distance, and what is expected when their order is drawn at random.

The closed forms follow McSherry and Najork, "Computing information retrieval performance measures efficiently
in the presence of tied scores", ECIR 2008.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from jaxret.metrics.ranked_relevance import RankedRelevance

__all__ = ["TieGroups", "Ties", "require_ties", "tie_groups"]

Ties = Literal["id", "average"]
"""`id`: results at equal distance stay in the order given, which jaxret.rank makes (distance, id).
`average`: the expected value over all orders of results at equal distance."""


@dataclasses.dataclass(frozen=True)
class TieGroups:
    """For each of n results of one query, in order, the group of equal distances it belongs to.

    Attributes:
      size: int (n,), results in the group.
      relevant: int (n,), relevant ones among them.
      before: int (n,), results ahead of the group.
      relevant_before: int (n,), relevant ones among those.
      place: int (n,), 1-based place within the group.
      mean_gain: float (n,), mean gain of the group.
    """

    size: NDArray[np.int64]
    relevant: NDArray[np.int64]
    before: NDArray[np.int64]
    relevant_before: NDArray[np.int64]
    place: NDArray[np.int64]
    mean_gain: NDArray[np.float64]


def tie_groups(distances: NDArray[np.float64], gains: NDArray[np.float64]) -> TieGroups:
    """Group n results, sorted by distance, of one query.

    Example:
      >>> groups = tie_groups(np.array([0.0, 1.0, 1.0]), np.array([1.0, 0.0, 1.0]))
      >>> groups.size.tolist(), groups.before.tolist(), groups.relevant_before.tolist()
      ([1, 2, 2], [0, 1, 1], [0, 1, 1])
    """
    n = len(distances)
    starts = np.flatnonzero(np.concatenate([[True], distances[1:] != distances[:-1]])) if n else np.arange(0)
    size = np.diff(np.append(starts, n))
    hits = np.add.reduceat((gains > 0).astype(np.int64), starts) if n else np.arange(0)
    total_gain = np.add.reduceat(gains, starts) if n else np.zeros(0)

    def spread(a: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.repeat(a, size)

    return TieGroups(
        size=spread(size),
        relevant=spread(hits),
        before=spread(starts),
        relevant_before=spread(np.cumsum(hits) - hits),
        place=np.arange(1, n + 1) - spread(starts),
        mean_gain=np.repeat(total_gain / size, size),
    )


def require_ties(relevance: RankedRelevance, ties: Ties, k: int | None) -> None:
    """ValueError unless ties can be treated so at cut-off k (None: no cut-off).

    Averaging needs distances, and every result of the group of equal distances that straddles rank k: it must
    not be the last group of a list that was cut.
    """
    if ties not in get_args(Ties):
        raise ValueError(f"ties must be one of {', '.join(get_args(Ties))}, got {ties!r}")
    if ties == "id" or k is None:
        if ties == "average" and relevance.distances is None:
            raise ValueError("ties='average' needs relevance with distances")
        return
    if relevance.distances is None:
        raise ValueError("ties='average' needs relevance with distances")
    n = relevance.n_returned
    for q in np.flatnonzero(relevance.cut & (n > 0)):
        row = relevance.distances[q]
        if row[min(k, n[q]) - 1] == row[n[q] - 1]:
            raise ValueError(
                f"ties='average' at {k}: query {q} was cut after {n[q]} results, within a group of "
                f"equal distance {row[n[q] - 1]}: search with a larger k"
            )
