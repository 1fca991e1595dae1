"""Encoders in Flax NNX: backbones, encoders of their sequences, whole encoders, and the weights they load.

Large backbones are not imported here: `create_backbone` makes one by its name, and `jaxret.models.backbones` has the
classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxret.lazy import lazy_names

if TYPE_CHECKING:
    from jaxret.models.backbones.map_grid import MapGrid
    from jaxret.models.backbones.pooled import MaxPooledLayers, PooledBackbone
    from jaxret.models.backbones.with_pixel_statistics import WithPixelStatistics
    from jaxret.models.base import Backbone, Encoding, SequenceEncoder
    from jaxret.models.conv_lstm.autoencoder import ConvLstmAutoencoder, create_autoencoder
    from jaxret.models.descriptors.grid import GridEncoder
    from jaxret.models.descriptors.rmac import RegionalEncoder, Regions
    from jaxret.models.descriptors.visual_words import MapWordEncoder, SiftWordEncoder
    from jaxret.models.detection.faster_rcnn import FasterRCNN
    from jaxret.models.detection.settings import DetectorSettings
    from jaxret.models.encoder import VideoEncoder
    from jaxret.models.foundation import Foundation, Sizing, open_published
    from jaxret.models.frozen import FrozenSettings, frozen_encoder
    from jaxret.models.multi_stream import StreamBackbone, StreamFusion
    from jaxret.models.origin import WeightsOrigin
    from jaxret.models.pretrained import pretrained_backbone
    from jaxret.models.projection import LinearProjection, ProjectedBackbone, ProjectedEncoder
    from jaxret.models.registry import (
        BackboneInfo,
        PackagedWeights,
        backbone_info,
        create_backbone,
        create_encoder,
        create_sequence_encoder,
        known_backbones,
        register_backbone,
        register_encoder,
        register_sequence_encoder,
    )
    from jaxret.models.store import fingerprint, load_encoder, save_encoder
    from jaxret.models.temporal.attention import AttentionFusion
    from jaxret.models.temporal.convolution_3d import Convolution3dFusion
    from jaxret.models.temporal.fusion import ConvolutionFusion, WeightedAverage
    from jaxret.models.temporal.heads import DenseEmbedding, HashLayer, SoftmaxHead, TanhHead
    from jaxret.models.temporal.pooling import Maximum, Mean, Sum, UnitLength
    from jaxret.models.temporal.recurrent import TemporalEncoder
    from jaxret.models.temporal.residual import SumResidual
    from jaxret.models.weights.load import load_pretrained

__all__ = [
    "AttentionFusion",
    "Backbone",
    "BackboneInfo",
    "ConvLstmAutoencoder",
    "Convolution3dFusion",
    "ConvolutionFusion",
    "DenseEmbedding",
    "DetectorSettings",
    "Encoding",
    "FasterRCNN",
    "Foundation",
    "FrozenSettings",
    "GridEncoder",
    "HashLayer",
    "LinearProjection",
    "MapGrid",
    "MapWordEncoder",
    "MaxPooledLayers",
    "Maximum",
    "Mean",
    "PackagedWeights",
    "PooledBackbone",
    "ProjectedBackbone",
    "ProjectedEncoder",
    "RegionalEncoder",
    "Regions",
    "SequenceEncoder",
    "SiftWordEncoder",
    "Sizing",
    "SoftmaxHead",
    "StreamBackbone",
    "StreamFusion",
    "Sum",
    "SumResidual",
    "TanhHead",
    "TemporalEncoder",
    "UnitLength",
    "VideoEncoder",
    "WeightedAverage",
    "WeightsOrigin",
    "WithPixelStatistics",
    "backbone_info",
    "create_autoencoder",
    "create_backbone",
    "create_encoder",
    "create_sequence_encoder",
    "fingerprint",
    "frozen_encoder",
    "known_backbones",
    "load_encoder",
    "load_pretrained",
    "open_published",
    "pretrained_backbone",
    "register_backbone",
    "register_encoder",
    "register_sequence_encoder",
    "save_encoder",
]

_NAMES = {
    "jaxret.models.backbones.map_grid": ("MapGrid",),
    "jaxret.models.backbones.pooled": ("MaxPooledLayers", "PooledBackbone"),
    "jaxret.models.backbones.with_pixel_statistics": ("WithPixelStatistics",),
    "jaxret.models.base": ("Backbone", "Encoding", "SequenceEncoder"),
    "jaxret.models.conv_lstm.autoencoder": ("ConvLstmAutoencoder", "create_autoencoder"),
    "jaxret.models.descriptors.grid": ("GridEncoder",),
    "jaxret.models.descriptors.rmac": ("RegionalEncoder", "Regions"),
    "jaxret.models.descriptors.visual_words": ("MapWordEncoder", "SiftWordEncoder"),
    "jaxret.models.detection.faster_rcnn": ("FasterRCNN",),
    "jaxret.models.detection.settings": ("DetectorSettings",),
    "jaxret.models.encoder": ("VideoEncoder",),
    "jaxret.models.origin": ("WeightsOrigin",),
    "jaxret.models.foundation": ("Foundation", "Sizing", "open_published"),
    "jaxret.models.frozen": ("FrozenSettings", "frozen_encoder"),
    "jaxret.models.multi_stream": ("StreamBackbone", "StreamFusion"),
    "jaxret.models.pretrained": ("pretrained_backbone",),
    "jaxret.models.projection": ("LinearProjection", "ProjectedBackbone", "ProjectedEncoder"),
    "jaxret.models.registry": (
        "BackboneInfo",
        "PackagedWeights",
        "backbone_info",
        "create_backbone",
        "create_encoder",
        "create_sequence_encoder",
        "known_backbones",
        "register_backbone",
        "register_encoder",
        "register_sequence_encoder",
    ),
    "jaxret.models.store": ("fingerprint", "load_encoder", "save_encoder"),
    "jaxret.models.temporal.attention": ("AttentionFusion",),
    "jaxret.models.temporal.convolution_3d": ("Convolution3dFusion",),
    "jaxret.models.temporal.fusion": ("ConvolutionFusion", "WeightedAverage"),
    "jaxret.models.temporal.heads": ("DenseEmbedding", "HashLayer", "SoftmaxHead", "TanhHead"),
    "jaxret.models.temporal.pooling": ("Maximum", "Mean", "Sum", "UnitLength"),
    "jaxret.models.temporal.recurrent": ("TemporalEncoder",),
    "jaxret.models.temporal.residual": ("SumResidual",),
    "jaxret.models.weights.load": ("load_pretrained",),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
