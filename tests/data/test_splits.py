"""Splits keep sources together and labels in proportion."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxret.data.items import MediaItem
from jaxret.data.splits import split_by_source, split_classes

FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}


def make_items(sources: list[tuple[str, str]]) -> list[MediaItem]:
    return [MediaItem(f"{n}.mp4", "video", label, source) for n, (source, label) in enumerate(sources)]


pairs = st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("xyz")), max_size=60)


@given(pairs, st.integers(0, 1000))
def test_every_item_once_and_sources_whole(sources, seed):
    items = make_items(sources)
    split = split_by_source(items, FRACTIONS, seed=seed)
    assert sorted(np.concatenate(list(split.values())).tolist()) == list(range(len(items)))
    homes = {}
    for name, numbers in split.items():
        assert numbers.dtype == np.int64
        for number in numbers:
            assert homes.setdefault(items[number].source, name) == name
    again = split_by_source(items, FRACTIONS, seed=seed)
    assert all(np.array_equal(split[name], again[name]) for name in split)


def test_labels_stay_in_proportion():
    items = make_items([(f"s{n // 2}", "abcd"[n // 2 % 4] if n < 400 else "e") for n in range(600)])
    split = split_by_source(items, FRACTIONS, seed=1)
    for name, share in FRACTIONS.items():
        counts = Counter(items[number].label for number in split[name])
        for label, total in Counter(item.label for item in items).items():
            assert abs(counts[label] - share * total) <= 4, (name, label)
    assert not np.array_equal(split["test"], split_by_source(items, FRACTIONS, seed=2)["test"])


def test_sources_of_very_different_sizes():
    items = make_items([("big", "a")] * 50 + [(f"s{n}", "a") for n in range(50)])
    split = split_by_source(items, {"train": 0.5, "test": 0.5})
    assert len(split["train"]) == len(split["test"]) == 50


def test_a_share_of_zero_stays_empty():
    split = split_by_source(make_items([(str(n), "a") for n in range(10)]), {"train": 1.0, "test": 0.0})
    assert len(split["train"]) == 10
    assert split["test"].size == 0


@pytest.mark.parametrize("fractions", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}])
def test_bad_fractions_are_named(fractions):
    with pytest.raises(ValueError, match="fractions must be at least 0 and sum to 1"):
        split_by_source([], fractions)


def test_classes_seen_and_unseen():
    names = [f"c{n:02d}" for n in range(20)] * 3
    seen, unseen = split_classes(names, 0.25, seed=3)
    assert len(unseen) == 5
    assert set(seen) | set(unseen) == set(names)
    assert not set(seen) & set(unseen)
    assert split_classes(names, 0.25, seed=3) == (seen, unseen)
    assert split_classes(names, 0.25, seed=4) != (seen, unseen)
    assert split_classes(["a", "b"], 0.01) in [(("a",), ("b",)), (("b",), ("a",))]
    assert split_classes(["a", "b"], 0.0) == (("a", "b"), ())
    assert split_classes(["a"], 0.5) == (("a",), ())
    for labels, fraction, message in (([], 0.5, "at least one class"), (["a"], 1.0, "unseen_fraction")):
        with pytest.raises(ValueError, match=message):
            split_classes(labels, fraction)
