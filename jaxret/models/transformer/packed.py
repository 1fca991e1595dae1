"""Images of any shape as so many patches each, so that one program encodes them all (SigLIP 2 NaFlex, Tschannen et al.
2025, arXiv:2502.14786, after Patch n' Pack, Dehghani et al. 2023, arXiv:2307.06304)."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

__all__ = ["PackedPatches", "packed_positions", "patches_of"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PackedPatches:
    """The patches of images, row by row, then padding; a JAX pytree.

    Attributes:
      pixels: (B, N, p * p * C), as in the images.
      grids: int32 (B, 2), rows and columns of each image's patches, of which there are at most N.
    """

    pixels: jax.Array
    grids: jax.Array

    @classmethod
    def of_images(cls, images: ArrayLike, size: int, most: int) -> PackedPatches:
        """Packed on the host: nothing is compiled for the shape of the images.

        Args:
          images: (B, H, W, C).
          size: p, side of a patch in pixels.
          most: N.

        Raises:
          ValueError: the images are smaller than a patch, or have more than N of them.

        Example:
          >>> packed = PackedPatches.of_images(np.zeros((2, 4, 6, 3), np.uint8), size=2, most=8)
          >>> packed.pixels.shape, packed.grids[0].tolist()
          ((2, 8, 12), [2, 3])
        """
        patches = patches_of(np.asarray(images), size)  # (B, h, w, p * p * C)
        batch, rows, columns, width = patches.shape
        if rows * columns > most:
            raise ValueError(f"images must have at most {most} patches of {size} pixels, got {rows} x {columns}")
        pixels = np.zeros((batch, most, width), patches.dtype)
        pixels[:, : rows * columns] = patches.reshape(batch, -1, width)
        return cls(jnp.asarray(pixels), jnp.asarray(np.full((batch, 2), (rows, columns), np.int32)))

    @property
    def counted(self) -> jax.Array:
        """(B, N) bool, which patches are those of the image."""
        return jnp.arange(self.pixels.shape[1])[None] < jnp.prod(self.grids, axis=1, keepdims=True)


_Array = TypeVar("_Array", jax.Array, npt.NDArray[Any])


def patches_of(images: _Array, size: int) -> _Array:
    """The patches of images as vectors, row by row, colours last: (B, H, W, C) to (B, H // p, W // p, p * p * C).

    Raises:
      ValueError: the images are smaller than a patch.

    Example:
      >>> patches_of(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, 0].tolist()
      [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]
    """
    batch, height, width, channels = images.shape
    down, across = height // size, width // size
    if not down or not across:
        raise ValueError(f"images must have at least the {size} x {size} pixels of a patch, got {height} x {width}")
    cut = images[:, : down * size, : across * size]
    cells = cut.reshape(batch, down, size, across, size, channels).transpose(0, 1, 3, 2, 4, 5)
    return cells.reshape(batch, down, across, size * size * channels)


def packed_positions(grid: jax.Array, packed: PackedPatches) -> jax.Array:
    """Learned positions (h, w, D) at the grid of each image, bilinearly with antialiasing: (B, N, D) float32.

    The same as `resized_grid` image by image; what is beyond an image's patches means nothing.
    """
    count = packed.pixels.shape[1]
    number = jnp.arange(count, dtype=jnp.int32)[None]  # (1, N)
    columns = packed.grids[:, 1:]
    places = jnp.stack([number // columns, number % columns], axis=-1)  # (B, N, 2)
    down, across = (
        _triangle(places[..., axis], packed.grids[:, axis], old) for axis, old in enumerate(grid.shape[:2])
    )  # (B, N, h), (B, N, w)
    weights = (down[..., None] * across[..., None, :]).reshape(*down.shape[:2], -1)
    flat = grid.reshape(-1, grid.shape[-1]).astype(jnp.float32)
    return jnp.matmul(weights, flat, precision=jax.lax.Precision.HIGHEST)


def _triangle(places: jax.Array, new: jax.Array, old: int) -> jax.Array:
    """(B, N, old): how much each old cell counts at each place (B, N) of a side of (B,) new cells; rows sum to 1."""
    step = (old / new.astype(jnp.float32))[:, None, None]
    centres = (places[..., None].astype(jnp.float32) + 0.5) * step
    cells = jnp.arange(old, dtype=jnp.float32)[None, None] + 0.5
    weights = jnp.maximum(1 - jnp.abs(cells - centres) / jnp.maximum(step, 1.0), 0.0)
    return weights / jnp.maximum(jnp.sum(weights, axis=-1, keepdims=True), 1e-9)
