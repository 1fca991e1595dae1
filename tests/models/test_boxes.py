"""Anchors, offsets, suppression and RoIAlign against plain loops."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import boxes as slow

from jaxret.metrics import pairwise_box_iou
from jaxret.models.detection.boxes import anchor_boxes, box_offsets, clip_boxes, moved_boxes, overlap_table
from jaxret.models.detection.nms import suppress_overlaps
from jaxret.models.detection.roi_align import roi_align

suppress = jax.jit(suppress_overlaps, static_argnums=2)
align = jax.jit(roi_align, static_argnames=("stride", "size", "samples"))


def random_boxes(rng, count, side=12):
    corners = rng.integers(0, side, (count, 2))
    return np.concatenate([corners, corners + rng.integers(0, 7, (count, 2))], axis=1)


def test_anchors_equal_loops_and_keep_their_area():
    found = anchor_boxes((3, 5), 16, (32, 64), (0.5, 1, 2))
    np.testing.assert_allclose(found, slow.anchors((3, 5), 16, (32, 64), (0.5, 1, 2)), rtol=1e-5, atol=1e-4)
    areas = np.asarray((found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1]))
    np.testing.assert_allclose(areas, np.tile(np.repeat([32.0**2, 64.0**2], 3), 15), rtol=1e-5)
    with pytest.raises(ValueError, match=r"aspects must be above 0, got \(0,\)"):
        anchor_boxes((3, 5), 16, aspects=(0,))
    with pytest.raises(ValueError, match=r"stride must be above 0, got \(0,\)"):
        anchor_boxes((3, 5), 0)
    with pytest.raises(ValueError, match=r"grid must have at least one row"):
        anchor_boxes((0, 5), 16)


def test_offsets_are_the_published_ones_and_turn_back():
    rng = np.random.default_rng(0)
    boxes, anchors = (random_boxes(rng, 40) + np.array([0, 0, 1, 1]) for _ in range(2))
    offsets = np.asarray(box_offsets(jnp.array(boxes, jnp.float32), jnp.array(anchors, jnp.float32)))
    for (left, top, right, bottom), (a, b, c, d), found in zip(boxes, anchors, offsets, strict=True):
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        xa, ya, wa, ha = (a + c) / 2, (b + d) / 2, c - a, d - b
        expected = [(x - xa) / wa, (y - ya) / ha, np.log(width / wa), np.log(height / ha)]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    back = jax.jit(moved_boxes)(offsets, jnp.array(anchors, jnp.float32))
    np.testing.assert_allclose(back, boxes, atol=1e-4)
    wild = moved_boxes(jnp.array([0.0, 0.0, 500.0, 500.0]), jnp.array([0.0, 0.0, 16.0, 16.0]))
    np.testing.assert_allclose(wild, [-492, -492, 508, 508], rtol=1e-5)


def test_boxes_are_cut_to_the_image():
    boxes = jnp.array([[-3.0, -2.0, 50.0, 60.0], [30.0, 5.0, 40.0, 6.0], [1.0, 2.0, 3.0, 4.0]])
    cut = jax.jit(clip_boxes)(boxes, jnp.array([10, 20]))
    assert cut.tolist() == [[0, 0, 20, 10], [20, 5, 20, 6], [1, 2, 3, 4]]


def test_overlaps_equal_those_that_are_measured():
    rng = np.random.default_rng(1)
    a, b = random_boxes(rng, 20), random_boxes(rng, 30)
    expected = pairwise_box_iou(a, b)
    no_area = [[not slow.squares(x) and not slow.squares(y) for y in b] for x in a]
    table = overlap_table(jnp.array(a, jnp.float32), jnp.array(b, jnp.float32))
    np.testing.assert_allclose(table, np.where(no_area, 0, expected), atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("by_class", [False, True])
def test_suppression_equals_a_sorted_list(seed, by_class):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 30)
    scores = rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], 30).astype(np.float32)  # ties
    scores[rng.integers(30)] = -np.inf
    classes = rng.integers(0, 3, 30) if by_class else None
    for count, threshold, least in ((40, 0.5, -np.inf), (5, 0.2, 0.3), (40, 0.2, 0.3)):
        found = suppress(
            jnp.array(boxes, jnp.float32),
            jnp.array(scores),
            count,
            threshold=threshold,
            least_score=least,
            classes=None if classes is None else jnp.array(classes),
        )
        assert found.tolist() == slow.suppressed(boxes, scores, count, threshold, least, classes)


def test_suppression_leaves_out_scores_that_are_no_numbers():
    boxes = jnp.array([[0.0, 0, 1, 1], [5, 5, 6, 6], [8, 8, 9, 9]])
    assert suppress_overlaps(boxes, jnp.array([jnp.nan, 0.2, 0.4]), 3).tolist() == [2, 1, -1]
    with pytest.raises(ValueError, match=r"must be \(N, 4\) and \(N,\) with N at least 1, got \(3, 4\), \(2,\)"):
        suppress_overlaps(boxes, jnp.zeros(2), 3)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        suppress_overlaps(boxes, jnp.zeros(3), 0)
    with pytest.raises(ValueError, match=r"classes must have shape \(3,\), got \(2,\)"):
        suppress_overlaps(boxes, jnp.zeros(3), 1, classes=jnp.zeros(2, int))


@pytest.mark.parametrize(("size", "samples", "stride"), [((7, 7), 2, 16), ((2, 3), 1, 4), ((1, 1), 3, 8.5)])
def test_roi_align_equals_reading_place_by_place(size, samples, stride):
    rng = np.random.default_rng(2)
    maps = rng.normal(size=(2, 4, 5, 2)).astype(np.float32)
    corners = rng.uniform(-2, 6, (12, 2)) * stride
    boxes = np.concatenate([corners, corners + rng.uniform(0, 5, (12, 2)) * stride], axis=1).astype(np.float32)
    boxes[3, 2:] = boxes[3, :2]  # no area
    boxes[4] = (0, 0, 5 * stride, 4 * stride)
    images = rng.integers(0, 2, 12)
    found = align(jnp.array(maps), jnp.array(boxes), jnp.array(images), stride=stride, size=size, samples=samples)
    assert found.shape == (12, *size, 2)
    for r, (box, image) in enumerate(zip(boxes, images, strict=True)):
        for channel in range(2):
            expected = slow.aligned(maps[image, :, :, channel], box, stride, size, samples)
            np.testing.assert_allclose(found[r, :, :, channel], expected, atol=1e-5)


def test_roi_align_of_the_whole_image_at_the_size_of_the_map_is_the_map():
    maps = jax.random.normal(jax.random.key(0), (1, 4, 6, 3))
    box = jnp.array([[0.0, 0.0, 48.0, 32.0]])
    found = align(maps, box, jnp.zeros(1, int), stride=8, size=(4, 6), samples=1)
    np.testing.assert_allclose(found, maps, atol=1e-6)
    total = jax.jit(lambda m: roi_align(m, box, jnp.zeros(1, int), stride=8, size=(4, 6), samples=1).sum())
    gradient = jax.grad(total)(maps)
    np.testing.assert_allclose(gradient, jnp.ones_like(maps), atol=1e-6)
    assert roi_align(maps, box[:0], jnp.zeros(0, int), stride=8).shape == (0, 7, 7, 3)


def test_roi_align_names_what_is_wrong():
    maps, boxes = jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 4))
    with pytest.raises(ValueError, match=r"got \(1, 4, 4, 2\), \(3, 4\) and \(2,\)"):
        roi_align(maps, boxes, jnp.zeros(2, int), stride=8)
    with pytest.raises(ValueError, match="stride must be above 0 pixels, got 0"):
        roi_align(maps, boxes, jnp.zeros(3, int), stride=0)
    with pytest.raises(ValueError, match=r"size and samples must be at least 1, got \(7, 7\) and 0"):
        roi_align(maps, boxes, jnp.zeros(3, int), stride=8, samples=0)
