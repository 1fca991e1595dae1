"""Softmax cross-entropy with integer labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

__all__ = ["cross_entropy"]


def cross_entropy(logits: jax.Array, labels: jax.Array, *, label_smoothing: float = 0.0) -> jax.Array:
    """Mean over the batch of `-log softmax(logits)[label]`, in nats.

    Args:
      logits: (B, K) float, computed in float32 whatever their dtype.
      labels: (B,) int in [0, K).
      label_smoothing: share of the target spread evenly over the K classes, in [0, 1) (Szegedy et al., 2016).

    Returns:
      () float32.

    Raises:
      ValueError: the shapes do not agree, or `label_smoothing` is outside [0, 1).

    Example:
      >>> round(float(cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3]))), 4)  # log 4
      1.3863
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits must be (B, K) and labels (B,), got {logits.shape} and {labels.shape}")
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[1]), label_smoothing)  # (B, K)
    return jnp.mean(optax.softmax_cross_entropy(logits.astype(jnp.float32), targets))
