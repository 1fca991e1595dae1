"""Encoders of frame-vector sequences: recurrent layers, learned fusions, pooling, and the layers after them."""

from jaxret.models.temporal.attention import AttentionFusion
from jaxret.models.temporal.convolution_3d import Convolution3dFusion
from jaxret.models.temporal.fusion import ConvolutionFusion, WeightedAverage
from jaxret.models.temporal.heads import DenseEmbedding, HashLayer, SoftmaxHead, TanhHead
from jaxret.models.temporal.pooling import Maximum, Mean, Sum, UnitLength
from jaxret.models.temporal.recurrent import TemporalEncoder
from jaxret.models.temporal.recurrent_cells import GRUCell, LSTMCell
from jaxret.models.temporal.residual import SumResidual

__all__ = [
    "AttentionFusion",
    "Convolution3dFusion",
    "ConvolutionFusion",
    "DenseEmbedding",
    "GRUCell",
    "HashLayer",
    "LSTMCell",
    "Maximum",
    "Mean",
    "SoftmaxHead",
    "Sum",
    "SumResidual",
    "TanhHead",
    "TemporalEncoder",
    "UnitLength",
    "WeightedAverage",
]
