"""How far an image that an autoencoder gives is from the one that it was given."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

__all__ = ["binary_cross_entropy", "intensity_cross_entropy", "mean_squared_error"]


def mean_squared_error(outputs: jax.Array, targets: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Mean of (output - target)^2, of those that count.

    Args:
      outputs, targets: of one shape, floating; computed in float32.
      weights: broadcastable to them, at least 0, what each square counts; None: all alike. Where they are all 0, the
        loss is 0.

    Returns:
      () float32.

    Raises:
      ValueError: the shapes do not agree.

    Example:
      >>> float(mean_squared_error(jnp.array([1.0, 5.0]), jnp.array([3.0, 5.0])))
      2.0
      >>> float(mean_squared_error(jnp.array([1.0, 5.0]), jnp.array([3.0, 0.0]), jnp.array([1.0, 0.0])))
      4.0
    """
    if outputs.shape != targets.shape:
        raise ValueError(f"outputs and targets must have one shape, got {outputs.shape} and {targets.shape}")
    return _mean(jnp.square(outputs.astype(jnp.float32) - targets.astype(jnp.float32)), weights)


def intensity_cross_entropy(logits: jax.Array, intensities: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """Mean of `-log softmax(logits)[bin]`, in nats, over equal bins of the intensities 0..255.

    Args:
      logits: (..., bins) float, computed in float32.
      intensities: (...), 0..255; those outside count as the nearest bin.
      weights: broadcastable to (...), as of `mean_squared_error`.

    Returns:
      () float32.

    Raises:
      ValueError: the shapes do not agree.

    Example:
      >>> pixels = jnp.array([0, 255])  # the first and the last of 4 bins
      >>> round(float(intensity_cross_entropy(jnp.zeros((2, 4)), pixels)), 4)  # log 4
      1.3863
    """
    if logits.shape[:-1] != intensities.shape:
        raise ValueError(f"logits must be (..., bins) of intensities (...), got {logits.shape} and {intensities.shape}")
    bins = logits.shape[-1]
    labels = jnp.clip(jnp.floor(intensities.astype(jnp.float32) * (bins / 256)), 0, bins - 1).astype(jnp.int32)
    # Of optax's two forms one loses the digits of large logits, and the other wants targets as large as the logits.
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    return _mean(-jnp.take_along_axis(log_probabilities, labels[..., None], axis=-1)[..., 0], weights)


def binary_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean of `-log sigmoid(logit)` where the target is 1 and of `-log sigmoid(-logit)` where it is 0, in nats.

    Args:
      logits, targets: of one shape, floating; targets 0 to 1.

    Returns:
      () float32.

    Raises:
      ValueError: the shapes do not agree.

    Example:
      >>> round(float(binary_cross_entropy(jnp.array([0.0, 9.0]), jnp.array([1.0, 1.0]))), 4)  # (log 2 + 0.0001) / 2
      0.3466
    """
    if logits.shape != targets.shape:
        raise ValueError(f"logits and targets must have one shape, got {logits.shape} and {targets.shape}")
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), targets.astype(jnp.float32)))


def _mean(values: jax.Array, weights: jax.Array | None) -> jax.Array:
    if weights is None:
        return jnp.mean(values)
    weights = jnp.broadcast_to(weights.astype(jnp.float32), values.shape)
    total = jnp.sum(weights)
    return jnp.sum(values * weights) / jnp.where(total > 0, total, 1)
