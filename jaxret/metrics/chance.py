"""What a random ranking scores: the floor of every figure, exact and without drawing one.

All orders of a query's gallery are equally likely. With R relevant items among N, each rank holds a relevant one with
probability R / N, and given that one does, each other rank with (R - 1) / (N - 1). Figures that are linear in what a
rank holds follow at once; AP@k is a sum over ranks of "relevant here, times the share among the first r".
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from jaxret.metrics.average_precision import Denominator, check_denominator
from jaxret.metrics.ranked_relevance import RankedRelevance

__all__ = ["chance_of_vote", "chance_summary"]


def chance_summary(
    relevance: RankedRelevance, ks: Sequence[int] = (1, 5, 10), *, denominator: Denominator = "min(n_relevant,k)"
) -> dict[str, float]:
    """The expected figures of a random ranking, under the names of `jaxret.metrics.retrieval_summary`.

    For a query with R relevant items among N in its gallery, H_n being the n-th harmonic number and k at most N:

    - mAP: (H_N + (N - H_N) (R - 1) / (N - 1)) / N;
    - mAP@k: R / N (H_k + (k - H_k) (R - 1) / (N - 1)) over what the denominator says;
    - P@k: R / N; recall@k: k / N; F1@k: 2 k R / (N (k + R)); R@k: 1 - C(N - R, k) / C(N, k);
    - accuracy@k: 1 - (k + R - 2 k R / N) / N;
    - NDCG and NDCG@k: R / N times the sum of discounts over ranks, over that of an ideal list.

    Args:
      relevance: of any ranking, even an empty one: only the sizes of the gallery and of what is relevant are looked at.
      ks: cut-offs, each at least 1.
      denominator: what AP@k is divided by, see `Denominator`.

    Returns:
      The means over the queries that have relevant items, with `relevant items`, `queries` and `queries_excluded`.

    Raises:
      ValueError: a k is below 1, the denominator is unknown, relevance is graded, or no query has a relevant item.

    Example:
      >>> from jaxret.metrics import relevance_by_lists
      >>> figures = chance_summary(relevance_by_lists([[-1]], [{0}], 4), ks=(2,))  # one of four, at any rank
      >>> figures["P@2"], figures["R@2"], round(figures["mAP"], 4)  # (1 + 1/2 + 1/3 + 1/4) / 4
      (0.25, 0.5, 0.5208)
    """
    check_denominator(denominator)
    if relevance.ideal_gains is not None:
        raise ValueError("the chance rate is of relevance without grades")
    if any(k < 1 for k in ks):
        raise ValueError(f"ks must each be at least 1, got {min(ks)}")
    if not relevance.counted.any():
        raise ValueError("no query has a relevant item: there is nothing to find by chance")
    sizes = np.stack([relevance.n_relevant, relevance.n_gallery], axis=1)[relevance.counted]
    distinct, queries = np.unique(sizes, axis=0, return_counts=True)
    figures = [_of_sizes(int(relevant), int(gallery), ks, denominator) for relevant, gallery in distinct]
    summary = {name: float(np.average([one[name] for one in figures], weights=queries)) for name in figures[0]}
    summary["relevant items"] = float(sizes[:, 0].mean())
    summary["queries"] = float(relevance.counted.sum())
    summary["queries_excluded"] = float((~relevance.counted).sum())
    return summary


def chance_of_vote(class_sizes: ArrayLike, own: int, k: int, *, unlabelled: int = 0) -> float:
    """The probability that k items drawn at random vote for one class, see `jaxret.metrics.vote_at`.

    Most votes win; among equals each is as likely to have its best item first, so a tie of t is won by 1 / t. Draws in
    which the class has m votes, t - 1 others have m, and the rest fewer are counted, class by class.

    Args:
      class_sizes: whole numbers (C,), gallery items of each class.
      own: position of the class among them.
      k: items that vote, at least 1; all where there are fewer.
      unlabelled: gallery items that vote for no class.

    Raises:
      ValueError: k < 1, a size is negative, or there is no such class.

    Example:
      >>> round(chance_of_vote([2, 2], 0, 1), 12), round(chance_of_vote([2, 1], 0, 3), 12)
      (0.5, 1.0)
    """
    sizes = [int(size) for size in np.asarray(class_sizes).reshape(-1)]
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if min([*sizes, unlabelled]) < 0:
        raise ValueError(f"class_sizes must be at least 0, got {min([*sizes, unlabelled])}")
    if not 0 <= own < len(sizes):
        raise ValueError(f"own must be one of {len(sizes)} classes, got {own}")
    total = sum(sizes) + unlabelled
    k = min(k, total)
    if not k:
        return 0.0
    from scipy.stats import binom  # slow to import; only votes need it

    # Were every item drawn by itself, with probability k / total, the numbers of classes would be binomial, and given
    # that k are drawn they are those of k at random: no number is larger than 1, as counts of draws soon are.
    drawn = binom.pmf(np.arange(k + 1), np.array([*sizes, unlabelled])[:, None], k / total)  # (C + 1, k + 1)
    others = np.delete(drawn[:-1], own, axis=0)
    won = 0.0
    for votes in range(1, min(k, sizes[own]) + 1):
        # ways[s, j]: probability of j items of the classes looked at so far, s of which have as many votes.
        ways = np.zeros((min(k // votes, len(others)) + 1, k - votes + 1))
        ways[0] = drawn[-1, : k - votes + 1]
        for other in others:
            fewer = np.zeros_like(ways)
            for n in range(min(votes, k - votes + 1)):
                fewer[:, n:] += other[n] * ways[:, : ways.shape[1] - n]
            if votes <= k - votes:
                fewer[1:, votes:] += other[votes] * ways[:-1, : ways.shape[1] - votes]
            ways = fewer
        ties = np.arange(1, len(ways) + 1)
        won += drawn[own, votes] * float((ways[:, k - votes] / ties).sum())
    return float(won / binom.pmf(k, total, k / total))


def _of_sizes(relevant: int, gallery: int, ks: Sequence[int], denominator: Denominator) -> dict[str, float]:
    """The expected figures of a query with so many relevant items in a gallery of so many."""
    share = relevant / gallery
    again = (relevant - 1) / (gallery - 1) if gallery > 1 else 0.0  # another rank, given one
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, gallery + 1))])
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, gallery + 2)))])
    over = "" if denominator == "min(n_relevant,k)" else f" ({denominator})"
    figures = {
        "mAP": (harmonic[gallery] + (gallery - harmonic[gallery]) * again) / gallery,
        "NDCG": share * discounts[gallery] / discounts[relevant],
    }
    for k in ks:
        n = min(k, gallery)  # results that there can be
        if denominator == "retrieved":
            precision = _over_retrieved(relevant, gallery, n, harmonic[n])
        else:
            precision = share * (harmonic[n] + (n - harmonic[n]) * again)
            precision /= min(relevant, k) if denominator == "min(n_relevant,k)" else relevant
        figures[f"mAP@{k}{over}"] = precision
        figures[f"P@{k}"] = share
        figures[f"recall@{k}"] = n / gallery
        figures[f"F1@{k}"] = 2 * n * share / (n + relevant)
        figures[f"accuracy@{k}"] = 1 - (n + relevant - 2 * n * share) / gallery
        figures[f"R@{k}"] = 1 - comb(gallery - relevant, n) / comb(gallery, n)
        figures[f"NDCG@{k}"] = share * discounts[n] / discounts[min(k, relevant)]
    return {name: float(value) for name, value in figures.items()}


def _over_retrieved(relevant: int, gallery: int, n: int, harmonic: float) -> float:
    """E[AP@n over the relevant ones found]: their number is hypergeometric, and given it their ranks are random."""
    expected = 0.0
    for found in range(1, min(relevant, n) + 1):
        probability = comb(relevant, found) * comb(gallery - relevant, n - found) / comb(gallery, n)
        again = (found - 1) / (n - 1) if n > 1 else 0.0
        expected += probability * (harmonic + (n - harmonic) * again) / n
    return expected
