"""Faster R-CNN on a feature pyramid: its parts against loops, padded images against each alone, and its published
file."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import detection as slow
from safetensors.numpy import save_file

from jaxret.__main__ import dispatch
from jaxret.errors import ConfigError, WeightsError
from jaxret.models import create_backbone
from jaxret.models.detection import read_detector
from jaxret.models.detection.boxes import corner_anchors
from jaxret.models.detection.proposals import best_of_levels
from jaxret.models.detection.published import published_arrays
from jaxret.models.detection.pyramid import FeaturePyramid, pooled_from_levels
from jaxret.models.detection.pyramid_rcnn import PyramidRCNN
from jaxret.models.detection.roi_align import roi_align
from jaxret.models.detection.settings import DetectorSettings
from jaxret.models.store import load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing

SIZE = Preprocessing(height=128, width=128, resize="fit")
STAGES = ("conv_pw_3", "conv_pw_5", "conv_pw_11", "conv_pw_13")
SETTINGS = DetectorSettings(
    anchor_sizes=(16, 32, 64, 96, 128),
    anchor_aspects=(2, 1, 0.5),
    proposer_channels=8,
    head_units=8,
    proposals=7,
    proposals_before=50,
    least_side=1e-3,
)


def detector(**changed) -> PyramidRCNN:
    net = create_backbone("mobilenet-v1", width=0.125, rngs=nnx.Rngs(0))
    parts = {"stages": STAGES, "classes": ("cat", "dog"), "preprocessing": SIZE, "settings": SETTINGS} | changed
    model = PyramidRCNN(net, **parts, rngs=nnx.Rngs(1))
    model.eval()
    return model


@pytest.fixture(scope="module")
def model() -> PyramidRCNN:
    return detector()


def test_anchors_lie_about_the_corners_of_cells_with_rounded_half_sides() -> None:
    expected = []
    for row in range(2):
        for column in range(3):
            for aspect in (2, 1, 0.5):
                wide, high = 45 * math.sqrt(aspect) / 2, 45 / math.sqrt(aspect) / 2
                x, y = column * 16, row * 24
                expected.append([x - round(wide), y - round(high), x + round(wide), y + round(high)])
    found = corner_anchors((2, 3), (24, 16), 45, (2, 1, 0.5))
    np.testing.assert_array_equal(found, expected)


def test_boxes_of_several_maps_suppress_their_own_map_alone() -> None:
    rng = np.random.default_rng(0)
    levels = []
    for grid, size in (((4, 6), 12), ((2, 3), 20)):
        anchors = np.asarray(corner_anchors(grid, (12, 12), size, (1,)))
        logits = rng.permutation(np.linspace(-3, 3, len(anchors))).astype(np.float32)
        levels.append((logits, rng.normal(0, 0.5, (len(anchors), 4)).astype(np.float32), anchors))
    expected = []
    for logits, offsets, anchors in levels:
        taken = []
        best = np.argsort(-logits)[:20]  # before tiny boxes are dropped
        for n in best:
            width, height = anchors[n, 2] - anchors[n, 0], anchors[n, 3] - anchors[n, 1]
            x = (anchors[n, 0] + anchors[n, 2]) / 2 + offsets[n, 0] * width
            y = (anchors[n, 1] + anchors[n, 3]) / 2 + offsets[n, 1] * height
            wide, high = width * math.exp(offsets[n, 2]) / 2, height * math.exp(offsets[n, 3]) / 2
            box = [max(x - wide, 0), max(y - high, 0), min(x + wide, 60), min(y + high, 40)]
            large = min(box[2] - box[0], box[3] - box[1]) >= 6
            if large and all(slow.overlap(box, other) <= 0.4 for _, other in taken):
                taken.append((logits[n], box))
        expected += taken
    expected.sort(key=lambda found: -found[0])
    found = jax.jit(best_of_levels, static_argnames=("count", "before"))(
        levels, jnp.array([40, 60]), count=25, before=20, threshold=0.4, least_side=6
    )
    count = len(expected)
    assert int(found.valid.sum()) == count < 25
    np.testing.assert_allclose(found.logits[:count], [score for score, _ in expected], rtol=1e-6)
    np.testing.assert_allclose(found.boxes[:count], [box for _, box in expected], atol=1e-3)


def test_a_box_is_read_on_the_map_that_fits_its_size() -> None:
    """The level by the paper's equation 1; and the form that is not aligned, whose first cell lies on the border."""
    rng = np.random.default_rng(0)
    levels = [rng.normal(size=(2, 256 // stride, 256 // stride, 3)).astype(np.float32) for stride in (4, 8, 16, 32)]
    boxes = np.array([[[3, 4, 40, 60], [0, 0, 112, 112], [9, 1, 250, 251]], [[0, 0, 56, 200], [5, 5, 6, 6], [0] * 4]])
    sizes = jnp.full((2, 2), 256, jnp.int32)
    given = [jnp.asarray(maps) for maps in levels]
    found = pooled_from_levels(given, jnp.asarray(boxes, jnp.float32), sizes, strides=(4, 8, 16, 32), grid=2)
    chosen = set()
    for image in range(2):
        for place, (left, top, right, bottom) in enumerate(boxes[image].tolist()):
            area = (right - left) * (bottom - top)
            level = 0 if area == 0 else min(max(math.floor(4 + math.log2(math.sqrt(area) / 224) + 1e-6), 2), 5) - 2
            chosen.add(level)
            stride, maps = 4 * 2**level, levels[level][image]
            wide, high = max((right - left) / stride, 1), max((bottom - top) / stride, 1)
            for row in range(2):
                for column in range(2):
                    total = np.zeros(3)
                    for a in (0.25, 0.75):
                        for b in (0.25, 0.75):
                            y, x = top / stride + (row + a) * high / 2, left / stride + (column + b) * wide / 2
                            total += bilinear(maps, y, x) / 4
                    np.testing.assert_allclose(found[image, place, row, column], total, atol=1e-4)
    assert chosen == {0, 1, 2}
    here, there = (jnp.array([[a, a, a + 32, a + 32]], jnp.float32) for a in (8, 10))
    finest, first = jnp.asarray(levels[0]), jnp.array([0])
    one, other = (roi_align(finest, box, first, stride=4) for box in (here, there))
    off = roi_align(finest, here, first, stride=4, aligned=False)
    np.testing.assert_allclose(other, off, atol=1e-5)
    assert not np.allclose(one, off, atol=1e-2)


def bilinear(maps: np.ndarray, y: float, x: float) -> np.ndarray:
    y, x = min(max(y, 0), maps.shape[0] - 1), min(max(x, 0), maps.shape[1] - 1)
    low, left = math.floor(y), math.floor(x)
    high, right = min(low + 1, maps.shape[0] - 1), min(left + 1, maps.shape[1] - 1)
    down, across = y - low, x - left
    upper = (1 - across) * maps[low, left] + across * maps[low, right]
    return (1 - down) * upper + down * ((1 - across) * maps[high, left] + across * maps[high, right])


def test_a_pyramid_adds_what_the_coarser_maps_know() -> None:
    net = FeaturePyramid((3, 5), 4, dtype=jnp.float32, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(1, 6, 4, 3)).astype(np.float32), rng.normal(size=(1, 3, 2, 5)).astype(np.float32)]
    levels = net([jnp.asarray(m) for m in maps])
    inner = [
        m @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
        for m, layer in zip(maps, net.inner, strict=True)
    ]
    fine = inner[0] + inner[1].repeat(2, 1).repeat(2, 2)
    for found, x, layer in zip(levels, (fine, inner[1]), net.outer, strict=False):
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        kernel = np.asarray(layer.kernel[...])
        height, width = x.shape[1:3]
        expected = sum(padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert expected.min() < 0  # nothing is rectified
    np.testing.assert_array_equal(levels[2], levels[1][:, ::2, ::2])


def test_padded_images_give_what_each_gives_alone(model: PyramidRCNN) -> None:
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 256, (2, 128, 128, 3), np.uint8)  # what stands in the padding must not matter
    sizes = [(64, 128), (128, 64)]
    together = model.regions(batch, sizes)
    for number, (height, width) in enumerate(sizes):
        alone = model.regions(batch[number : number + 1, :height, :width])
        np.testing.assert_allclose(alone.boxes[0], together.boxes[number], atol=1e-2)
        np.testing.assert_allclose(alone.vectors[0], together.vectors[number], atol=1e-4)
        np.testing.assert_allclose(alone.image_vector[0], together.image_vector[number], atol=1e-4)
        assert (np.asarray(alone.boxes[0]) <= [width, height, width, height]).all()
        assert alone.valid.all()
        whole = model.region_vectors(batch[[number]], [[[0, 0, width, height]]], [sizes[number]])
        np.testing.assert_allclose(whole[0, 0], together.image_vector[number], atol=1e-5)
    assert not np.allclose(together.vectors[0, 0], together.vectors[1, 0], atol=1e-2)


def test_windows_are_those_of_each_image() -> None:
    sliding = detector(settings=dataclasses.replace(SETTINGS, windows=True))
    found = sliding.regions(np.zeros((1, 128, 128, 3), np.uint8), [(64, 128)])
    assert found.boxes.shape == (1, 121, 4)
    expected = [128 * 2 / 3, 64 * 2 / 3, 128, 64]
    np.testing.assert_allclose(np.asarray(found.boxes).max(axis=(0, 1)), expected, rtol=1e-6)


def test_detections_come_from_the_pyramid(model: PyramidRCNN, tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    detections, proposals = model.detect(images, least_score=0.0, count=5)
    assert detections.boxes.shape == (1, 5, 4)
    assert detections.valid.all()
    assert proposals.boxes.shape == (1, 7, 4)
    save_encoder(model, tmp_path)
    again = load_encoder(tmp_path)
    assert again.config == model.config
    np.testing.assert_array_equal(again.detect(images, least_score=0.0, count=5)[0].boxes, detections.boxes)
    assert "a pyramid of mobilenet-v1" in again.summary


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stages": ("conv_pw_3", "conv_pw_11")}, r"must halve from one to the next, got strides \(4, 16\)"),
        ({"stages": ("conv_pw_3", "conv_pw_99")}, "unknown stage of mobilenet-v1 'conv_pw_99'"),
        ({"classes": ("a", "a")}, r"classes must be one or more different names, got \['a', 'a'\]"),
        ({"settings": DetectorSettings()}, r"anchor_sizes must be one for each of 4 maps and one more, got \(32, 64"),
    ],
)
def test_parts_that_do_not_fit_are_named(changed: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        detector(**changed)


def test_a_trunk_that_takes_one_size_is_refused() -> None:
    net = create_backbone("vision-transformer", units=12, heads=3, depth=1, patch_size=8, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="vision-transformer takes images of one size in a batch"):
        PyramidRCNN(net, ["block_1"], ["a"], SIZE, SETTINGS, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A file of the full shape with three classes, under the names of the published one."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in published_arrays(3).items():
        number = rng.normal() if len(shape) > 1 else 1.0
        arrays[name] = np.full(shape, number, np.float32)  # each its own: a wrong place shows
    small = "roi_heads.box_predictor.bbox_pred.bias"
    arrays[small] = np.arange(16, dtype=np.float32)
    fc6 = "roi_heads.box_head.fc6.weight"
    arrays[fc6][0] = np.arange(arrays[fc6].shape[1])
    older = {
        "backbone.fpn.inner_blocks.0.0.weight": "backbone.fpn.inner_blocks.0.weight",
        "rpn.head.conv.0.0.bias": "rpn.head.conv.bias",
    }
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    save_file({older.get(name, name): array for name, array in arrays.items()}, path)
    return path, arrays


def test_a_published_file_is_read_without_torch(published: tuple[Path, dict[str, np.ndarray]]) -> None:
    path, arrays = published
    found = read_detector(path, SIZE, proposals=12)
    assert found.classes == ("class 1", "class 2", "class 3")
    assert found.settings.proposals == 12
    assert found.backbone.config["epsilon"] == 0
    assert found.config["weights"]["family"] == "faster-rcnn"
    assert found.config["weights"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    trunk = found.backbone.layers["layer2"][0]
    for theirs, variable in {
        "backbone.body.conv1.weight": found.backbone.stem.kernel,
        "backbone.body.layer2.0.conv2.weight": trunk.conv2.kernel,
        "backbone.body.layer2.0.downsample.0.weight": trunk.shortcut.kernel,
        "backbone.fpn.inner_blocks.0.0.weight": found.pyramid.inner[0].kernel,
        "backbone.fpn.layer_blocks.3.0.weight": found.pyramid.outer[3].kernel,
        "rpn.head.bbox_pred.weight": found.proposer.offsets.kernel,
        "roi_heads.box_predictor.cls_score.weight": found.head.logits.kernel,
        "roi_heads.box_predictor.bbox_pred.weight": found.head.offsets.kernel,
    }.items():
        np.testing.assert_array_equal(np.unique(variable[...]), np.unique(arrays[theirs]), err_msg=theirs)
    assert found.head.offsets.bias[...].tolist() == list(range(4, 16))  # without the background's
    # (channel, row, column) there, (row, column, channel) here.
    units = np.asarray(found.head.dense_1.kernel[...])[:, 0].reshape(7, 7, 256)
    assert units[2, 3, 5] == 5 * 49 + 2 * 7 + 3


def test_the_file_is_described(
    published: tuple[Path, dict[str, np.ndarray]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, arrays = published
    assert dispatch(["weights", str(path)]) == 0
    out = capsys.readouterr().out
    learnt = [array for name, array in arrays.items() if "running" not in name]
    for told in (
        "faster-rcnn, Faster R-CNN on a pyramid of resnet50",
        f"parameters: {sum(array.size for array in learnt) - 4 * 1025:,}",
        "classes: unnamed",
        "a region's vector: 256 numbers",
        hashlib.sha256(path.read_bytes()).hexdigest(),
    ):
        assert told in out


def test_other_files_are_refused(published: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    _, arrays = published
    save_file({"conv1.weight": np.zeros((1, 1), np.float32)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"x.safetensors holds no fasterrcnn_resnet50_fpn of torchvision: it lacks"):
        read_detector(tmp_path / "x.safetensors", SIZE)
    few = {name: array for name, array in arrays.items() if ".layer4." not in name}
    save_file(few, tmp_path / "y.safetensors")
    with pytest.raises(WeightsError, match="not fit torchvision's fasterrcnn_resnet50_fpn with PyTorch names: mis"):
        read_detector(tmp_path / "y.safetensors", SIZE)
