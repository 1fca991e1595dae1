"""Average precision and its mean over queries: full, or cut at k with the denominator named."""

from __future__ import annotations

from math import comb
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from jaxret.metrics.ranked_relevance import QueryScores, RankedRelevance
from jaxret.metrics.tie_groups import Ties, require_ties, tie_groups

__all__ = ["Denominator", "average_precision", "average_precision_at", "check_denominator", "mean_average_precision"]

Denominator = Literal["min(n_relevant,k)", "relevant", "retrieved"]
"""What the sum of precisions is divided by. Papers differ, and figures with different ones do not compare:
`min(n_relevant,k)`: the best that k results can hold, so a perfect list scores 1;
`relevant`: all relevant items in the gallery (Stanford I2V), so a perfect list scores below 1 where
there are more than k of them;
`retrieved`: the relevant items among the first k (HashNet and most hashing code); one right answer at rank 1
and none after it scores 1, and a query with no right answer 0."""


def average_precision(relevance: RankedRelevance, *, ties: Ties = "id") -> QueryScores:
    """Average precision over the whole ranking: AP = (1/n) sum_{i=1..n} i / r_i.

    n is the number of relevant items and r_i the rank (from 1) of the i-th of them, as in Wu et al. (2007)
    and the ConvLSTM paper. Grades count as relevant above 0. Queries without relevant items do not count.

    Args:
      relevance: complete rankings, see `RankedRelevance.complete`.
      ties: `id` takes the order as it is; `average` is the mean over all orders of equal distances.

    Raises:
      ValueError: a list is shorter than its gallery, or ties cannot be averaged without distances.

    Example:
      >>> from jaxret.metrics import relevance_by_lists
      >>> average_precision(relevance_by_lists([[0, 1, 2, 3]], [{0, 2}], 4)).mean  # (1/1 + 2/3) / 2
      0.8333333333333333
    """
    relevance.require_complete("average precision")
    require_ties(relevance, ties, None)
    return _scores(relevance, relevance.gains.shape[1], "relevant", ties)


def average_precision_at(
    relevance: RankedRelevance, k: int, *, denominator: Denominator = "min(n_relevant,k)", ties: Ties = "id"
) -> QueryScores:
    """Average precision of the first k results: AP@k = (1/m) sum over relevant results at rank r <= k of P@r.

    P@r is the share of relevant items among the first r results, and m is the `denominator`. An answer
    with fewer than k results (PAR) is scored as it is: what it leaves out adds nothing.

    Args:
      relevance: lists at least k long, or ended by themselves.
      k: cut-off, at least 1.
      denominator: `min(n_relevant,k)`, `relevant` or `retrieved`, see `Denominator`.
      ties: `id` takes the order as it is; `average` is the mean over all orders of equal distances.

    Raises:
      ValueError: k < 1, a list is cut before k, or ties cannot be averaged.

    Example:
      >>> from jaxret.metrics import relevance_by_lists
      >>> relevance = relevance_by_lists([[0, 1, 2]], [{0, 2, 3, 4}], 5)
      >>> [round(average_precision_at(relevance, 2, denominator=d).mean, 3)
      ...  for d in ("min(n_relevant,k)", "relevant", "retrieved")]
      [0.5, 0.25, 1.0]
    """
    check_denominator(denominator)
    relevance.require_depth(k, f"average precision at {k}")
    require_ties(relevance, ties, k)
    return _scores(relevance, k, denominator, ties)


def check_denominator(denominator: str) -> None:
    """ValueError for an unknown one."""
    if denominator not in get_args(Denominator):
        raise ValueError(f"denominator must be one of {', '.join(get_args(Denominator))}, got {denominator!r}")


def mean_average_precision(
    relevance: RankedRelevance,
    k: int | None = None,
    *,
    denominator: Denominator = "min(n_relevant,k)",
    ties: Ties = "id",
) -> float:
    """mAP: the mean of `average_precision` (k None) or `average_precision_at` over the queries that count.

    Raises:
      ValueError: as those two, or no query has a relevant item.
    """
    if k is None:
        return average_precision(relevance, ties=ties).mean
    return average_precision_at(relevance, k, denominator=denominator, ties=ties).mean


def _scores(relevance: RankedRelevance, k: int, denominator: Denominator, ties: Ties) -> QueryScores:
    values = np.zeros(len(relevance.gains))
    for q in np.flatnonzero(relevance.counted):
        n = int(relevance.returned[q].sum())
        gains = relevance.gains[q, :n]
        n_relevant = int(relevance.n_relevant[q])
        if ties == "average":
            assert relevance.distances is not None
            terms = _expected_terms(relevance.distances[q, :n], gains)
            if denominator == "retrieved":
                values[q] = _expected_over_retrieved(relevance.distances[q, :n], gains, terms, k)
                continue
        else:
            hits = gains > 0
            terms = hits * np.cumsum(hits) / np.arange(1, n + 1)
        retrieved = int((gains[:k] > 0).sum())
        divisor = {"min(n_relevant,k)": min(n_relevant, k), "relevant": n_relevant, "retrieved": retrieved}
        values[q] = terms[:k].sum() / max(divisor[denominator], 1)
    return QueryScores(values, relevance.counted)


def _expected_terms(distances: NDArray[np.float64], gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """E[relevant at rank r, times P@r] for each rank, over random orders of equal distances."""
    g = tie_groups(distances, gains)
    # Given a relevant item at this place, each of the others in the group is relevant with (s - 1) / (t - 1).
    others = (g.place - 1) * (g.relevant - 1) / np.maximum(g.size - 1, 1)
    return g.relevant / g.size * (g.relevant_before + 1 + others) / (g.before + g.place)


def _expected_over_retrieved(
    distances: NDArray[np.float64], gains: NDArray[np.float64], terms: NDArray[np.float64], k: int
) -> float:
    """E[sum of terms / relevant among the first k]: the group that straddles k makes the divisor random."""
    n = len(gains)
    if n == 0:
        return 0.0
    g = tie_groups(distances, gains)
    last = min(k, n) - 1
    size, hits = int(g.size[last]), int(g.relevant[last])
    before, hits_before = int(g.before[last]), int(g.relevant_before[last])
    taken = last + 1 - before  # places of that group within the first k
    base = float(terms[:before].sum())
    places = np.arange(1, taken + 1)
    expected = 0.0
    for found in range(max(0, hits - (size - taken)), min(hits, taken) + 1):
        share = comb(hits, found) * comb(size - hits, taken - found) / comb(size, taken)  # hypergeometric
        others = (places - 1) * (found - 1) / max(taken - 1, 1)
        inside = (found / taken * (hits_before + 1 + others) / (before + places)).sum()
        if hits_before + found:
            expected += share * (base + inside) / (hits_before + found)
    return float(expected)
