"""Encoders in Flax NNX: frame backbones, encoders of their sequences, and the weights they load."""

from jaxret.models.backbones.pooled import LayerMaxima, PooledBackbone
from jaxret.models.base import Backbone, Encoding, SequenceEncoder
from jaxret.models.conv_lstm.autoencoder import ConvLstmAutoencoder, create_autoencoder
from jaxret.models.multi_stream import StreamBackbone, StreamFusion
from jaxret.models.projection import LinearProjection, ProjectedBackbone, ProjectedEncoder
from jaxret.models.registry import backbone_names, create_backbone
from jaxret.models.sequence_registry import create_sequence_encoder
from jaxret.models.temporal.attention import AttentionFusion
from jaxret.models.temporal.fusion import ConvolutionFusion, WeightedAverage
from jaxret.models.temporal.heads import DenseEmbedding, HashLayer, SoftmaxHead, TanhHead
from jaxret.models.temporal.pooling import Maximum, Mean, Sum, UnitLength
from jaxret.models.temporal.recurrent import TemporalEncoder

__all__ = [
    "AttentionFusion",
    "Backbone",
    "ConvLstmAutoencoder",
    "ConvolutionFusion",
    "DenseEmbedding",
    "Encoding",
    "HashLayer",
    "LayerMaxima",
    "LinearProjection",
    "Maximum",
    "Mean",
    "PooledBackbone",
    "ProjectedBackbone",
    "ProjectedEncoder",
    "SequenceEncoder",
    "SoftmaxHead",
    "StreamBackbone",
    "StreamFusion",
    "Sum",
    "TanhHead",
    "TemporalEncoder",
    "UnitLength",
    "WeightedAverage",
    "backbone_names",
    "create_autoencoder",
    "create_backbone",
    "create_sequence_encoder",
]
