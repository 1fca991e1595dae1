"""Overlaps of boxes against squares that are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.boxes import iou, squares

from jaxret.metrics import best_box_iou, box_area, box_iou, box_overlap, pairwise_box_iou
from jaxret.metrics.localisation.boxes import check_boxes

sides = st.tuples(st.integers(-3, 8), st.integers(-3, 8), st.integers(0, 6), st.integers(0, 6))
boxes = st.lists(sides.map(lambda s: [s[0], s[1], s[0] + s[2], s[1] + s[3]]), min_size=1, max_size=5)


@settings(max_examples=150)
@given(boxes, boxes)
def test_overlaps_equal_counting_squares(first, second):
    table = pairwise_box_iou(first, second)
    assert table.shape == (len(first), len(second))
    for i, a in enumerate(first):
        assert box_area(a) == len(squares(a))
        for j, b in enumerate(second):
            assert table[i, j] == pytest.approx(iou(a, b))
            assert table[i, j] == box_iou(b, a)
            assert box_overlap(a, b) == len(squares(a) & squares(b))
    best = best_box_iou(first, [second] * len(first))
    np.testing.assert_array_equal(best, table.max(axis=1))


def test_nothing_found_scores_zero():
    assert best_box_iou([[np.nan] * 4], [[[0, 0, 1, 1]]]).tolist() == [0.0]
    assert best_box_iou(np.zeros((0, 4)), []).tolist() == []


def test_wrong_boxes_are_named():
    with pytest.raises(ValueError, match=r"query box must have left <= right and top <= bottom, got \(5.0, 0.0, 2.0"):
        check_boxes([5, 0, 2, 1], "query box")
    with pytest.raises(ValueError, match="boxes must be finite, got nan"):
        box_area([0, 0, np.nan, 1])
    with pytest.raises(ValueError, match=r"a must have left, top, right, bottom on its last axis, got shape \(3,\)"):
        box_iou([0, 0, 1], [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"must be \(N, 4\) and \(M, 4\), got \(4,\) and \(1, 4\)"):
        pairwise_box_iou([0, 0, 1, 1], [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match=r"found must have shape \(2, 4\)"):
        best_box_iou([[0, 0, 1, 1]], [[[0, 0, 1, 1]]] * 2)
    with pytest.raises(ValueError, match=r"true_boxes\[0\] must have shape"):
        best_box_iou([[0, 0, 1, 1]], [np.zeros((0, 4))])
