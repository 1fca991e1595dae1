"""A detector from its published file: torchvision's Faster R-CNN with ResNet-50 and a feature pyramid, version 1."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from flax import nnx

from jaxret.errors import WeightsError
from jaxret.models.backbones.resnet50 import ResNet50, torch_slots
from jaxret.models.detection.pyramid_rcnn import PyramidRCNN
from jaxret.models.detection.settings import DetectorSettings
from jaxret.models.foundation.files import checksum_of
from jaxret.models.origin import WeightsOrigin
from jaxret.models.registry import create_backbone
from jaxret.models.weights.load import fill_module, read_weights, shape_in_file
from jaxret.models.weights.names import TORCH_CONVOLUTION, TORCH_DENSE, Slot, WeightTable, variables_by_path
from jaxret.models.weights.names import Path as Place
from jaxret.preprocessing import Preprocessing

__all__ = ["PUBLISHED_DETECTOR", "holds_detector", "published_arrays", "read_detector"]

Arrays = dict[str, npt.NDArray[Any]]

_FAMILY = "faster-rcnn"
PUBLISHED_DETECTOR = "fasterrcnn_resnet50_fpn"
"""The name of the model in torchvision."""

_STAGES = ("layer1", "layer2", "layer3", "layer4")
_SETTINGS = DetectorSettings(
    anchor_sizes=(32, 64, 128, 256, 512),
    anchor_aspects=(2, 1, 0.5),
    proposer_channels=256,
    head_units=1024,
    proposals_before=1000,
    least_side=1e-3,
)
_SCORES = "roi_heads.box_predictor.cls_score.weight"
_OLDER_NAMES = (  # before each convolution became a sequence of layers
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^(rpn\.head\.conv)\.(weight|bias)$"), r"\1.0.0.\2"),
)
_COCO = (  # by number, from 1; the data set's authors left some numbers without a class
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, -, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, -, backpack, umbrella, "
    "-, -, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, -, wine glass, cup, fork, knife, spoon, bowl, banana, apple, "
    "sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, -, "
    "dining table, -, -, toilet, -, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, "
    "refrigerator, -, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)


def holds_detector(arrays: Arrays) -> bool:
    """Whether arrays are those of a Faster R-CNN of torchvision."""
    return _SCORES in arrays and any(name.startswith("rpn.head.") for name in arrays)


def read_detector(
    path: str | Path, preprocessing: Preprocessing, *, proposals: int = 100, windows: bool = False
) -> PyramidRCNN:
    """The detector in a weights file, `.pth` or safetensors, in evaluation mode; nothing in the file is executed.

    Batch norms are without epsilon, as torchvision's are with these weights. Classes are COCO's where there are 90,
    else numbered.

    Args:
      path: of a state dict of `fasterrcnn_resnet50_fpn`, of version 1 (not `_v2`), with any number of classes.
      preprocessing: how images are scaled; torchvision scales the shorter side to 800 pixels.
      proposals: of an image; torchvision looks at 1,000 when it detects.
      windows: whether search compares windows in place of proposals, see `DetectorSettings`.

    Raises:
      WeightsError: the file is damaged or of another model; the message lists what is missing or does not fit.
      FileNotFoundError: there is no such file.
    """
    arrays = read_weights(path)
    if not holds_detector(arrays) or arrays[_SCORES].ndim != 2 or len(arrays[_SCORES]) < 2:
        raise WeightsError(f"{path} holds no {PUBLISHED_DETECTOR} of torchvision: it lacks {_SCORES}")
    settings = dataclasses.replace(
        _SETTINGS, proposals=proposals, proposals_before=max(_SETTINGS.proposals_before, proposals), windows=windows
    )
    detector = _of_shapes(_class_names(len(arrays[_SCORES]) - 1), preprocessing, settings)
    table = WeightTable("PyTorch", _slots(detector), lambda name: name.endswith(".num_batches_tracked"), "")
    fill_module(detector, table, _newer_names(arrays), source=str(path), name=f"torchvision's {PUBLISHED_DETECTOR}")
    detector.origin = WeightsOrigin(_FAMILY, checksum_of([Path(path)]))
    return detector


def published_arrays(classes: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the arrays that a file must hold.

    Args:
      classes: without the background.
    """
    detector = _of_shapes(_class_names(classes), Preprocessing(height=64, width=64, resize="fit"), _SETTINGS)
    variables = variables_by_path(detector)
    return {name: shape_in_file(slot, variables[slot.path].shape) for name, slot in _slots(detector).items()}


def _of_shapes(classes: list[str], preprocessing: Preprocessing, settings: DetectorSettings) -> PyramidRCNN:
    """The detector without numbers."""

    def made() -> PyramidRCNN:
        backbone = create_backbone("resnet50", epsilon=0.0, rngs=nnx.Rngs(0))
        return PyramidRCNN(backbone, _STAGES, classes, preprocessing, settings, rngs=nnx.Rngs(0))

    detector: PyramidRCNN = nnx.eval_shape(made)
    detector.eval()
    return detector


def _class_names(count: int) -> list[str]:
    """COCO's classes, or numbers."""
    coco = _COCO.split(", ")
    names = coco if count == len(coco) else ["-"] * count
    return [f"class {number}" if name == "-" else name for number, name in enumerate(names, start=1)]


def _newer_names(arrays: Arrays) -> Arrays:
    def newer(name: str) -> str:
        for pattern, now in _OLDER_NAMES:
            name = pattern.sub(now, name)
        return name

    return {newer(name): array for name, array in arrays.items()}


def _slots(detector: PyramidRCNN) -> dict[str, Slot]:
    """Where each array of the state dict goes."""
    assert isinstance(detector.backbone, ResNet50)
    slots = torch_slots(detector.backbone, ("backbone",), "backbone.body.")

    def layer(theirs: str, place: Place, change: Any) -> None:
        slots[f"{theirs}.weight"] = Slot((*place, "kernel"), *change)
        slots[f"{theirs}.bias"] = Slot((*place, "bias"))

    for number in range(len(_STAGES)):
        layer(f"backbone.fpn.inner_blocks.{number}.0", ("pyramid", "inner", number), _POINTWISE)
        layer(f"backbone.fpn.layer_blocks.{number}.0", ("pyramid", "outer", number), TORCH_CONVOLUTION)
    layer("rpn.head.conv.0.0", ("proposer", "shared"), TORCH_CONVOLUTION)
    layer("rpn.head.cls_logits", ("proposer", "objectness"), _POINTWISE)
    layer("rpn.head.bbox_pred", ("proposer", "offsets"), _POINTWISE)
    layer("roi_heads.box_head.fc6", ("head", "dense_1"), _of_regions(detector.settings.region_grid))
    layer("roi_heads.box_head.fc7", ("head", "dense_2"), TORCH_DENSE)
    layer("roi_heads.box_predictor.cls_score", ("head", "logits"), TORCH_DENSE)
    # Its first four rows are the background's, which has no box.
    layer("roi_heads.box_predictor.bbox_pred", ("head", "offsets"), (_boxes_of_classes, _boxes_with_background))
    bias = "roi_heads.box_predictor.bbox_pred.bias"
    slots[bias] = dataclasses.replace(
        slots[bias], change=lambda a: a[4:], change_back=lambda a: np.broadcast_to(a[:1], len(a) + 4)
    )
    return slots


_Change = tuple[Callable[[npt.NDArray[Any]], npt.NDArray[Any]], Callable[[npt.NDArray[Any]], npt.NDArray[Any]]]

_POINTWISE: _Change = (lambda k: k[:, :, 0, 0].T), (lambda k: k.T[:, :, None, None])
"""A 1 x 1 convolution (O, I, 1, 1) of PyTorch to a dense kernel (I, O), and back."""


def _of_regions(grid: int) -> _Change:
    """A dense kernel (O, C rows columns) to one (rows columns C, O), and back."""
    return (
        lambda k: k.reshape(len(k), -1, grid, grid).transpose(2, 3, 1, 0).reshape(-1, len(k)),
        lambda k: k.reshape(grid, grid, -1, k.shape[-1]).transpose(3, 2, 0, 1).reshape(k.shape[-1], -1),
    )


def _boxes_of_classes(kernel: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return kernel[4:].T


def _boxes_with_background(kernel: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros((4, len(kernel)), kernel.dtype), kernel.T])
