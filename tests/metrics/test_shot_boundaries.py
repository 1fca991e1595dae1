"""Cuts found against true cuts: pairs as many as can be, against trying every pairing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.metrics import BoundaryCounts, match_boundaries

cuts = st.lists(st.integers(0, 12), max_size=5)


@settings(max_examples=200)
@given(cuts, cuts, st.integers(0, 4))
def test_as_many_pairs_as_any_pairing_has(found, known, tolerance):
    few, many = sorted((found, known), key=len)
    best = max(
        sum(abs(a - b) <= tolerance for a, b in zip(few, chosen, strict=True))
        for chosen in itertools.permutations(many, len(few))
    )
    counts = match_boundaries([t / 3 for t in found], [t / 3 for t in known], tolerance / 3)
    assert counts == BoundaryCounts(best, len(found), len(known))


def test_each_cut_counts_once_and_the_nearest_first_would_lose_a_pair():
    assert match_boundaries([1.0, 1.01], [1.0], 0.5).matched == 1
    assert match_boundaries([2.0, 2.6], [1.5, 2.1], 0.5).matched == 2  # 2.0 is nearest to 2.1, which 2.6 needs


def test_scores_and_their_empty_cases():
    counts = match_boundaries([1, 5, 9], [1.2, 5.1, 20, 30], 0.25)
    assert (counts.precision, counts.recall, counts.f1) == (2 / 3, 0.5, 4 / 7)
    nothing = match_boundaries([], [], 1.0)
    assert (nothing.precision, nothing.recall, nothing.f1) == (1, 1, 1)
    missed = match_boundaries([], [3.0], 1.0)
    assert (missed.precision, missed.recall, missed.f1) == (0, 0, 0)
    wrong = match_boundaries([3.0], [], 1.0)
    assert (wrong.precision, wrong.recall, wrong.f1) == (0, 1, 0)
    assert sum([counts, missed], wrong) == BoundaryCounts(2, 4, 5)


def test_bad_times_are_named():
    with pytest.raises(ValueError, match="tolerance must be at least 0 seconds, got -1"):
        match_boundaries([], [], -1)
    with pytest.raises(ValueError, match=r"found must be finite seconds \(N,\), got \[\[1\.0\]\]"):
        match_boundaries([[1.0]], [], 1)
    with pytest.raises(ValueError, match="known must be finite"):
        match_boundaries([], [float("nan")], 1)
