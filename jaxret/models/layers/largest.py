"""The largest of some values, with a gradient that is finite in whatever way the values are computed."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["largest", "smallest"]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def largest(values: jax.Array, axis: int) -> jax.Array:
    """The maximum along an axis, whose gradient goes to where it is, the first such place.

    JAX's own gradient goes to the values that equal the maximum, divided by their number. A compiler may compute the
    values once for the maximum and once more to be compared with it, rounded in another way: none is equal then, and
    the gradient is 0 / 0.

    Args:
      values: (..., N, ...) floating, N at least 1.
      axis: of N.

    Returns:
      (..., ...) of the same dtype.

    Example:
      >>> jax.grad(lambda x: largest(x, 0))(jnp.array([1.0, 3.0, 3.0])).tolist()
      [0.0, 1.0, 0.0]
    """
    return values.max(axis)


@largest.defjvp
def _largest_jvp(axis: int, primals: tuple[Any], tangents: tuple[Any]) -> tuple[jax.Array, jax.Array]:
    (values,), (tangent,) = primals, tangents
    place = jnp.argmax(values, axis, keepdims=True)
    there = jax.lax.broadcasted_iota(place.dtype, values.shape, axis % values.ndim) == place
    return largest(values, axis), jnp.where(there, tangent, 0).sum(axis)


def smallest(values: jax.Array, axis: int) -> jax.Array:
    """The minimum along an axis, see `largest`."""
    return -largest(-values, axis)
