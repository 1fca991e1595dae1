"""The encoder that a training's settings describe: what is left open is chosen, then the parts are joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from flax import nnx

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.moving_digits import is_moving_digits
from jaxret.models import (
    Backbone,
    HashLayer,
    SequenceEncoder,
    StreamBackbone,
    StreamFusion,
    backbone_info,
    pretrained_backbone,
)
from jaxret.models.encoder import VideoEncoder
from jaxret.models.foundation import is_published, published_kind
from jaxret.models.frozen import weights_origin
from jaxret.models.lora import with_adapters
from jaxret.models.origin import WeightsOrigin
from jaxret.models.pretrained import backbone_of_weights
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.models.temporal.open_set_hash import OpenSetHash
from jaxret.recipes.clip_settings import ClipTrainingConfig, FrameBackboneConfig

__all__ = ["build_encoder", "frame_backbones", "resolve"]

Config = TypeVar("Config", bound=FrameBackboneConfig)


def resolve(config: Config, dataset: MediaDataset) -> Config:
    """The settings with every `auto` and `none` that stands for a choice replaced by what was chosen."""
    digits = is_moving_digits(dataset)
    weights, size = config.weights, config.image_size
    backbone: str = config.backbone
    if weights == "auto":
        packaged = backbone_info(backbone_of_weights("imagenet") if backbone == "auto" else backbone).imagenet
        fitting = packaged is not None and packaged.installed and not digits
        weights = "imagenet" if fitting else "none"
    if backbone == "auto":
        backbone = "small-convnet" if weights == "none" else backbone_of_weights(weights)
    if size is None:
        own = published_kind(weights).image_size if is_published(weights) else backbone_info(backbone).image_size
        size = 32 if digits and not is_published(weights) else own
    freeze = weights != "none" if config.freeze is None else config.freeze
    chosen: Any = {"weights": weights, "backbone": backbone, "image_size": size, "freeze": freeze}
    return dataclasses.replace(config, **chosen)


def frame_backbones(config: FrameBackboneConfig, rngs: nnx.Rngs) -> list[Backbone]:
    """A frame backbone for each modality, with its initial weights: pretrained ones where the settings name them.

    A backbone that stays frozen is the same for all modalities; those that are trained go ways of their own.

    Raises:
      WeightsError: the weights file does not fit the backbone.
    """
    streams = len(config.modalities)
    if config.freeze:
        return [_frame_backbone(config, rngs)] * streams
    return [_frame_backbone(config, rngs) for _ in range(streams)]


def build_encoder(
    config: ClipTrainingConfig, backbones: Sequence[Backbone], sequences: Sequence[SequenceEncoder], rngs: nnx.Rngs
) -> VideoEncoder:
    """The encoder of these parts, with the preprocessing and the hash layer of the settings.

    Args:
      config: resolved settings.
      backbones: one a modality; several become a backbone of streams.
      sequences: the clip half of each, from vectors of its backbone.
      rngs: for the weights of the hash layer.
    """
    backbone = backbones[0] if len(backbones) == 1 else StreamBackbone(list(backbones))
    sequence = sequences[0] if len(sequences) == 1 else StreamFusion(list(sequences))
    if config.bits:
        if isinstance(sequence, OpenSetEncoder):
            sequence = OpenSetHash(sequence, config.bits, rngs=rngs)
        else:
            sequence = HashLayer(sequence, config.bits, rngs=rngs)
    return VideoEncoder(backbone, sequence, config.preprocessing(), _origin(config))


def _origin(config: ClipTrainingConfig) -> WeightsOrigin | None:
    """Where the backbone's weights come from, if they stay as they were published."""
    if not isinstance(config, FrameBackboneConfig) or not config.frozen or config.weights == "none":
        return None
    return weights_origin(config.weights, config.backbone)


def _frame_backbone(config: FrameBackboneConfig, rngs: nnx.Rngs) -> Backbone:
    backbone = pretrained_backbone(
        config.backbone, config.weights, channels=config.channels, dtype=config.precision, rngs=rngs
    )
    return with_adapters(backbone, config.lora_rank, rngs=rngs) if config.lora_rank else backbone
