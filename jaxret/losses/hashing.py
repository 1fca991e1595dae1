"""Terms that make sigmoid activations good binary codes."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["bit_balance_loss", "quantisation_loss"]


def quantisation_loss(activations: jax.Array) -> jax.Array:
    """How far activations are from 0 and 1: the mean of 1 - (2 h - 1)^2.

    It is 0 where every activation is 0 or 1 and 1 where all are 0.5, so that rounding them to bits loses as
    little as possible (the aim of deep hashing networks' quantisation terms, Zhu et al. 2016, in a smooth form).

    Args:
      activations: (B, bits) float, in 0..1.

    Returns:
      () float32.

    Example:
      >>> float(quantisation_loss(jnp.array([[0.0, 1.0], [0.5, 0.5]])))
      0.5
    """
    signs = 2 * activations.astype(jnp.float32) - 1
    return jnp.mean(1 - signs**2)


def bit_balance_loss(activations: jax.Array) -> jax.Array:
    """How far each bit is from being 1 for half of the batch: the mean over bits of (2 mean_batch(h) - 1)^2.

    A bit that is the same for all items tells nothing (Yang et al. 2018, SSDH, arXiv:1507.00101, with squares).

    Args:
      activations: (B, bits) float, in 0..1.

    Returns:
      () float32, in 0..1.

    Example:
      >>> float(bit_balance_loss(jnp.array([[0.0, 1.0], [1.0, 1.0]])))
      0.5
    """
    means = activations.astype(jnp.float32).mean(axis=0)
    return jnp.mean((2 * means - 1) ** 2)
