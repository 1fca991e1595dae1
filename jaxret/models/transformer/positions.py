"""Where tokens stand: a grid of learned positions brought to another size, and angles of rotary positions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

__all__ = ["Interpolation", "resized_grid", "rotary_angles"]

Interpolation = Literal["bicubic", "bicubic-antialias", "bilinear-antialias"]
"""How a grid of positions is brought to another size. "bicubic" samples four by four neighbours, with the kernel of
a = -0.75; with "antialias" the kernel, of a = -0.5 or a triangle, is as wide as a cell of the new grid. These are
PyTorch's forms, with which the published models were made."""


def resized_grid(grid: jax.Array, height: int, width: int, *, method: Interpolation, offset: float = 0.0) -> jax.Array:
    """A grid of vectors (h, w, D) at another size, (height, width, D).

    Args:
      grid: (h, w, D).
      height, width: of the new grid.
      method: see `Interpolation`.
      offset: the step between new cells is h / (height + offset) old ones; DINOv2 was trained with 0.1. A grid of its
        own size stays as it is all the same, as there.

    Example:
      >>> grid = jnp.arange(16.0).reshape(4, 4, 1)
      >>> resized_grid(grid, 2, 2, method="bilinear-antialias").shape
      (2, 2, 1)
    """
    grid = grid.astype(jnp.float32)
    if grid.shape[:2] == (height, width):
        return grid
    for axis, new in enumerate((height, width)):
        old = grid.shape[axis]
        if old != new or (offset and method == "bicubic"):
            weights = _resizing(old, new, method, offset)
            resized = jnp.tensordot(weights, grid, axes=(1, axis), precision=jax.lax.Precision.HIGHEST)
            grid = jnp.moveaxis(resized, 0, axis)
    return grid


@functools.lru_cache(maxsize=64)
def _resizing(old: int, new: int, method: Interpolation, offset: float) -> npt.NDArray[np.float32]:
    """(new, old): how much each old cell counts in each new one; rows sum to 1."""
    step = old / (new + offset)
    centres = (np.arange(new) + 0.5) * step
    rows = np.zeros((new, old))
    if method == "bicubic":
        for row, centre in zip(rows, centres - 0.5, strict=True):
            first = int(np.floor(centre)) - 1
            for cell in range(first, first + 4):
                row[min(max(cell, 0), old - 1)] += _cubic(np.abs(centre - cell), -0.75)
        return rows.astype(np.float32)
    kernel: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
    kernel, reach = (_triangle, 1.0) if method == "bilinear-antialias" else (lambda x: _cubic(x, -0.5), 2.0)
    stretch = max(step, 1.0)
    for row, centre in zip(rows, centres, strict=True):
        first = max(int(centre - reach * stretch + 0.5), 0)
        cells = np.arange(first, min(int(centre + reach * stretch + 0.5), old))
        weights = kernel(np.abs(cells + 0.5 - centre) / stretch)
        row[cells] = weights / weights.sum()
    return rows.astype(np.float32)


def _cubic(distance: npt.NDArray[np.float64], a: float) -> npt.NDArray[np.float64]:
    """The cubic convolution kernel (Keys 1981) at a distance of at least 0."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))


def _triangle(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.maximum(1 - distance, 0)


def rotary_angles(height: int, width: int, head_size: int, *, base: float = 100.0) -> jax.Array:
    """The angles of rotary positions of a grid of patches, as DINOv3 has them (arXiv:2508.10104).

    Patch centres lie in -1 .. 1 along both axes, whatever the size. Half of the angles turn with the row, half with the
    column, of periods base^0 .. base^(1 - 4 / head_size).

    Args:
      height, width: of the grid.
      head_size: d, a multiple of 4.
      base: of the periods.

    Returns:
      (height * width, d / 2) float32 radians, row by row.

    Raises:
      ValueError: the head size is no multiple of 4.

    Example:
      >>> (rotary_angles(1, 2, 4) / jnp.pi).tolist()
      [[0.0, -1.0], [0.0, 1.0]]
    """
    if head_size % 4:
        raise ValueError(f"head_size must be a multiple of 4 for rotary positions of two axes, got {head_size}")
    periods = np.float32(base) ** np.arange(0, 1, 4 / head_size, dtype=np.float32)  # (d / 4,)
    rows, columns = (2 * (np.arange(count) + 0.5).astype(np.float32) / count - 1 for count in (height, width))
    centres = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)  # (h * w, 2)
    angles = 2 * np.pi * centres[:, :, None] / periods[None, None]  # (h * w, 2, d / 4)
    return jnp.asarray(angles.reshape(len(angles), -1), jnp.float32)
