"""The published detector against torchvision's own, on random weights, at every stage.

It needs PyTorch and torchvision (the extra `parity`), and is skipped without them; the slow twins beside this test hold
the same ground without.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxret.models.detection import read_detector
from jaxret.preprocessing import Preprocessing

torch = pytest.importorskip("torch", reason="needs PyTorch: the extra parity")

pytestmark = pytest.mark.filterwarnings("ignore")
HEIGHT, WIDTH, COUNT = 128, 192, 1000


@pytest.fixture(scope="module")
def torchvision():
    """The package; beside a PyTorch for CPUs its compiled operators may be missing, and Python stands in for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        declared = torch.library.Library("torchvision", "FRAGMENT")
        try:
            import torchvision
        except RuntimeError:  # its operators are declared where they are compiled
            for name in ("nms", "qnms"):
                declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            torchvision = pytest.importorskip("torchvision", reason="needs torchvision: the extra parity")
        except ImportError:
            pytest.skip("needs torchvision: the extra parity")
    if not torchvision.extension._has_ops():
        torchvision.ops.boxes.nms = greedy
    return torchvision


def greedy(boxes, scores, threshold):
    from torchvision.ops.boxes import box_iou

    overlaps, kept = box_iou(boxes, boxes) > threshold, []
    dead = torch.zeros(len(boxes), dtype=torch.bool)
    for box in scores.argsort(descending=True, stable=True).tolist():
        if not dead[box]:
            kept.append(box)
            dead |= overlaps[box]
    return torch.tensor(kept, dtype=torch.int64)


@pytest.fixture(scope="module")
def theirs(torchvision):
    """Their detector with random weights of which every one counts, without epsilon as with the published weights."""
    torch.manual_seed(0)
    make = torchvision.models.detection.fasterrcnn_resnet50_fpn
    model = make(weights=None, weights_backbone=None, min_size=HEIGHT, max_size=WIDTH)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0
            torch.nn.init.normal_(module.weight, 0.6, 0.1)
            torch.nn.init.normal_(module.bias, 0.3, 0.1)
            torch.nn.init.normal_(module.running_mean, 0.0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    # Boxes stay wider than a cell, where the operators in Python read as the compiled ones do.
    torch.nn.init.normal_(model.rpn.head.bbox_pred.weight, 0, 0.005)
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, 0, 0.05)
    return model.eval()


def relative(ours, expected) -> float:
    ours, expected = np.asarray(ours), np.asarray(expected)
    assert ours.shape == expected.shape
    return float(np.abs(ours - expected).max() / np.abs(expected).max())


def test_every_stage_is_theirs(theirs, tmp_path: Path) -> None:
    torch.save(theirs.state_dict(), tmp_path / "detector.pth")
    size = Preprocessing(height=HEIGHT, width=WIDTH, resize="fit")
    found = read_detector(tmp_path / "detector.pth", size, proposals=COUNT)
    assert found.classes[:3] == ("person", "bicycle", "car")
    images = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 3)).astype(np.uint8)
    images[:, 30:90, 40:120] //= 3
    seen = {}
    theirs.backbone.register_forward_hook(lambda *given: seen.update(maps=given[2]))
    theirs.rpn.head.register_forward_hook(lambda *given: seen.update(scored=given[2]))
    theirs.rpn.anchor_generator.register_forward_hook(lambda *given: seen.update(anchors=given[2]))
    theirs.rpn.register_forward_hook(lambda *given: seen.update(proposals=given[2][0]))
    theirs.roi_heads.box_roi_pool.register_forward_hook(lambda *given: seen.update(pooled=given[2]))
    with torch.no_grad():
        expected = theirs(list(torch.tensor(images.transpose(0, 3, 1, 2) / 255).float()))

    sizes = jnp.array([[HEIGHT, WIDTH]] * 2, jnp.int32)
    maps = jax.jit(lambda model, x: model.maps_of(x, sizes))(found, jnp.asarray(images))
    for level, own in zip(maps.levels, seen["maps"].values(), strict=True):
        assert relative(level, own.permute(0, 2, 3, 1)) < 1e-5
    levels = jax.jit(lambda model, maps: model.propose(maps))(found, maps)
    for (logits, offsets, _), scores, moves in zip(levels, *seen["scored"], strict=True):
        assert relative(logits, scores.permute(0, 2, 3, 1).reshape(2, -1)) < 1e-4
        assert relative(offsets, moves.permute(0, 2, 3, 1).reshape(2, -1, 4)) < 1e-4
    np.testing.assert_array_equal(np.concatenate([level[2] for level in levels]), seen["anchors"][0])

    detections, proposals = found.detect(images, count=100)
    some = min(map(len, seen["proposals"]))
    pooled = jax.jit(lambda model, maps, boxes: model.pooled_regions(maps, boxes))(
        found, maps, jnp.stack([jnp.asarray(boxes[:some].numpy()) for boxes in seen["proposals"]])
    )
    first = 0
    for image, boxes in enumerate(seen["proposals"]):
        assert int(proposals.valid[image].sum()) == len(boxes) > 300
        # Of nearly equal logits either may come first.
        apart = np.abs(np.asarray(proposals.boxes[image, : len(boxes)]) - boxes.numpy()).max(axis=1)
        assert (apart < 1e-2).mean() > 0.99
        assert relative(pooled[image], seen["pooled"][first : first + some].permute(0, 2, 3, 1)) < 1e-4
        first += len(boxes)
        valid = np.asarray(detections.valid[image])
        assert valid.sum() == len(expected[image]["boxes"]) == 100
        np.testing.assert_allclose(detections.scores[image], expected[image]["scores"], atol=1e-4)
        np.testing.assert_allclose(detections.boxes[image], expected[image]["boxes"], atol=1e-2)
        np.testing.assert_array_equal(np.asarray(detections.classes[image]) + 1, expected[image]["labels"])
