"""A feature pyramid (Lin et al. 2017, "Feature pyramid networks for object detection", arXiv:1612.03144)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.models.detection.roi_align import roi_align
from jaxret.models.layers.conv import ConvBias
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.layers.padded import Inside

__all__ = ["FeaturePyramid", "pooled_from_levels"]

_CANONICAL_SIDE, _CANONICAL_STRIDE = 224, 16  # a box of ImageNet's size is read where a cell has 16 pixels


class FeaturePyramid(nnx.Module):
    """Maps of a backbone brought to the same channels, each with what the coarser ones know.

    Args:
      in_channels: of the backbone's maps, finest first; each is half as fine as the one before.
      channels: of all maps of the pyramid.
      dtype: compute dtype.
      rngs: source of the initial weights.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.inner = nnx.List(
            [nnx.Linear(size, channels, kernel_init=glorot_uniform, dtype=dtype, rngs=rngs) for size in in_channels]
        )
        self.outer = nnx.List(
            [
                ConvBias(
                    channels,
                    channels,
                    window=(3, 3),
                    activation="linear",
                    kernel_init=glorot_uniform,
                    dtype=dtype,
                    rngs=rngs,
                )
                for _ in in_channels
            ]
        )

    def __call__(self, maps: Sequence[jax.Array], inside: Inside | None = None) -> tuple[jax.Array, ...]:
        """The maps (B, H, W, C_in) to as many (B, H, W, channels), and every other place of the last once more;
        `inside`: of padded images.
        """
        levels: list[jax.Array] = []
        above = None
        for inner, outer, own in zip(self.inner[::-1], self.outer[::-1], maps[::-1], strict=True):
            x = inner(own)
            above = x if above is None else x + above.repeat(2, axis=1).repeat(2, axis=2)
            levels.insert(0, outer(above, inside))
        return (*levels, levels[-1][:, ::2, ::2])


def pooled_from_levels(
    levels: Sequence[jax.Array], boxes: jax.Array, sizes: jax.Array, *, strides: Sequence[int], grid: int
) -> jax.Array:
    """RoIAlign of each box on the map whose cells fit its size (the paper's equation 1), in the form not aligned.

    Args:
      levels: maps (B, H, W, C), finest first.
      boxes: (B, R, 4) in pixels of the images.
      sizes: int (B, 2), height and width of each image, where the rest is padding.
      strides: pixels to a cell of each map, each twice the one before.
      grid: rows and columns that a box is pooled to.

    Returns:
      (B, R, grid, grid, C).
    """
    batch, count = boxes.shape[:2]
    flat = boxes.reshape(-1, 4)
    images = jnp.repeat(jnp.arange(batch), count)
    sides = jnp.sqrt((flat[:, 2] - flat[:, 0]) * (flat[:, 3] - flat[:, 1]))
    finest = jnp.log2(jnp.float32(_CANONICAL_STRIDE / strides[0]))
    wanted = jnp.floor(finest + jnp.log2(sides / _CANONICAL_SIDE) + 1e-6)
    wanted = jnp.clip(wanted, 0, len(levels) - 1).astype(jnp.int32)
    # All boxes are read on all maps: a program that chooses one for each box reads them one by one, and takes longer.
    found = jnp.zeros((len(flat), grid, grid, levels[0].shape[-1]), levels[0].dtype)
    for number, (maps, stride) in enumerate(zip(levels, strides, strict=True)):
        pooled = roi_align(maps, flat, images, stride=stride, size=(grid, grid), aligned=False, sizes=sizes)
        found = jnp.where((wanted == number)[:, None, None, None], pooled, found)
    return found.reshape(batch, count, *found.shape[1:])
