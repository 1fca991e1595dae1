"""Vectors scaled to length 1."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["l2_normalise"]

_NOTHING = 1e-24  # squared length below which a vector has no direction in float32


def l2_normalise(vectors: jax.Array) -> jax.Array:
    """Vectors divided by their Euclidean length, in float32; a vector of zeros stays zero.

    Gradients are finite everywhere: a vector shorter than 1e-12 is passed on as it is.

    Args:
      vectors: (..., D) floating.

    Returns:
      (..., D) float32.

    Example:
      >>> l2_normalise(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
      [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    vectors = vectors.astype(jnp.float32)
    squared = jnp.sum(vectors * vectors, axis=-1, keepdims=True)
    # The inner choice keeps the root away from zero, where its gradient is infinite.
    return vectors / jnp.sqrt(jnp.where(squared > _NOTHING, squared, 1))
