"""A backbone of chunks, and behind each of its vectors what the pixels of the chunk say without any training."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxret.errors import ConfigError
from jaxret.models.backbones.small_convnet import grid_average
from jaxret.models.backbones.wrapping import WrappingBackbone
from jaxret.models.base import Backbone, Encoding, check_sizes
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.registry import register_backbone

__all__ = ["WithPixelStatistics"]

_BINS = 64  # of a histogram of colours
_NOTHING = 1e-3  # a deviation over time that compression or rounding may bring, in 0..1


@register_backbone()
class WithPixelStatistics(WrappingBackbone):
    """The vectors of a network, with statistics of the pixels behind them.

    Frames are averaged at grid x grid places. The statistics are the mean of these over time (less half of the largest
    value), how much they differ over time (square roots of what their standard deviations are above a thousandth of
    it), and how often each of 64 colours or grey values is seen (square roots of the shares of all pixels), each of
    length 1. Nothing of it is learned, so that it is worth the same for classes that were trained on and for others. An
    image, which stands still, does not differ over time: its second part is 0.

    Args:
      network: a backbone of chunks, for colours or grey images.
      grid: places along a side.

    Attributes:
      learned: L, numbers of the network, which come first.
      embedding_size: L + 2 * grid * grid * C + 64.
      stage_names: the network's own.

    Raises:
      ConfigError: the network takes single frames, or has other than 1 or 3 channels; or the grid is below 1.

    Example:
      >>> from flax import nnx
      >>> from jaxret.models.backbones.c3d import C3D
      >>> beside = WithPixelStatistics(C3D(width=1 / 64, embedding_size=16, rngs=nnx.Rngs(0)))
      >>> jax.eval_shape(beside, jnp.zeros((2, 16, 112, 112, 3), jnp.uint8)).embedding.shape
      (2, 464)
    """

    name: ClassVar[str] = "with-pixel-statistics"
    wrapped: ClassVar[str] = "network"

    def __init__(self, network: Backbone, *, grid: int = 8):
        check_sizes(grid=grid)
        if network.unit != "chunk":
            raise ConfigError(f"statistics over time are of chunks, and {network.name} takes single frames")
        if network.channels not in (1, 3):
            raise ConfigError(f"a histogram of colours is of 1 or 3 channels, got {network.channels}")
        self.network, self.grid = network, grid
        self._begin_as(network)
        self.learned = network.embedding_size
        self.embedding_size = self.learned + 2 * grid * grid * self.channels + _BINS

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.network.summary} beside statistics of pixels"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {"name": self.name, "network": self.network.config, "grid": self.grid}

    def __call__(self, clips: jax.Array) -> Encoding:
        """Clips (B, T, H, W, C), uint8 or floating in 0..255, to vectors (B, D), and the network's stages."""
        encoding = self.network(clips)
        pixels = clips.astype(jnp.float32) / 255
        batch, frames = pixels.shape[:2]
        places = grid_average(pixels.reshape(batch * frames, *pixels.shape[2:]), self.grid)
        places = places.reshape(batch, frames, -1)  # (B, T, grid * grid * C)
        changes = l2_normalise(jnp.sqrt(jnp.maximum(places.std(axis=1) - _NOTHING, 0)))
        mean = l2_normalise(places.mean(axis=1) - 0.5)
        parts = [encoding.embedding, mean, changes, jnp.sqrt(_colours(pixels))]
        return Encoding(jnp.concatenate(parts, axis=-1), encoding.stages)


def _colours(pixels: jax.Array) -> jax.Array:
    """How large a share of the pixels (B, ..., C) in 0..1, C 1 or 3, is of each of 64 colours: (B, 64)."""
    channels = pixels.shape[-1]
    levels = round(_BINS ** (1 / channels))  # of each channel
    of_channels = jnp.minimum((pixels * levels).astype(jnp.int32), levels - 1)
    weights = jnp.array([levels**place for place in range(channels)], jnp.int32)
    bins = (of_channels @ weights).reshape(len(pixels), -1, 1)
    return (bins == jnp.arange(_BINS, dtype=jnp.int32)[None, None]).mean(axis=1, dtype=jnp.float32)
