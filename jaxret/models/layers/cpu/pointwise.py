"""A convolution of 1 x 1 as one matrix product, with the gradient of its kernel: the fast form on a CPU."""

from __future__ import annotations

import jax
from jax import lax

__all__ = ["pointwise_convolution"]

# Channels from which the gradient of the kernel takes a transposed copy of the rows; measured.
_WIDE = 256


def pointwise_convolution(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """Each place's channels by one matrix: (..., C_in) by (C_in, C_out) gives (..., C_out).

    Reverse-mode differentiable.

    Example:
      >>> import jax.numpy as jnp
      >>> pointwise_convolution(jnp.ones((1, 2, 2, 3)), jnp.ones((3, 4))).shape
      (1, 2, 2, 4)
    """
    # As rows, because the gradient of a product of more axes is computed from a transposed copy of the maps.
    rows = inputs.reshape(-1, inputs.shape[-1])
    return _product(rows, kernel).reshape(*inputs.shape[:-1], kernel.shape[-1])


@jax.custom_vjp
def _product(rows: jax.Array, kernel: jax.Array) -> jax.Array:
    return rows @ kernel


def _forward(rows: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return rows @ kernel, (rows, kernel)


def _backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    rows, kernel = saved
    across = rows.T
    if len(across) >= _WIDE:
        # XLA's product that sums over the first axis of both sides is slower than the usual one and a copy before it.
        across = lax.optimization_barrier(across)
    return gradient @ kernel.T, across @ gradient


_product.defvjp(_forward, _backward)
