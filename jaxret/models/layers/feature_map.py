"""Feature maps: their shape, learnt from shapes alone, and values a channel brought to their number of axes."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.models.base import Backbone
from jaxret.models.kept_function import parts_are_ours, programs_in_use

__all__ = ["feature_map_shape", "feature_map_stride", "per_channel", "strides_and_channels"]

Shape = tuple[int, int, int]

_KNOWN: MutableMapping[Backbone, dict[tuple[str, ...], list[Shape]]] = WeakKeyDictionary()


def feature_map_shape(backbone: Backbone, stage: str) -> Shape:
    """(H, W, C) of a stage for images of 2 x 3 of the backbone's side steps, 64 x 96 pixels for most.

    Nothing is computed.

    Raises:
      ConfigError: the backbone takes chunks or one size of images only, or the stage is unknown or no map.

    Example:
      >>> from jaxret.models.backbones.mobilenet_v1 import MobileNetV1
      >>> feature_map_shape(MobileNetV1(width=0.25, rngs=nnx.Rngs(0)), "conv_pw_11")
      (4, 6, 128)
    """
    return _feature_map_shapes(backbone, [stage])[0]


def feature_map_stride(backbone: Backbone, stage: str) -> int:
    """Pixels of the image to a cell of the map, for images whose sides are multiples of the backbone's side step.

    Raises:
      ConfigError: as `feature_map_shape`, or a cell is not as high as wide, or no part of that step.

    Example:
      >>> from jaxret.models.backbones.small_convnet import SmallConvNet
      >>> feature_map_stride(SmallConvNet(rngs=nnx.Rngs(0)), "conv_3")
      4
    """
    return strides_and_channels(backbone, [stage])[0][0]


def strides_and_channels(backbone: Backbone, stages: Sequence[str]) -> list[tuple[int, int]]:
    """Of each of some maps its stride, see `feature_map_stride`, and its channels.

    Raises:
      ConfigError: as `feature_map_stride`.
    """
    high, wide = _image_size(backbone)
    found = []
    for stage, (height, width, channels) in zip(stages, _feature_map_shapes(backbone, stages), strict=True):
        stride = high // height
        if (height * stride, width * stride) != (high, wide) or backbone.side_step % stride:
            raise ConfigError(
                f"the cells of {stage} of {backbone.name} must cover squares that fill {backbone.side_step} pixels: of "
                f"an image of {high} x {wide} it has {height} x {width}"
            )
        found.append((stride, channels))
    return found


def _feature_map_shapes(backbone: Backbone, stages: Sequence[str]) -> list[Shape]:
    """Traced once for each backbone, which takes as long as some ten images."""
    known = _KNOWN.setdefault(backbone, {})
    if (key := tuple(stages)) not in known:
        known[key] = _kept_shapes(backbone, stages)
    return known[key]


def _kept_shapes(backbone: Backbone, stages: Sequence[str]) -> list[Shape]:
    """As `_traced_shapes`, kept from one process to the next where programs are."""
    programs = programs_in_use()
    if programs is None or not parts_are_ours(backbone):
        return _traced_shapes(backbone, stages)
    key = ["shapes of maps", backbone.config, list(stages)]
    if (found := programs.facts(key)) is not None:
        return [(height, width, channels) for height, width, channels in found["shapes"]]
    shapes = _traced_shapes(backbone, stages)
    programs.keep_facts(key, {"shapes": shapes})
    return shapes


def _traced_shapes(backbone: Backbone, stages: Sequence[str]) -> list[Shape]:
    if backbone.unit != "frame":
        raise ConfigError(f"maps of images are pooled, and {backbone.name} takes chunks")
    for stage in stages:
        if stage not in backbone.stage_names:
            raise ConfigError(unknown_name_message(f"stage of {backbone.name}", stage, backbone.stage_names))
    # Not square and of no usual size, so that a layer for one size of images shows.
    images = jax.ShapeDtypeStruct((1, *_image_size(backbone), backbone.channels), jnp.uint8)
    try:
        found = nnx.eval_shape(lambda net, x: [net(x).stages[stage] for stage in stages], backbone, images)
    except ValueError as error:
        raise ConfigError(f"{backbone.name} must take images of any size here, but: {error}") from error
    for stage, shape in zip(stages, (maps.shape for maps in found), strict=True):
        if len(shape) != 4:
            raise ConfigError(f"the stage {stage!r} of {backbone.name} is no feature map: its shape is {shape}")
    return [(int(maps.shape[1]), int(maps.shape[2]), int(maps.shape[3])) for maps in found]


def _image_size(backbone: Backbone) -> tuple[int, int]:
    return 2 * backbone.side_step, 3 * backbone.side_step


def per_channel(values: jax.Array, maps: jax.Array) -> jax.Array:
    """Values (C,), one a channel, with as many axes as the maps (..., C) that they are to be combined with.

    Example:
      >>> per_channel(jnp.zeros(3), jnp.ones((2, 4, 5, 3))).shape
      (1, 1, 1, 3)
    """
    return values.reshape((1,) * (maps.ndim - 1) + values.shape)
