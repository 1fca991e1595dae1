"""Images of several sizes in one batch: where each ends, and layers that give what they give each image alone."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["Inside"]


class Inside:
    """What of a batch, and of its feature maps, is image, and what padding below and to the right of it.

    A convolution pads every image with zeros. Where the image is followed by padding instead, it sees zeros there as
    well if whatever reached the padding is made zero before each convolution that looks beyond its own place. It is
    enough to do so where it looks, right after the image (`fringed`).

    Args:
      sizes: int (B, 2), height and width of each image in pixels, multiples of the pixels to a cell of every map.
      canvas: height and width of the whole batch.

    Example:
      >>> inside = Inside(jnp.array([[2, 4]]), (4, 4))
      >>> inside(jnp.ones((1, 2, 2, 1)))[0, ..., 0].tolist()
      [[1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, sizes: jax.Array, canvas: Sequence[int]):
        self.sizes, self.canvas = sizes, canvas

    def cells(self, maps: jax.Array) -> jax.Array:
        """Which places of maps (B, H, W, C), of any number of pixels to a place, are image; bool (B, H, W, 1)."""
        rows, columns = (
            jnp.arange(count, dtype=jnp.int32)[None] * (side // count) < self.sizes[:, axis, None]
            for axis, (count, side) in enumerate(zip(maps.shape[1:3], self.canvas, strict=True))
        )
        return rows[:, :, None, None] & columns[:, None, :, None]

    def __call__(self, maps: jax.Array) -> jax.Array:
        """The maps with zeros where there is no image."""
        return jnp.where(self.cells(maps), maps, jnp.zeros((), maps.dtype))

    def fringed(self, maps: jax.Array, pads: Sequence[tuple[int, int]]) -> jax.Array:
        """Maps that were padded for a convolution, with zeros right below and right of each image: all that it sees.

        Few places are written, where the mask of `__call__` would go through every one of them.

        Args:
          maps: (B, before + H + after, before + W + after, C).
          pads: zeros before and after rows and columns that are in them; after an image as many places become zero.
        """
        for axis, (side, (before, after)) in enumerate(zip(self.canvas, pads, strict=True), start=1):
            stride = side // (maps.shape[axis] - before - after)
            zeros = jnp.zeros([after if n == axis else size for n, size in enumerate(maps.shape) if n], maps.dtype)
            for row in range(len(maps)):
                end = before + self.sizes[row, axis - 1] // stride
                begin = [row, *(end if n == axis else 0 for n in range(1, maps.ndim))]
                maps = lax.dynamic_update_slice(maps, zeros[None], begin)
        return maps
