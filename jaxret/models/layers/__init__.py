"""Layers that several models share, each in the form that is fast where it runs."""

from jaxret.models.layers.conv import ConvBatchNorm, ConvBias
from jaxret.models.layers.dispatch import convolve, depthwise_convolve, map_groups
from jaxret.models.layers.feature_map import feature_map_shape, feature_map_stride
from jaxret.models.layers.frozen import FixedArray, fix_parameters, parameters_before
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.layers.max_pooling import max_pool
from jaxret.models.layers.padded import Inside
from jaxret.models.layers.transformer import TransformerLayer

__all__ = [
    "ConvBatchNorm",
    "ConvBias",
    "FixedArray",
    "Inside",
    "TransformerLayer",
    "convolve",
    "depthwise_convolve",
    "feature_map_shape",
    "feature_map_stride",
    "fix_parameters",
    "l2_normalise",
    "map_groups",
    "max_pool",
    "parameters_before",
]
