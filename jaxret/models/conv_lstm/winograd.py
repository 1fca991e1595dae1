"""3 x 3 convolutions by Winograd's minimal filtering, F(4 x 4, 3 x 3): a quarter of the multiplications.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308. Images are cut into tiles
of 4 x 4 places. What a tile sees, 6 x 6 places, the kernel, and the outputs are related by linear transforms

    Y = A' [(G K G') . (B' X B)] A

in which the product of the middle is, at each of 36 points, one of matrices over the channels. The two-sided transforms
of a tile are written as one matrix (B' (x) B' of 36 x 36 and so on) that multiplies the tiles' places, so that all of
the work is in matrix products, which are what XLA computes well on a CPU. The transforms amplify rounding: in float32
the result is some ten times less exact than the direct sum, 1e-5 of the largest output.

Maps are kept tile by tile: (4, 4, B, H/4, W/4, C), places inside a tile first. Pointwise functions do not care, and
neighbours are whole slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = [
    "TILE",
    "adjoint_of_kernel",
    "adjoint_of_seen",
    "outputs_of",
    "point_products",
    "points_of_gradient",
    "points_of_kernel",
    "points_seen",
]

TILE = 4
"""Places of a tile along each axis."""

# Lavin and Gray's matrices of F(4, 3), for the interpolation points 0, 1, -1, 2, -2 and infinity.
_B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_A = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
_SEEN, _KERNEL, _OUTPUTS = (np.kron(matrix, matrix).astype(np.float32) for matrix in (_B, _G, _A))


def points_of_kernel(kernel: jax.Array) -> jax.Array:
    """G K G': a kernel (3, 3, M, N) at the 36 points, (36, M, N).

    Example:
      >>> points_of_kernel(jnp.ones((3, 3, 5, 7))).shape
      (36, 5, 7)
    """
    return jnp.matmul(_KERNEL, kernel.reshape(9, -1)).reshape(36, *kernel.shape[2:])


def adjoint_of_kernel(points: jax.Array) -> jax.Array:
    """The adjoint of `points_of_kernel`: (36, ...) to (3, 3, ...)."""
    return jnp.matmul(_KERNEL.T, points.reshape(36, -1)).reshape(3, 3, *points.shape[1:])


def points_seen(tiles: jax.Array) -> jax.Array:
    """B' X B: what tiles (4, 4, B, n, m, C) see, zeros outside the image, at the 36 points, (36, B n m, C)."""
    seen = _with_neighbours(_with_neighbours(tiles, 0, 3), 1, 4)
    return jnp.matmul(_SEEN, seen.reshape(36, -1)).reshape(36, -1, tiles.shape[-1])


def adjoint_of_seen(points: jax.Array, shape: Sequence[int]) -> jax.Array:
    """The adjoint of `points_seen`: (36, B n m, C) to tiles of that shape, (4, 4, B, n, m, C)."""
    seen = jnp.matmul(_SEEN.T, points.reshape(36, -1)).reshape(6, 6, *shape[2:])
    return _into_neighbours(_into_neighbours(seen, 1, 4), 0, 3)


def outputs_of(points: jax.Array, shape: Sequence[int]) -> jax.Array:
    """A' M A: products (36, B n m, C) at the points to tiles of outputs of that shape, (4, 4, B, n, m, C)."""
    return jnp.matmul(_OUTPUTS, points.reshape(36, -1)).reshape(*shape)


def points_of_gradient(tiles: jax.Array) -> jax.Array:
    """The adjoint of `outputs_of`: (4, 4, B, n, m, C) to (36, B n m, C)."""
    return jnp.matmul(_OUTPUTS.T, tiles.reshape(16, -1)).reshape(36, -1, tiles.shape[-1])


def point_products(left: jax.Array, right: jax.Array, *, axes: tuple[int, int]) -> jax.Array:
    """At each of 36 points the product of two matrices, summed over those axes of `left` and `right` (1 or 2)."""
    return lax.dot_general(left, right, (((axes[0],), (axes[1],)), ((0,), (0,))))


def _with_neighbours(tiles: jax.Array, places: int, neighbours: int) -> jax.Array:
    """Along an axis of places inside a tile 6 instead of 4: with the last before and the first after."""
    last, first = (lax.slice_in_dim(tiles, place, place + 1, axis=places) for place in (3, 0))
    return jnp.concatenate([_shift(last, neighbours, 1), tiles, _shift(first, neighbours, -1)], axis=places)


def _into_neighbours(seen: jax.Array, places: int, neighbours: int) -> jax.Array:
    """The adjoint of `_with_neighbours`."""
    before, first, middle, last, after = (
        lax.slice_in_dim(seen, start, stop, axis=places) for start, stop in ((0, 1), (1, 2), (2, 4), (4, 5), (5, 6))
    )
    first, last = first + _shift(after, neighbours, 1), last + _shift(before, neighbours, -1)
    return jnp.concatenate([first, middle, last], axis=places)


def _shift(tiles: jax.Array, axis: int, by: int) -> jax.Array:
    """Entry i goes to i + by, zeros come in."""
    pads = [(0, 0, 0)] * tiles.ndim
    pads[axis] = (by, -by, 0)
    return lax.pad(tiles, jnp.zeros((), tiles.dtype), pads)
