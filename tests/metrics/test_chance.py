"""The chance rate: the mean over every order of a small gallery, and over many random ones of a larger one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from jaxret.metrics import (
    chance_of_vote,
    chance_summary,
    relevance_by_label,
    relevance_by_lists,
    retrieval_summary,
    vote_at,
)
from jaxret.metrics.average_precision import Denominator

DENOMINATORS: list[Denominator] = ["min(n_relevant,k)", "relevant", "retrieved"]


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize(("n", "relevant"), [(1, 1), (4, 1), (5, 2), (6, 3), (5, 5), (6, 5)])
def test_chance_is_the_mean_over_every_order(n: int, relevant: int, denominator: Denominator) -> None:
    orders = np.array(list(itertools.permutations(range(n))))
    ks = (1, 2, 4, n, n + 3)
    every = relevance_by_lists(orders, [set(range(relevant))] * len(orders), n)
    expected = retrieval_summary(every, ks, denominator=denominator)
    found = chance_summary(every, ks, denominator=denominator)
    assert set(expected) - set(found) == {"empty_share"}
    for name, value in found.items():
        assert value == pytest.approx(expected[name], abs=1e-12), name


def test_chance_is_what_random_rankings_score_on_average() -> None:
    """Queries of classes of several sizes, with their own sources left out."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], (4, 9, 20))
    sources = np.array([f"s{number // 2}" for number in range(len(labels))])
    totals: dict[str, float] = {}
    rounds = 400
    for _ in range(rounds):
        orders = np.array([rng.permutation(len(labels)) for _ in labels])
        relevance = relevance_by_label(orders, labels, labels, query_sources=sources, gallery_sources=sources)
        for name, value in retrieval_summary(relevance, (1, 5)).items():
            totals[name] = totals.get(name, 0.0) + value / rounds
    found = chance_summary(relevance, (1, 5))
    for name, value in found.items():
        assert value == pytest.approx(totals[name], abs=0.012), name


def test_queries_without_a_relevant_item_do_not_count() -> None:
    relevance = relevance_by_lists([[-1], [-1]], [{0}, set()], 2)
    assert chance_summary(relevance, ()) == {
        "mAP": 0.75,
        "NDCG": pytest.approx((1 + 1 / np.log2(3)) / 2),
        "relevant items": 1.0,
        "queries": 1.0,
        "queries_excluded": 1.0,
    }


@pytest.mark.parametrize(
    ("sizes", "unlabelled", "k"),
    [((2, 2), 0, 2), ((3, 1, 2), 0, 3), ((1, 2, 2), 2, 4), ((3, 3), 1, 9), ((2, 0, 3), 0, 1)],
)
def test_a_random_vote_is_the_mean_over_every_order(sizes: tuple[int, ...], unlabelled: int, k: int) -> None:
    gallery = [label for label, size in enumerate(sizes) for _ in range(size)] + [None] * unlabelled
    orders = np.array(list(itertools.permutations(range(len(gallery)))))[:, :k]
    for own in range(len(sizes)):
        expected = vote_at(orders, [own] * len(orders), gallery, k).accuracy
        assert chance_of_vote(sizes, own, k, unlabelled=unlabelled) == pytest.approx(expected, abs=1e-12)


def test_chance_of_votes_of_all_classes_is_one() -> None:
    sizes = [3, 44, 7, 12, 30, 9]
    assert sum(chance_of_vote(sizes, own, 5) for own in range(6)) == pytest.approx(1.0)


def test_votes_of_many_items_have_a_chance() -> None:
    """Of 1,205 items 400 can be drawn in more ways than a float counts."""
    chances = [chance_of_vote([600, 5, 600], own, 400) for own in range(3)]
    assert chances == pytest.approx([0.5, 0.0, 0.5])


def test_what_chance_refuses() -> None:
    one = relevance_by_lists([[-1]], [{0}], 2)
    with pytest.raises(ValueError, match=r"denominator must be one of .*, got 'k'"):
        chance_summary(one, denominator="k")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ks must each be at least 1, got 0"):
        chance_summary(one, (1, 0))
    with pytest.raises(ValueError, match="the chance rate is of relevance without grades"):
        chance_summary(relevance_by_lists([[-1]], [{0: 2.0}], 2))
    with pytest.raises(ValueError, match="no query has a relevant item"):
        chance_summary(relevance_by_lists([[-1]], [set()], 2))
    for arguments, message in (
        (([1], 0, 0), "k must be at least 1, got 0"),
        (([1, -1], 0, 1), "class_sizes must be at least 0, got -1"),
        (([1], 1, 1), "own must be one of 1 classes, got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            chance_of_vote(*arguments)
