"""Precision, recall, F1, accuracy and hit rate over the first k results, and the precision-recall curve.

TP: relevant and returned; FP: returned but not relevant; FN: relevant in the gallery but not returned; TN: the
rest of the gallery. All after junk removal, all over the at most k results that are *returned*: PAR returns a
variable number, possibly none. Each figure is taken per query and then averaged over the queries that have
relevant items.

The equations are (3) to (6) of the CNN + LSTM media-retrieval paper. Two things in its Table IV do not follow
from them, and are decided here:

- Its F1 (0.5261) is not the harmonic mean of its precision and recall (0.5933, 0.4983: 0.5417), so it
  averages F1 over queries or classes. Here: over queries.
- Its recall at 5 (up to 0.84) cannot be equation (5) over a gallery with about 100 relevant videos a query,
  where 5 results find at most 5 %, nor can PAR, which only removes results, raise a recall so defined.
  `recall_at` keeps the equation; `jaxret.metrics.vote_at` has the reading under which all four of the
  table's rows are possible.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.metrics.ranked_relevance import QueryScores, RankedRelevance

__all__ = ["accuracy_at", "f1_at", "hit_rate_at", "precision_at", "precision_recall_curve", "recall_at"]

EmptyPrecision = Literal["zero", "one", "skip"]
EmptyRecall = Literal["zero", "skip"]
PrecisionOver = Literal["returned", "k"]
RecallOver = Literal["relevant", "min(n_relevant,k)"]


def precision_at(
    relevance: RankedRelevance, k: int, *, denominator: PrecisionOver = "returned", empty: EmptyPrecision = "zero"
) -> QueryScores:
    """Precision of the first k results: P@k = TP / (TP + FP), or TP / k.

    Args:
      relevance: lists at least k long, or ended by themselves.
      k: cut-off, at least 1.
      denominator: `returned` divides by the results returned among the first k; `k` by k, so that a
        short answer is punished.
      empty: the empty-result rule, for a query that has relevant items but an empty answer. `zero`: precision
        0, as for an answer that is all wrong. `one`: nothing returned is wrong, so 1. `skip`: the query is
        left out of the mean (only comparable between methods beside `RankedRelevance.empty_share`).

    Raises:
      ValueError: k < 1, or a list is cut before k.

    Example:
      >>> from jaxret.metrics import relevance_by_lists
      >>> relevance = relevance_by_lists([[0, 3, -1], [-1, -1, -1]], [{0, 1}, {2}], 4)
      >>> precision_at(relevance, 3).values.tolist(), precision_at(relevance, 3, empty="skip").mean
      ([0.5, 0.0], 0.5)
    """
    _check_choice("denominator", denominator, PrecisionOver)
    _check_choice("empty", empty, EmptyPrecision)
    relevance.require_depth(k, f"precision at {k}")
    hits, n = _hits(relevance, k), _returned(relevance, k)
    values = hits / (np.maximum(n, 1) if denominator == "returned" else k)
    if empty == "one":
        values = np.where(n == 0, 1.0, values)
    return _scores(relevance, values, answered=n > 0, skip=empty == "skip")


def recall_at(
    relevance: RankedRelevance, k: int, *, denominator: RecallOver = "relevant", empty: EmptyRecall = "zero"
) -> QueryScores:
    """Share of the relevant items found among the first k: TP / (TP + FN).

    Not the hit rate that retrieval papers write R@k: that is `hit_rate_at`.

    Args:
      relevance: lists at least k long, or ended by themselves.
      k: cut-off, at least 1.
      denominator: `relevant` is equation (5); `min(n_relevant,k)` divides by what k results can hold.
      empty: `zero` counts an empty answer as recall 0; `skip` leaves the query out of the mean.

    Raises:
      ValueError: k < 1, or a list is cut before k.
    """
    _check_choice("denominator", denominator, RecallOver)
    _check_choice("empty", empty, EmptyRecall)
    relevance.require_depth(k, f"recall at {k}")
    relevant = relevance.n_relevant
    possible = relevant if denominator == "relevant" else np.minimum(relevant, k)
    values = _hits(relevance, k) / np.maximum(possible, 1)
    return _scores(relevance, values, answered=_returned(relevance, k) > 0, skip=empty == "skip")


def f1_at(
    relevance: RankedRelevance,
    k: int,
    *,
    precision_denominator: PrecisionOver = "returned",
    recall_denominator: RecallOver = "relevant",
    empty: EmptyRecall = "zero",
) -> QueryScores:
    """F1 of the first k results: 2 P R / (P + R) for each query, 0 where both are 0; then the mean.

    The mean of per-query F1 is not the harmonic mean of mean P and mean R. An empty answer scores 0, or is
    left out of the mean with empty="skip". Arguments and errors as `precision_at` and `recall_at`.
    """
    p = precision_at(relevance, k, denominator=precision_denominator, empty=empty)
    r = recall_at(relevance, k, denominator=recall_denominator, empty=empty)
    total = p.values + r.values
    return QueryScores(2 * p.values * r.values / np.where(total > 0, total, 1.0), p.counted)


def accuracy_at(relevance: RankedRelevance, k: int) -> QueryScores:
    """Accuracy of the split into returned and not returned: (TP + TN) / total, total being the gallery.

    In a large gallery TN is nearly everything, so the figure is near 1 whatever is returned, and an empty
    answer scores (n_gallery - n_relevant) / n_gallery. The "top 100 accuracy" of the paper's Table II, 81.62 and
    80.03 % on half of CIFAR-10's classes, can be this figure: of 5,000 images, 1,000 a class, it lies between 78 and
    82 % whatever is found, and 80 % is a `precision_at` 100 of one half.

    Raises:
      ValueError: k < 1, or a list is cut before k.

    Example:
      >>> from jaxret.metrics import relevance_by_lists
      >>> accuracy_at(relevance_by_lists([[0, 3, 1, 2]], [{0, 1}], 4), 2).mean  # TP 1, TN 1 of 4
      0.5
    """
    relevance.require_depth(k, f"accuracy at {k}")
    hits = _hits(relevance, k)
    wrong = (_returned(relevance, k) - hits) + (relevance.n_relevant - hits)  # FP + FN
    return _scores(relevance, 1.0 - wrong / np.maximum(relevance.n_gallery, 1))


def hit_rate_at(relevance: RankedRelevance, k: int) -> QueryScores:
    """R@k: 1 if any of the first k results is relevant, else 0.

    "Recall at 1" in the image-to-video paper, and P@1 where k is 1 and every query is answered. An empty
    answer scores 0. Queries without relevant items do not count.

    Args:
      relevance: lists at least k long, or ended by themselves.
      k: cut-off, at least 1.

    Raises:
      ValueError: k < 1, or a list is cut before k.

    Example:
      >>> from jaxret.metrics import relevance_by_lists
      >>> relevance = relevance_by_lists([[3, 0], [1, 2]], [{0}, {1}], 4)
      >>> hit_rate_at(relevance, 1).mean, hit_rate_at(relevance, 2).mean
      (0.5, 1.0)
    """
    relevance.require_depth(k, f"hit rate at {k}")
    first_hits = relevance.relevant[:, :k].sum(axis=1)
    return QueryScores(np.minimum(first_hits, 1).astype(np.float64), relevance.counted)


def precision_recall_curve(
    relevance: RankedRelevance, levels: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean interpolated precision at recall levels: p(r) = max of P@i over ranks i with recall at least r.

    Args:
      relevance: complete rankings.
      levels: recalls in 0 .. 1, (L,); by default the 11 points 0, 0.1, ..., 1.

    Returns:
      levels (L,) and precision (L,), averaged over the queries that have relevant items; precision never
      rises with recall.

    Raises:
      ValueError: a list is not complete, a level lies outside 0 .. 1, or no query has a relevant item.
    """
    relevance.require_complete("a precision-recall curve")
    points = np.linspace(0, 1, 11) if levels is None else np.asarray(levels, np.float64)
    if points.ndim != 1 or not ((points >= 0) & (points <= 1)).all():
        raise ValueError(f"levels must be recalls between 0 and 1, got {levels!r}")
    if not relevance.counted.any():
        raise ValueError("no query has a relevant item: there is no curve")
    total = np.zeros(len(points))
    for q in np.flatnonzero(relevance.counted):
        ranks = np.flatnonzero(relevance.gains[q] > 0) + 1
        found = np.arange(1, len(ranks) + 1)
        best = np.maximum.accumulate((found / ranks)[::-1])[::-1]
        # The i-th relevant item is the first at which recall reaches level; exact in whole numbers.
        need = np.ceil(np.round(points * len(ranks), 9)).astype(int)
        total += best[np.maximum(need, 1) - 1]
    return points, total / relevance.counted.sum()


def _hits(relevance: RankedRelevance, k: int) -> NDArray[np.int64]:
    return relevance.relevant[:, :k].sum(axis=1)


def _returned(relevance: RankedRelevance, k: int) -> NDArray[np.int64]:
    return relevance.returned[:, :k].sum(axis=1)


def _scores(
    relevance: RankedRelevance,
    values: NDArray[np.float64],
    *,
    answered: NDArray[np.bool_] | None = None,
    skip: bool = False,
) -> QueryScores:
    counted = relevance.counted & answered if skip and answered is not None else relevance.counted
    return QueryScores(np.where(counted, values, 0.0), counted)


def _check_choice(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}")
