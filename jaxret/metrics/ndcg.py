"""Normalised discounted cumulative gain, for graded or binary relevance."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from jaxret.metrics.ranked_relevance import QueryScores, RankedRelevance
from jaxret.metrics.tie_groups import Ties, require_ties, tie_groups

__all__ = ["Gain", "ndcg"]

Gain = Literal["linear", "exponential"]


def ndcg(relevance: RankedRelevance, k: int | None = None, *, gain: Gain = "linear", ties: Ties = "id") -> QueryScores:
    """NDCG@k = DCG@k / IDCG@k with DCG@k = sum_{r=1..k} g_r / log2(1 + r) (Jarvelin and Kekalainen, 2002).

    IDCG is the DCG of the gallery's greatest gains in descending order. Queries without relevant items do
    not count; an empty answer scores 0.

    Args:
      relevance: lists at least k long or ended by themselves; complete ones where k is None.
      k: cut-off, at least 1; None for the whole ranking.
      gain: `linear`: g is the grade; `exponential`: 2^grade - 1 (Burges et al., 2005). The same for grades
        0 and 1.
      ties: `id` takes the order as it is; `average` is the mean over all orders of equal distances.

    Raises:
      ValueError: k < 1, a list is too short for k, or ties cannot be averaged.

    Example:
      >>> from jaxret.metrics import relevance_by_lists
      >>> relevance = relevance_by_lists([[0, 1, 2]], [{0: 1.0, 1: 3.0}], 3)
      >>> round(ndcg(relevance).mean, 4)  # (1 + 3/log2(3)) / (3 + 1/log2(3))
      0.7967
    """
    if gain not in get_args(Gain):
        raise ValueError(f"gain must be one of {', '.join(get_args(Gain))}, got {gain!r}")
    if k is None:
        relevance.require_complete("NDCG")
    else:
        relevance.require_depth(k, f"NDCG at {k}")
    require_ties(relevance, ties, k)

    def amount(grades: NDArray[np.float64]) -> NDArray[np.float64]:
        return grades if gain == "linear" else np.exp2(grades) - 1.0

    values = np.zeros(len(relevance.gains))
    for q in np.flatnonzero(relevance.counted):
        # The ideal is what the gallery could put into k places, however short the answer is.
        ideal = _ideal_gains(relevance, int(q))[:k]
        gains = amount(relevance.gains[q, relevance.returned[q]])
        if ties == "average":
            assert relevance.distances is not None
            gains = tie_groups(relevance.distances[q, : len(gains)], gains).mean_gain
        values[q] = _dcg(gains[:k]) / _dcg(amount(ideal))
    return QueryScores(values, relevance.counted)


def _ideal_gains(relevance: RankedRelevance, q: int) -> NDArray[np.float64]:
    if relevance.ideal_gains is None:
        return np.ones(relevance.n_relevant[q])
    return relevance.ideal_gains[q]


def _dcg(gains: NDArray[np.float64]) -> float:
    return float(gains @ (1.0 / np.log2(np.arange(2, len(gains) + 2))))
