"""Cosine loss with a margin, of pairs that belong together or do not."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["cosine_margin_loss", "pair_cosines"]

_NOTHING = 1e-24  # product of squared lengths below which a cosine means nothing in float32


def cosine_margin_loss(a: jax.Array, b: jax.Array, positive: jax.Array, *, margin: float = 0.1) -> jax.Array:
    """Mean over pairs of y (1 - cos(a, b)) + (1 - y) max(0, cos(a, b) - margin).

    Garcia and Vogiatzis 2018, "Asymmetric spatio-temporal embeddings for large-scale image-to-video retrieval",
    equation 3, for images a and shots b; y is 1 where the image is of the shot.

    Args:
      a, b: (B, D) float, of any length; computed in float32.
      positive: (B,) y, bool or numbers 0 and 1.
      margin: cosine up to which a negative pair costs nothing, -1 to 1.

    Returns:
      () float32, 0 to 2.

    Raises:
      ValueError: the shapes do not agree, or the margin lies outside -1 .. 1.

    Example:
      >>> a, b = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([[3.0, 4.0], [3.0, 4.0]])  # cosines of 0.6
      >>> round(float(cosine_margin_loss(a, b, jnp.array([True, False]))), 4)  # (0.4 + 0.5) / 2
      0.45
    """
    if positive.shape != a.shape[:1]:
        raise ValueError(f"positive must have shape {a.shape[:1]}, one a pair, got {positive.shape}")
    if not -1 <= margin <= 1:
        raise ValueError(f"margin must be a cosine in -1..1, got {margin}")
    cosines = pair_cosines(a, b)
    y = positive.astype(jnp.float32)
    return jnp.mean(y * (1 - cosines) + (1 - y) * jax.nn.relu(cosines - margin))


def pair_cosines(a: jax.Array, b: jax.Array) -> jax.Array:
    """Cosine of each pair of rows, (B,) float32; 0 where a row is zero, with finite gradients.

    Args:
      a, b: (B, D) float.

    Raises:
      ValueError: the shapes do not agree.

    Example:
      >>> pair_cosines(jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 0.0]])).tolist()
      [0.0]
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"both sides of the pairs must be (B, D), got {a.shape} and {b.shape}")
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    product = jnp.sum(a * a, axis=1) * jnp.sum(b * b, axis=1)
    # The inner choice keeps the root away from zero, where its gradient is infinite.
    return jnp.sum(a * b, axis=1) / jnp.sqrt(jnp.where(product > _NOTHING, product, 1))
