"""Backbones by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from flax import nnx

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.models.base import Backbone

__all__ = ["backbone_names", "create_backbone"]

# Modules are imported when asked for: a small model need not wait for the large ones.
_BACKBONES = {
    "small-convnet": ("backbones.small_convnet", "SmallConvNet"),
    "mobilenet-v1": ("backbones.mobilenet_v1", "MobileNetV1"),
    "efficientnet-lite0": ("backbones.efficientnet_lite", "EfficientNetLite0"),
    "vgg16": ("backbones.vgg16", "VGG16"),
}
_CHUNK_BACKBONES = {"c3d": ("backbones.c3d", "C3D"), "conv-lstm": ("conv_lstm.encoder", "ConvLstmEncoder")}


def backbone_names() -> tuple[str, ...]:
    """The names of the backbones that take single frames."""
    return tuple(_BACKBONES)


def create_backbone(name: str, *, rngs: nnx.Rngs, **options: Any) -> Backbone:
    """A backbone with random weights, in evaluation mode.

    Args:
      name: one of `backbone_names()`, or `c3d` or `conv-lstm`, which take chunks of video; `streams`, `projected`,
        `pooled` and `layer-maxima` hold others.
      rngs: source of the initial weights.
      options: settings of that backbone, such as `width` of mobilenet-v1; see its class.

    Raises:
      ConfigError: the name or an option is unknown (the message gives the nearest one), or a value is bad.

    Example:
      >>> from flax import nnx
      >>> backbone = create_backbone("small-convnet", embedding_size=32, rngs=nnx.Rngs(0))
      >>> backbone.embedding_size, backbone.config["widths"]
      (32, [16, 32, 32])
    """
    if name == "streams":
        return _create_streams(**options, rngs=rngs)
    if name == "projected":
        return _create_projected(**options, rngs=rngs)
    if name == "pooled":
        return _create_pooled(**options, rngs=rngs)
    if name == "layer-maxima":
        return _create_layer_maxima(**options, rngs=rngs)
    leaves = _BACKBONES | _CHUNK_BACKBONES
    if name not in leaves:
        holders = ("streams", "projected", "pooled", "layer-maxima")
        raise ConfigError(unknown_name_message("backbone", name, [*leaves, *holders]))
    module, class_name = leaves[name]
    backbone_class: Callable[..., Backbone] = getattr(importlib.import_module(f"jaxret.models.{module}"), class_name)
    known = set(inspect.signature(backbone_class.__init__).parameters) - {"self", "rngs"}
    for option in options:
        if option not in known:
            raise ConfigError(unknown_name_message(f"option of {name}", option, known))
    backbone = backbone_class(rngs=rngs, **options)
    backbone.eval()
    return backbone


def _create_streams(backbones: list[dict[str, Any]], streams: int, *, rngs: nnx.Rngs) -> Backbone:
    from jaxret.models.multi_stream import StreamBackbone  # it needs what this module makes

    made = [create_backbone(**settings, rngs=rngs) for settings in backbones]
    if len(made) not in (1, streams):
        raise ConfigError(f"{streams} streams need one backbone for all or one each, got {len(made)}")
    return StreamBackbone(made * streams if len(made) == 1 else made)


def _create_projected(backbone: dict[str, Any], size: int, *, rngs: nnx.Rngs) -> Backbone:
    from jaxret.models.projection import ProjectedBackbone  # it needs what this module makes

    return ProjectedBackbone(create_backbone(**backbone, rngs=rngs), size)


def _create_pooled(backbone: dict[str, Any], stage: str, *, rngs: nnx.Rngs, **settings: Any) -> Backbone:
    from jaxret.models.backbones.pooled import PooledBackbone  # it needs what this module makes

    return PooledBackbone(create_backbone(**backbone, rngs=rngs), stage, **settings)


def _create_layer_maxima(backbone: dict[str, Any], layers: list[str], *, rngs: nnx.Rngs) -> Backbone:
    from jaxret.models.backbones.pooled import LayerMaxima  # it needs what this module makes

    return LayerMaxima(create_backbone(**backbone, rngs=rngs), layers)
