"""Pretrained weights: read from files of Keras, PyTorch and safetensors, and put into backbones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxret.lazy import lazy_names

if TYPE_CHECKING:
    from jaxret.models.weights.load import find_imagenet_weights, load_arrays, load_pretrained, read_weights
    from jaxret.models.weights.names import (
        KERAS_DEPTHWISE,
        KERAS_POINTWISE,
        TORCH_CONVOLUTION,
        TORCH_DENSE,
        TORCH_DEPTHWISE,
        Slot,
        WeightTable,
    )

__all__ = [
    "KERAS_DEPTHWISE",
    "KERAS_POINTWISE",
    "TORCH_CONVOLUTION",
    "TORCH_DENSE",
    "TORCH_DEPTHWISE",
    "Slot",
    "WeightTable",
    "find_imagenet_weights",
    "load_arrays",
    "load_pretrained",
    "read_weights",
]

_NAMES = {
    "jaxret.models.weights.load": ("find_imagenet_weights", "load_arrays", "load_pretrained", "read_weights"),
    "jaxret.models.weights.names": (
        "KERAS_DEPTHWISE",
        "KERAS_POINTWISE",
        "TORCH_CONVOLUTION",
        "TORCH_DENSE",
        "TORCH_DEPTHWISE",
        "Slot",
        "WeightTable",
    ),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
