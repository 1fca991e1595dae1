"""Distances between all pairs of a batch, with gradients that stay finite where two items coincide."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["squared_euclidean_distances"]


def squared_euclidean_distances(embeddings: jax.Array) -> jax.Array:
    """Squared Euclidean distance of every pair.

    Computed from differences, not as `|a|^2 + |b|^2 - 2ab`: a training batch is small, and the product form
    loses close pairs to cancellation, which are just the pairs that a triplet loss looks at.

    Args:
      embeddings: (B, D) float, computed in float32.

    Returns:
      (B, B) float32, zero on the diagonal.

    Example:
      >>> squared_euclidean_distances(jnp.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
      [[0.0, 25.0], [25.0, 0.0]]
    """
    embeddings = embeddings.astype(jnp.float32)
    differences = embeddings[:, None, :] - embeddings[None, :, :]  # (B, B, D)
    return jnp.sum(differences * differences, axis=-1)
