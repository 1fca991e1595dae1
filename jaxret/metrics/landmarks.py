"""Rules of the landmark benchmarks: Oxford's average precision, and the settings of Revisited Oxford and Paris."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import numpy as np

from jaxret.metrics.ranked_relevance import QueryScores, RankedRelevance

__all__ = ["RevisitedSetting", "revisited_lists", "trapezoidal_average_precision"]

RevisitedSetting = Literal["easy", "medium", "hard"]
"""easy: only easy images are relevant, hard ones are junk; medium: both are relevant; hard: easy ones are junk."""


def revisited_lists(
    easy: Collection[int], hard: Collection[int], junk: Collection[int], setting: RevisitedSetting
) -> tuple[set[int], set[int]]:
    """What is relevant and what is junk to a query (Radenovic et al., CVPR 2018, arXiv:1803.11285, section 3.2).

    A query without relevant images in a setting does not count there, as in every metric.

    Args:
      easy, hard, junk: rows of the gallery.
      setting: "easy", "medium" or "hard".

    Returns:
      `(relevant, junk)` for `relevance_by_lists`.

    Raises:
      ValueError: the setting is unknown, or a row is in two lists.

    Example:
      >>> revisited_lists([0, 1], [2], [3], "hard")
      ({2}, {0, 1, 3})
    """
    if setting not in get_args(RevisitedSetting):
        raise ValueError(f"setting must be one of {', '.join(get_args(RevisitedSetting))}, got {setting!r}")
    a, b, c = set(easy), set(hard), set(junk)
    if twice := (a & b) | (a & c) | (b & c):
        raise ValueError(f"row {min(twice)} is in two of the lists easy, hard and junk")
    if setting == "easy":
        return a, b | c
    return (a | b, c) if setting == "medium" else (b, a | c)


def trapezoidal_average_precision(relevance: RankedRelevance) -> QueryScores:
    """Average precision as the programs of Oxford5k and of the revisited sets take it: the area under straight lines.

    Between two points of the precision-recall curve the precision is the mean of both; before the first result it is 1:
    AP = (1/n) sum_{i=1..n} ((i - 1) / (r_i - 1) + i / r_i) / 2 with the first fraction 1 where r_i = 1, and r_i the
    rank of the i-th relevant result. It is never above `average_precision`'s plain mean of i / r_i, and figures by the
    two rules do not compare.

    Args:
      relevance: complete rankings.

    Raises:
      ValueError: a list is shorter than its gallery.

    Example:
      >>> from jaxret.metrics import relevance_by_lists
      >>> relevance = relevance_by_lists([[0, 1, 2]], [{0, 2}], 3)
      >>> trapezoidal_average_precision(relevance).mean  # ((1 + 1) / 2 + (1/2 + 2/3) / 2) / 2
      0.7916666666666666
    """
    relevance.require_complete("average precision")
    values = np.zeros(len(relevance.gains))
    for q in np.flatnonzero(relevance.counted):
        ranks = np.flatnonzero(relevance.relevant[q]) + 1
        found = np.arange(1, len(ranks) + 1)
        before = np.where(ranks == 1, 1.0, (found - 1) / np.maximum(ranks - 1, 1))
        values[q] = ((before + found / ranks) / 2).sum() / relevance.n_relevant[q]
    return QueryScores(values, relevance.counted)
