"""Which anchors and regions are objects, against loops; samples against their rules."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import detection as slow

from jaxret.models.detection.boxes import anchor_boxes
from jaxret.models.detection.head import OFFSET_SCALE
from jaxret.models.detection.targets import anchor_targets, region_targets

G = 6  # places for true boxes
targets_of_anchors = jax.jit(anchor_targets, static_argnames=("count", "positive_share"))
targets_of_regions = jax.jit(region_targets, static_argnames=("count", "positive_share"))
ANCHORS = anchor_boxes((6, 8), 8, (10, 20), (0.5, 1))


def true_boxes(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    boxes, labels = np.zeros((G, 4), np.float32), np.zeros(G, np.int32)
    corners = rng.uniform(0, 30, (count, 2))
    boxes[:count] = np.concatenate([corners, corners + rng.uniform(6, 24, (count, 2))], axis=1)
    labels[:count] = rng.integers(1, 4, count)
    return boxes, labels


@pytest.mark.parametrize(("seed", "count"), [(0, 0), (1, 1), (2, 3), (3, G)])
def test_anchors_are_labelled_as_by_loops(seed: int, count: int) -> None:
    boxes, labels = true_boxes(seed, count)
    size = jnp.array([40, 50])  # the lower right of the grid is padding
    kinds, nearest = slow.anchor_kinds(np.asarray(ANCHORS).tolist(), boxes[:count].tolist(), (40, 50))
    whole = targets_of_anchors(ANCHORS, boxes, labels, size, jax.random.key(0), count=10_000)
    expected = [{"object": 1, "background": 0, None: -1}[kind] for kind in kinds]
    assert whole.labels.tolist() == expected
    assert (1 in expected) == (count > 0)
    assert np.isfinite(whole.offsets).all()
    for n in np.flatnonzero(whole.labels == 1):
        np.testing.assert_allclose(whole.offsets[n], slow.offsets(boxes[nearest[n]], ANCHORS[n].tolist()), atol=1e-4)


def test_a_sample_of_anchors_is_at_most_half_objects_and_random() -> None:
    boxes, labels = true_boxes(3, G)
    size = jnp.array([48, 64])
    whole = targets_of_anchors(ANCHORS, boxes, labels, size, jax.random.key(0), count=10_000).labels
    objects, background = int((whole == 1).sum()), int((whole == 0).sum())
    assert objects > 4
    times = np.zeros(len(ANCHORS))
    for seed in range(40):
        sample = targets_of_anchors(ANCHORS, boxes, labels, size, jax.random.key(seed), count=8).labels
        assert (int((sample == 1).sum()), int((sample == 0).sum())) == (4, 4)
        assert bool(((sample == whole) | (sample == -1)).all())
        times += np.asarray(sample >= 0)
    assert (times[np.asarray(whole == 1)] > 0).all()  # each is drawn with probability 4 / objects
    assert times[np.asarray(whole == 0)].max() < 40 * 3 * 4 / background + 5
    few = targets_of_anchors(ANCHORS, boxes, labels, size, jax.random.key(0), count=2 * objects + 20).labels
    assert (int((few == 1).sum()), int((few == 0).sum())) == (objects, min(objects + 20, background))


@pytest.mark.parametrize(("seed", "count"), [(0, 0), (1, 1), (2, 4)])
def test_regions_are_labelled_as_by_loops(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, labels = true_boxes(seed, count)
    around = boxes[rng.integers(0, max(count, 1), 20)] + rng.normal(0, 4, (20, 4))
    proposals = np.concatenate([around, true_boxes(seed + 9, G)[0]]).astype(np.float32)
    proposals[:, 2:] = np.maximum(proposals[:, 2:], proposals[:, :2] + 1)
    valid = np.arange(26) != 3
    there = [*proposals[valid].tolist(), *boxes[:count].tolist()]
    expected = slow.region_classes(there, boxes[:count].tolist(), labels.tolist())
    found = targets_of_regions(proposals, valid, boxes, labels, jax.random.key(0), count=100, positive_share=1.0)
    assert found.boxes.shape == (26 + G, 4)
    kept = np.asarray(found.labels >= 0)
    assert int(kept.sum()) == len(there)
    as_pairs = sorted((tuple(np.round(box, 3)), label) for box, label in zip(there, expected, strict=True))
    pairs = zip(found.boxes[kept].tolist(), found.labels[kept].tolist(), strict=True)
    assert sorted((tuple(np.round(box, 3)), label) for box, label in pairs) == as_pairs
    assert expected[-count:] == labels[:count].tolist() or not count  # true boxes are among them
    assert np.isfinite(found.offsets).all()
    for n in np.flatnonzero(found.labels > 0):
        overlaps = [slow.overlap(found.boxes[n].tolist(), box) for box in boxes[:count].tolist()]
        wanted = slow.offsets(boxes[int(np.argmax(overlaps))].tolist(), found.boxes[n].tolist())
        np.testing.assert_allclose(found.offsets[n], np.array(wanted) / OFFSET_SCALE, atol=1e-3)


def test_a_sample_of_regions_is_a_quarter_objects() -> None:
    boxes, labels = true_boxes(5, 4)
    rng = np.random.default_rng(0)
    near = np.repeat(boxes[:4], 5, axis=0) + rng.uniform(-0.5, 0.5, (20, 4)).astype(np.float32)
    far = np.tile(np.array([[50.0, 50, 60, 60]], np.float32), (20, 1))
    proposals, valid = np.concatenate([near, far]), np.ones(40, bool)
    found = targets_of_regions(proposals, valid, boxes, labels, jax.random.key(0), count=16).labels
    assert (int((found > 0).sum()), int((found == 0).sum())) == (4, 12)
    empty = targets_of_regions(proposals, ~valid, boxes, 0 * labels, jax.random.key(0), count=16)
    assert (empty.labels == -1).all()
