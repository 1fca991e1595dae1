"""Slow, obvious retrieval metrics: one query, plain Python lists and loops, definitions spelled out.

A ranking is a list of item numbers, best first. `relevant` maps item to grade above 0; `junk` is a set.
"""

from __future__ import annotations

import itertools
import math


def without_junk(ranking, junk):
    return [item for item in ranking if item >= 0 and item not in junk]


def average_precision(ranking, relevant, k=None, denominator="relevant"):
    k = len(ranking) if k is None else k
    total, found = 0.0, 0
    for rank, item in enumerate(ranking[:k], start=1):
        if item in relevant:
            found += 1
            total += found / rank
    if denominator == "relevant":
        return total / len(relevant)
    if denominator == "retrieved":
        return total / found if found else 0.0
    return total / min(len(relevant), k)


def tie_orders(ranking, distances):
    """Every order of the ranking in which only items at equal distance trade places."""
    groups = [
        [item for item, _ in group]
        for _, group in itertools.groupby(zip(ranking, distances, strict=True), key=lambda pair: pair[1])
    ]
    for orders in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield [item for order in orders for item in order]


def mean_over_ties(score, ranking, distances):
    scores = [score(order) for order in tie_orders(ranking, distances)]
    return sum(scores) / len(scores)


def confusion(ranking, relevant, n_gallery, k):
    returned = ranking[:k]
    tp = sum(item in relevant for item in returned)
    fp = len(returned) - tp
    fn = len(relevant) - tp
    return tp, fp, fn, n_gallery - tp - fp - fn


def ndcg(ranking, relevant, k=None, exponential=False):
    k = len(ranking) if k is None else k

    def gain(grade):
        return 2.0**grade - 1 if exponential else grade

    dcg = sum(gain(relevant.get(item, 0)) / math.log2(1 + rank) for rank, item in enumerate(ranking[:k], 1))
    best = sorted(relevant.values(), reverse=True)[:k]
    return dcg / sum(gain(grade) / math.log2(1 + rank) for rank, grade in enumerate(best, 1))


def interpolated_precision(ranking, relevant, level):
    """Greatest precision at any rank whose recall reaches the level."""
    best, found = 0.0, 0
    for rank, item in enumerate(ranking, 1):
        found += item in relevant
        if found / len(relevant) >= level - 1e-12:
            best = max(best, found / rank)
    return best
