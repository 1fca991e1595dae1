"""Oxford's area under straight lines against one that is walked step by step, and the revisited settings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.metrics import average_precision, relevance_by_lists, revisited_lists, trapezoidal_average_precision


def walked_area(ranking, relevant, junk):
    """The precision-recall curve of a list, one item at a time, and the area below it."""
    recall, precision, area, found, seen = 0.0, 1.0, 0.0, 0, 0
    for item in ranking:
        if item in junk:
            continue
        found += item in relevant
        seen += 1
        new_recall, new_precision = found / len(relevant), found / seen
        area += (new_recall - recall) * (precision + new_precision) / 2
        recall, precision = new_recall, new_precision
    return area


@settings(max_examples=150)
@given(st.integers(1, 12), st.integers(0, 10**6))
def test_the_area_equals_a_walk(count, seed):
    rng = np.random.default_rng(seed)
    ranking = rng.permutation(count)
    kinds = rng.integers(0, 3, count)
    relevant, junk = set(np.flatnonzero(kinds == 1).tolist()), set(np.flatnonzero(kinds == 2).tolist())
    relevance = relevance_by_lists(ranking[None], [relevant], count, junk=[junk])
    scores = trapezoidal_average_precision(relevance)
    assert scores.counted[0] == bool(relevant)
    if relevant:
        assert scores.values[0] == pytest.approx(walked_area(ranking.tolist(), relevant, junk))
        assert scores.values[0] <= average_precision(relevance).values[0] + 1e-12
    with pytest.raises(ValueError, match="needs the ranking of the whole gallery"):
        trapezoidal_average_precision(relevance_by_lists(ranking[None, :-1], [set()], count + 1))


def test_settings_of_the_revisited_sets():
    easy, hard, junk = [0, 3], [1], [5]
    assert revisited_lists(easy, hard, junk, "easy") == ({0, 3}, {1, 5})
    assert revisited_lists(easy, hard, junk, "medium") == ({0, 1, 3}, {5})
    assert revisited_lists(easy, hard, junk, "hard") == ({1}, {0, 3, 5})
    with pytest.raises(ValueError, match="row 3 is in two of the lists"):
        revisited_lists(easy, [3], junk, "easy")
    with pytest.raises(ValueError, match="setting must be one of easy, medium, hard, got 'all'"):
        revisited_lists(easy, hard, junk, "all")
    # A query without relevant images in a setting is left out of the mean.
    lists = [revisited_lists([0], [], [], name) for name in ("easy", "hard")]
    relevance = relevance_by_lists(
        [[0, 1]] * 2, [found for found, _ in lists], 2, junk=[unwanted for _, unwanted in lists]
    )
    scores = trapezoidal_average_precision(relevance)
    assert scores.mean == 1
    assert scores.excluded == 1
