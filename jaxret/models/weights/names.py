"""What each pretrained architecture calls its arrays, in weight files and in its module here.

A `WeightTable` maps a name in the file to a `Slot`: the path of the variable in the module, and how the
file's array becomes it. Files written from the modules themselves use their own paths, joined by dots.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from flax import nnx

from jaxret.models.backbones.efficientnet_lite import EfficientNetLite0
from jaxret.models.backbones.mobilenet_v1 import MobileNetV1
from jaxret.models.backbones.vgg16 import VGG16
from jaxret.models.base import Backbone

__all__ = ["Path", "Slot", "WeightTable", "own_table", "variables_by_path", "weight_tables"]

Path = tuple[str | int, ...]
_Change = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where an array goes, and how: `change` turns the file's array into the variable's layout."""

    path: Path
    change: _Change = lambda array: array
    change_back: _Change = lambda array: array


@dataclasses.dataclass(frozen=True)
class WeightTable:
    """The arrays that a file must hold, by name, and those it may hold that are not used.

    Attributes:
      family: who writes such files, for messages.
      slots: every array that is needed.
      unused: whether an array of this name may be there and is left out: the classification head of a
        backbone made without one, and counters of training steps.
      first_kernel: the name of the first convolution's kernel.
    """

    family: str
    slots: dict[str, Slot]
    unused: Callable[[str], bool]
    first_kernel: str


def variables_by_path(module: nnx.Module) -> dict[Path, nnx.Variable[Any]]:
    """Parameters and running statistics of a module by path; random streams are left out."""
    parts: Any = nnx.split(module, nnx.RngState, ...)
    flat: Any = nnx.to_flat_state(parts[-1])
    return dict(flat)


def own_table(backbone: Backbone) -> WeightTable:
    """Names as in the module: `convolutions.0.kernel`."""
    variables = {".".join(map(str, path)): (path, variable) for path, variable in variables_by_path(backbone).items()}
    # Of the dense convolutions the one that takes as many channels as a picture has; later ones take many more.
    takers = (name for name, (_, v) in variables.items() if v.ndim > 3 and v.shape[-2] == backbone.channels)
    slots = {name: Slot(path) for name, (path, _) in variables.items()}
    return WeightTable("jaxret", slots, lambda name: False, next(takers, ""))


def weight_tables(backbone: Backbone) -> list[WeightTable]:
    """The tables of other libraries for this backbone, with only the arrays that it has."""
    match backbone:
        case MobileNetV1():
            return [_mobilenet_keras(backbone)]
        case VGG16():
            return [_vgg16_keras(backbone)]
        case EfficientNetLite0():
            return [_efficientnet_lite_torch(backbone)]
    return []


def _axes(*order: int) -> tuple[_Change, _Change]:
    inverse = tuple(int(place) for place in np.argsort(order))
    return (lambda array: array.transpose(order)), (lambda array: array.transpose(inverse))


_DEPTHWISE_KERAS: tuple[_Change, _Change] = (lambda k: k[..., 0]), (lambda k: k[..., None])  # (h, w, C, 1)
_POINT_KERAS: tuple[_Change, _Change] = (lambda k: k[0, 0]), (lambda k: k[None, None])  # (1, 1, I, O)
_DENSE_TORCH = _axes(1, 0)  # (O, I)
_CONV_TORCH = _axes(2, 3, 1, 0)  # (O, I, h, w)
_DEPTHWISE_TORCH: tuple[_Change, _Change] = (  # (C, 1, h, w)
    (lambda k: k[:, 0].transpose(1, 2, 0)),
    (lambda k: k.transpose(2, 0, 1)[:, None]),
)


def _mobilenet_keras(backbone: MobileNetV1) -> WeightTable:
    slots = {}
    for layer in backbone.layer_names:
        changes = _DEPTHWISE_KERAS if layer.startswith("conv_dw") else ()
        slots[f"{layer}/kernel"] = Slot(("layers", layer, "kernel"), *changes)
        for theirs, ours in (("gamma", "scale"), ("beta", "bias"), ("moving_mean", "mean"), ("moving_variance", "var")):
            slots[f"{layer}_bn/{theirs}"] = Slot(("layers", layer, "norm", ours))
    if backbone.classes:
        slots["conv_preds/kernel"] = Slot(("head", "kernel"), *_POINT_KERAS)
        slots["conv_preds/bias"] = Slot(("head", "bias"))
    return WeightTable("Keras", slots, lambda name: name.startswith("conv_preds/"), "conv1/kernel")


def _vgg16_keras(backbone: VGG16) -> WeightTable:
    layers: dict[str, Path] = {name: ("convolutions", name) for name in backbone.convolutions}
    layers |= {name: ("dense", name) for name in backbone.dense}
    if backbone.classes:
        layers["predictions"] = ("head",)
    slots = {f"{layer}/{role}": Slot((*path, role)) for layer, path in layers.items() for role in ("kernel", "bias")}
    head = ("fc1/", "fc2/", "predictions/")
    return WeightTable("Keras", slots, lambda name: name.startswith(head), "block1_conv1/kernel")


def _efficientnet_lite_torch(backbone: EfficientNetLite0) -> WeightTable:
    slots: dict[str, Slot] = {}

    def convolution(theirs: str, their_norm: str, *ours: str | int, depthwise: bool = False) -> None:
        slots[f"{theirs}.weight"] = Slot((*ours, "kernel"), *(_DEPTHWISE_TORCH if depthwise else _CONV_TORCH))
        for name, own in (("weight", "scale"), ("bias", "bias"), ("running_mean", "mean"), ("running_var", "var")):
            slots[f"{their_norm}.{name}"] = Slot((*ours, "norm", own))

    convolution("_conv_stem", "_bn0", "stem")
    for number, block in enumerate(backbone.blocks):
        prefix = f"_blocks.{number}"
        if block.expand is not None:
            convolution(f"{prefix}._expand_conv", f"{prefix}._bn0", "blocks", number, "expand")
        convolution(f"{prefix}._depthwise_conv", f"{prefix}._bn1", "blocks", number, "depthwise", depthwise=True)
        convolution(f"{prefix}._project_conv", f"{prefix}._bn2", "blocks", number, "project")
    convolution("_conv_head", "_bn1", "last")
    if backbone.classes:
        slots["_fc.weight"] = Slot(("head", "kernel"), *_DENSE_TORCH)
        slots["_fc.bias"] = Slot(("head", "bias"))
    return WeightTable(
        "PyTorch",
        slots,
        lambda name: name.startswith("_fc.") or name.endswith(".num_batches_tracked"),
        "_conv_stem.weight",
    )
