"""Encoders in Flax NNX: frame backbones, encoders of their sequences, and the weights they load."""

from jaxret.models.backbones.pooled import LayerMaxima, PooledBackbone
from jaxret.models.base import Backbone, Encoding, SequenceEncoder
from jaxret.models.conv_lstm.autoencoder import ConvLstmAutoencoder, create_autoencoder
from jaxret.models.encoder import VideoEncoder
from jaxret.models.multi_stream import StreamBackbone, StreamFusion
from jaxret.models.projection import LinearProjection, ProjectedBackbone, ProjectedEncoder
from jaxret.models.registry import (
    BackboneInfo,
    PackagedWeights,
    backbone_info,
    backbones,
    create_backbone,
    create_encoder,
    create_sequence_encoder,
    register_backbone,
    register_encoder,
    register_sequence_encoder,
)
from jaxret.models.temporal.attention import AttentionFusion
from jaxret.models.temporal.fusion import ConvolutionFusion, WeightedAverage
from jaxret.models.temporal.heads import DenseEmbedding, HashLayer, SoftmaxHead, TanhHead
from jaxret.models.temporal.pooling import Maximum, Mean, Sum, UnitLength
from jaxret.models.temporal.recurrent import TemporalEncoder

__all__ = [
    "AttentionFusion",
    "Backbone",
    "BackboneInfo",
    "ConvLstmAutoencoder",
    "ConvolutionFusion",
    "DenseEmbedding",
    "Encoding",
    "HashLayer",
    "LayerMaxima",
    "LinearProjection",
    "Maximum",
    "Mean",
    "PackagedWeights",
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
    "VideoEncoder",
    "WeightedAverage",
    "backbone_info",
    "backbones",
    "create_autoencoder",
    "create_backbone",
    "create_encoder",
    "create_sequence_encoder",
    "register_backbone",
    "register_encoder",
    "register_sequence_encoder",
]
