"""Encoders in Flax NNX: frame backbones, recurrent clip encoders, and the weights they load."""

from jaxret.models.backbones import backbone_names, create_backbone
from jaxret.models.classifier import SoftmaxHead
from jaxret.models.encoding import Backbone, Encoding
from jaxret.models.temporal import TemporalEncoder

__all__ = ["Backbone", "Encoding", "SoftmaxHead", "TemporalEncoder", "backbone_names", "create_backbone"]
