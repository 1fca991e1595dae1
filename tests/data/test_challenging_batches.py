"""Batches half of hard items: the halves, positives and negatives for the hard ones, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from jaxret.data.batches.plans import ChallengingBatches, ClassBatches, TwiceBatches
from jaxret.errors import ConfigError

LABELS = [*"aaaaaaaa", *"bbbbbb", *"ccccc", "d"]


@pytest.mark.parametrize("size", [4, 6, 10])
@pytest.mark.parametrize("hard", [[0, 8, 14, 19], [2, 3, 4], [7]])
def test_half_of_every_batch_is_hard_and_finds_positives_and_negatives(size: int, hard: list[int]) -> None:
    plan = ChallengingBatches(LABELS, hard, size)
    assert plan.steps_per_epoch == -(-20 // size)
    for step in range(20):
        items = plan.batch(step, seed=1)
        assert items.shape == (size,)
        first, second = items[: size // 2].tolist(), items[size // 2 :].tolist()
        assert set(first) <= set(hard)
        assert not set(second) & set(hard)
        assert len(set(second)) == len(second)
        labels = [LABELS[n] for n in items]
        assert len(set(labels)) > 1
        for one in set(first):
            assert LABELS[one] == "d" or labels.count(LABELS[one]) > first.count(one)


def test_hard_items_are_seen_equally_often_and_all_others_in_time() -> None:
    plan = ChallengingBatches(LABELS, [0, 8, 14, 1, 9, 15], 4)
    seen = Counter(n for step in range(150) for n in plan.batch(step, seed=0).tolist())
    assert {seen[n] for n in (0, 8, 14, 1, 9, 15)} == {50}
    assert set(seen) == set(range(20))


def test_batches_follow_from_seed_and_step_alone() -> None:
    plan, other = (ChallengingBatches(LABELS, [3, 9, 12], 6) for _ in range(2))
    np.testing.assert_array_equal(plan.batch(7, seed=5), other.batch(7, seed=5))
    assert any((plan.batch(step, seed=5) != plan.batch(step, seed=6)).any() for step in range(3))
    rng = np.random.default_rng(0)
    assert {LABELS[plan.replacement(9, rng)] for _ in range(20)} == {"b"}


@pytest.mark.parametrize(
    ("hard", "size", "message"),
    [
        ([1], 5, "an even batch_size of at least 4, got 5"),
        ([1], 2, "an even batch_size of at least 4, got 2"),
        ([], 4, "hard must name some of 20 items but not all, got 0"),
        (list(range(20)), 4, "but not all, got 20"),
        ([3, 20], 4, r"hard must lie in 0\.\.19, got 3\.\.20"),
    ],
)
def test_what_makes_no_batches_is_refused(hard: list[int], size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ChallengingBatches(LABELS, hard, size)


@pytest.mark.parametrize("plan", [ChallengingBatches(LABELS, [0, 8, 14, 19], 4), ClassBatches(LABELS, 2, 3)])
def test_every_item_comes_twice_and_an_epoch_is_as_many_views_as_items(plan) -> None:
    twice = TwiceBatches(plan)
    assert twice.batch_size == 2 * plan.batch_size
    assert twice.steps_per_epoch == -(-20 // twice.batch_size)
    first, second = np.split(twice.batch(3, seed=1), 2)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, plan.batch(3, seed=1))
    assert LABELS[twice.replacement(9, np.random.default_rng(0))] == "b"
