"""Faster R-CNN: proposals and detections against loops, the vectors of regions, and the store."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import detection as slow

from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.models.detection.boxes import anchor_boxes
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.detection.head import OFFSET_SCALE, best_detections
from jaxret.models.detection.proposals import best_proposals
from jaxret.models.detection.settings import DetectorSettings
from jaxret.models.layers.feature_map import feature_map_stride
from jaxret.models.layers.frozen import fix_parameters, parameters_before
from jaxret.models.registry import create_encoder
from jaxret.models.store import encoder_arrays, load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing

SIZE = Preprocessing(height=64, width=64, resize="fit")
SETTINGS = DetectorSettings(
    anchor_sizes=(12, 24), anchor_aspects=(1,), proposals=9, proposals_before=40, proposer_channels=8, head_units=8
)


def detector(settings: DetectorSettings = SETTINGS, classes: tuple[str, ...] = ("cat", "dog")) -> FasterRCNN:
    net = create_backbone("small-convnet", widths=(4, 6, 8), rngs=nnx.Rngs(0))
    model = FasterRCNN(net, "conv_3", classes, SIZE, settings, rngs=nnx.Rngs(1))
    model.eval()
    return model


@pytest.fixture(scope="module")
def model() -> FasterRCNN:
    return detector()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3)).astype(np.uint8)


def moved(offsets, box):
    """The box that offsets describe, by hand."""
    width, height = box[2] - box[0], box[3] - box[1]
    x, y = (box[0] + box[2]) / 2 + offsets[0] * width, (box[1] + box[3]) / 2 + offsets[1] * height
    half = width * math.exp(offsets[2]) / 2, height * math.exp(offsets[3]) / 2
    return [x - half[0], y - half[1], x + half[0], y + half[1]]


def clipped(box, height, width):
    return [min(max(side, 0), limit) for side, limit in zip(box, (width, height, width, height), strict=True)]


def greedy(candidates, count, threshold):
    """Of (score, box) the best that overlap none taken before."""
    taken = []
    for score, box in sorted(candidates, key=lambda c: -c[0]):
        if len(taken) < count and all(slow.overlap(box, other) <= threshold for _, other in taken):
            taken.append((score, box))
    return taken


@pytest.mark.parametrize("seed", range(3))
def test_proposals_equal_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anchors = np.asarray(anchor_boxes((4, 6), 8, (8, 16)))
    logits = rng.permutation(np.linspace(-3, 3, len(anchors))).astype(np.float32)
    offsets = rng.normal(0, 0.5, (len(anchors), 4)).astype(np.float32)
    height, width = 30, 40
    boxes = [clipped(moved(o, a), height, width) for o, a in zip(offsets.tolist(), anchors.tolist(), strict=True)]
    large = [
        (score, box)
        for score, box in zip(logits.tolist(), boxes, strict=True)
        if min(box[2] - box[0], box[3] - box[1]) >= 6
    ]
    assert len(large) < len(boxes)
    expected = greedy(sorted(large, key=lambda c: -c[0])[:35], 36, 0.5)
    found = jax.jit(best_proposals, static_argnames=("count", "before"))(
        logits, offsets, anchors, jnp.array([height, width]), count=36, before=35, threshold=0.5, least_side=6
    )
    assert int(found.valid.sum()) == len(expected) < 35
    np.testing.assert_allclose(found.logits[: len(expected)], [score for score, _ in expected], rtol=1e-6)
    np.testing.assert_allclose(found.boxes[: len(expected)], [box for _, box in expected], atol=1e-3)
    assert (found.logits[len(expected) :] == -jnp.inf).all()
    assert (found.boxes[len(expected) :] == 0).all()


def test_detections_equal_loops() -> None:
    rng = np.random.default_rng(0)
    regions, classes = 12, 3
    corners = rng.uniform(0, 30, (regions, 2))
    proposals = np.concatenate([corners, corners + rng.uniform(8, 20, (regions, 2))], axis=1).astype(np.float32)
    valid = np.arange(regions) != 4
    logits = rng.normal(0, 2, (regions, 1 + classes)).astype(np.float32)
    offsets = rng.normal(0, 1, (regions, classes, 4)).astype(np.float32)
    expected = []
    for label in range(classes):
        candidates = []
        for r in np.flatnonzero(valid):
            score = math.exp(logits[r, 1 + label]) / sum(math.exp(x) for x in logits[r])
            if score >= 0.1:
                box = moved((offsets[r, label] * np.array(OFFSET_SCALE)).tolist(), proposals[r].tolist())
                candidates.append((score, clipped(box, 40, 48)))
        expected += [(score, box, label) for score, box in greedy(candidates, 99, 0.3)]
    expected.sort(key=lambda found: -found[0])
    found = jax.jit(best_detections, static_argnames=("count", "least_score"))(
        logits, offsets, proposals, valid, jnp.array([40, 48]), count=30, threshold=0.3, least_score=0.1
    )
    n = int(found.valid.sum())
    assert n == len(expected)
    assert len({label for _, _, label in expected}) == classes
    np.testing.assert_allclose(found.scores[:n], [score for score, _, _ in expected], rtol=1e-5)
    np.testing.assert_allclose(found.boxes[:n], [box for _, box, _ in expected], atol=1e-3)
    assert found.classes.tolist() == [label for _, _, label in expected] + [-1] * (30 - n)
    assert not found.scores[n:].any()


def test_regions_are_unit_vectors_of_proposals(model: FasterRCNN, images: np.ndarray) -> None:
    found = model.regions(images)
    assert found.boxes.shape == (2, 9, 4)
    lengths = jnp.linalg.norm(found.vectors, axis=-1)
    np.testing.assert_allclose(lengths, found.valid.astype(float), atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(found.image_vector, axis=-1), 1, atol=1e-5)
    assert (jnp.diff(found.scores, axis=1) <= 0).all()
    assert (found.boxes >= 0).all()
    assert (np.asarray(found.boxes) <= [32, 64, 32, 64]).all()
    maps = np.asarray(jax.jit(lambda m, x: m.feature_map(x))(model, images))
    assert maps.shape == (2, 16, 8, 8)
    largest = maps.max(axis=(1, 2))
    np.testing.assert_allclose(found.image_vector, largest / np.linalg.norm(largest, axis=1)[:, None], atol=1e-5)
    # One box asked for twice is its proposal's vector; a user's box has one of its own.
    again = model.region_vectors(images, jnp.concatenate([found.boxes[:, :3], jnp.array([[[0.0, 0, 9, 9]]] * 2)], 1))
    np.testing.assert_allclose(again[:, :3], found.vectors[:, :3], atol=1e-5)
    assert not np.allclose(again[:, 3], found.vectors[:, 0], atol=1e-3)


def test_windows_stand_for_proposals_where_they_are_chosen(model: FasterRCNN, images: np.ndarray) -> None:
    """They slide by half their sides, each with the vector that its box has by itself."""
    sliding = detector(dataclasses.replace(SETTINGS, windows=True))
    assert sliding.settings.regions == 121
    assert "windows" not in SETTINGS.to_json()
    assert DetectorSettings.from_json(sliding.settings.to_json()).windows
    found = sliding.regions(images)
    boxes = np.asarray(found.boxes)[0]
    expected = [
        (x * 32 / 6, y * 64 / 6, (x + wide) * 32 / 6, (y + high) * 64 / 6)
        for wide, steps in ((6, (0,)), (4, (0, 2)), (3, (0, 1.5, 3)), (2, (0, 1, 2, 3, 4)))
        for x in steps
        for high, others in ((6, (0,)), (4, (0, 2)), (3, (0, 1.5, 3)), (2, (0, 1, 2, 3, 4)))
        for y in others
    ]
    np.testing.assert_allclose(sorted(map(tuple, boxes.tolist())), sorted(expected), atol=1e-4)
    some = found.boxes[:, [0, 40, 120]]
    np.testing.assert_allclose(model.region_vectors(images, some), found.vectors[:, [0, 40, 120]], atol=1e-5)
    np.testing.assert_allclose(found.image_vector, model.regions(images).image_vector, atol=1e-6)
    assert np.asarray(found.valid).all()


def test_places_without_a_proposal_hold_nothing(images: np.ndarray) -> None:
    few = detector(DetectorSettings(**{**vars(SETTINGS), "least_side": 30.0}))
    found = few.regions(images)
    assert not found.valid.all()
    empty = ~np.asarray(found.valid)
    for array in (found.boxes, found.scores, found.vectors):
        assert not np.asarray(array)[empty].any()


def test_pictures_of_a_batch_do_not_see_each_other(model: FasterRCNN, images: np.ndarray) -> None:
    alone, together = model.regions(images[1:]), model.regions(images)
    np.testing.assert_allclose(alone.vectors[0], together.vectors[1], atol=1e-5)
    np.testing.assert_allclose(alone.boxes[0], together.boxes[1], atol=1e-3)


def test_detections_stay_inside_the_unpadded_part(model: FasterRCNN, images: np.ndarray) -> None:
    detections, proposals = model.detect(images, np.array([[32, 32], [64, 20]]), least_score=0.0, count=10)
    assert detections.boxes.shape == (2, 10, 4)
    for boxes in (detections.boxes, proposals.boxes):
        assert (np.asarray(boxes[0]) <= [32, 32, 32, 32]).all()
        assert (np.asarray(boxes[1]) <= [20, 64, 20, 64]).all()
    assert detections.valid.all()
    assert set(np.unique(detections.classes)) <= {0, 1}


def test_the_store_gives_the_same_model_back(model: FasterRCNN, images: np.ndarray, tmp_path: Path) -> None:
    save_encoder(model, tmp_path)
    again = load_encoder(tmp_path)
    assert isinstance(again, FasterRCNN)
    assert again.config == model.config
    assert again.preprocessing == SIZE
    assert again.settings == SETTINGS
    np.testing.assert_array_equal(again.regions(images).vectors, model.regions(images).vectors)
    fresh = create_encoder(model.config, rngs=nnx.Rngs(7))
    assert fresh.classes == ("cat", "dog")
    assert not np.allclose(fresh.regions(images).image_vector, model.regions(images).image_vector)
    del (config := model.config)["settings"]["proposals"]
    with pytest.raises(ConfigError, match="missing or unknown settings: proposals"):
        create_encoder(config, rngs=nnx.Rngs(0))


def test_fixed_parameters_are_stored_and_not_trained(images: np.ndarray) -> None:
    model = detector()
    names, vectors = list(encoder_arrays(model)), model.regions(images).vectors
    before = parameters_before(model.backbone, "conv_2")
    assert {path[:2] for path in before} == {("convolutions", 0), ("convolutions", 1)}
    fix_parameters(model.backbone, before)
    left = {path for path, _ in nnx.to_flat_state(nnx.state(model.backbone, nnx.Param))}
    assert {path[0] for path in left} == {"convolutions", "dense"}
    assert not left & before
    assert list(encoder_arrays(model)) == names
    np.testing.assert_allclose(model.regions(images).vectors, vectors, atol=1e-6)
    with pytest.raises(ConfigError, match="unknown stage of small-convnet 'conv_9': did you mean"):
        parameters_before(model.backbone, "conv_9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "conv_5"}, "unknown stage of small-convnet 'conv_5'"),
        ({"stage": "grid"}, "must cover squares that fill 32 pixels: of an image of 64 x 96 it has 4 x 4"),
        ({"classes": ()}, r"classes must be one or more different names, got \[\]"),
        ({"classes": ("a", "a")}, r"classes must be one or more different names, got \['a', 'a'\]"),
        ({"preprocessing": Preprocessing(height=64, width=50)}, "multiples of 32 pixels, got 64 x 50"),
        ({"preprocessing": Preprocessing(height=64, width=64, channels=1)}, "takes 3 channels, the preprocessing gi"),
    ],
)
def test_parts_that_do_not_fit_are_named(change: dict, message: str) -> None:
    parts = {"stage": "conv_3", "classes": ("a",), "preprocessing": SIZE} | change
    with pytest.raises(ConfigError, match=message):
        FasterRCNN(create_backbone("small-convnet", rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0), **parts)


def test_pictures_and_boxes_that_do_not_fit_are_named(model: FasterRCNN, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"multiples of 32, got \(2, 64, 30, 3\)"):
        model.regions(images[:, :, :30])
    with pytest.raises(ValueError, match=r"boxes must be \(B, R, 4\) for 2 images, got \(1, 1, 4\)"):
        model.region_vectors(images, np.zeros((1, 1, 4)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"anchor_sizes": ()}, r"anchor_sizes must be numbers above 0, got \(\)"),
        ({"anchor_aspects": (0,)}, r"anchor_aspects must be numbers above 0, got \(0,\)"),
        ({"proposals": 0}, "proposals must be at least 1, got 0"),
        ({"proposals": 2000}, "proposals_before must be at least proposals, 2000, got 1000"),
        ({"proposal_overlap": 2}, r"proposal_overlap must be an IoU in 0\.\.1, got 2"),
        ({"least_side": 0}, "least_side must be a number of pixels above 0, got 0"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DetectorSettings(**settings)


def test_strides_are_those_of_the_networks() -> None:
    strides = {
        ("mobilenet-v1", "conv_pw_11"): 16,
        ("efficientnet-lite0", "block_10"): 16,
        ("efficientnet-lite0", "block_4"): 8,
    }
    for (name, stage), stride in strides.items():
        assert feature_map_stride(create_backbone(name, rngs=nnx.Rngs(0)), stage) == stride
