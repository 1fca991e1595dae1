"""Pretrained weights: read from files of Keras, PyTorch and safetensors, and put into backbones."""

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
