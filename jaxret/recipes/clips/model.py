"""The encoder that a training's settings describe: what is left open is chosen, and the parts are put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
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
    create_backbone,
)
from jaxret.models.encoder import VideoEncoder
from jaxret.models.weights.load import load_pretrained
from jaxret.preprocessing import Modality
from jaxret.recipes.base import ClipTrainingConfig, FrameBackboneConfig

__all__ = ["MakeSequenceEncoder", "make_clip_encoder", "put_together", "resolve"]

Config = TypeVar("Config", bound=FrameBackboneConfig)
MakeSequenceEncoder = Callable[[int, nnx.Rngs], SequenceEncoder]

_PRETRAINED = "efficientnet-lite0"  # what `auto` takes with ImageNet weights


def resolve(config: Config, dataset: MediaDataset) -> Config:
    """The settings with every `auto` and `none` that stands for a choice replaced by what was chosen."""
    digits = is_moving_digits(dataset)
    weights, size = config.weights, config.frame_size
    backbone: str = config.backbone
    if weights == "auto":
        packaged = backbone_info(_PRETRAINED if backbone == "auto" else backbone).imagenet
        fitting = packaged is not None and packaged.installed and not digits and config.freeze is not False
        weights = "imagenet" if fitting else "none"
    if backbone == "auto":
        backbone = {"imagenet": _PRETRAINED, "none": "small-convnet"}.get(weights, "mobilenet-v1")
    if size is None:
        size = 32 if digits else backbone_info(backbone).image_size
    freeze = weights != "none" if config.freeze is None else config.freeze
    chosen: Any = {"weights": weights, "backbone": backbone, "frame_size": size, "freeze": freeze}
    return dataclasses.replace(config, **chosen)


def make_clip_encoder(
    config: FrameBackboneConfig,
    make_sequence_encoder: MakeSequenceEncoder,
    *,
    wrap: Callable[[Backbone], Backbone] = lambda backbone: backbone,
) -> VideoEncoder:
    """The encoder with its initial weights: pretrained ones in the backbone where asked for, random elsewhere.

    Args:
      config: resolved settings.
      make_sequence_encoder: `(size of a frame vector, rngs)` to the clip half of one stream.
      wrap: the frame backbone, its weights loaded, to the one that is used.

    Raises:
      WeightsError: the weights file does not fit the backbone.
    """
    rngs = nnx.Rngs(config.seed)
    streams = len(config.modalities)
    backbone = wrap(_frame_backbone(config, rngs))
    if streams > 1:
        # A frozen backbone is the same for all streams; those that are trained go ways of their own.
        others = [backbone if config.freeze else wrap(_frame_backbone(config, rngs)) for _ in range(streams - 1)]
        backbone = StreamBackbone([backbone, *others])
    parts = [make_sequence_encoder(backbone.embedding_size // streams, rngs) for _ in range(streams)]
    sequence: SequenceEncoder = parts[0] if streams == 1 else StreamFusion(parts)
    return put_together(config, backbone, sequence, rngs, modalities=config.modalities)


def put_together(
    config: ClipTrainingConfig,
    backbone: Backbone,
    sequence: SequenceEncoder,
    rngs: nnx.Rngs,
    *,
    modalities: tuple[Modality, ...] = ("rgb",),
) -> VideoEncoder:
    """The encoder of these parts, with the preprocessing and the hash layer that the settings ask for."""
    preprocessing = config.preprocessing(modalities=modalities)
    if config.bits:
        sequence = HashLayer(sequence, config.bits, rngs=rngs)
    return VideoEncoder(backbone, sequence, preprocessing)


def _frame_backbone(config: FrameBackboneConfig, rngs: nnx.Rngs) -> Backbone:
    backbone = create_backbone(config.backbone, channels=config.channels, rngs=rngs, dtype=config.precision)
    if config.weights != "none":
        load_pretrained(backbone, config.weights)
    return backbone
