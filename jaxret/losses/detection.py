"""The losses of Faster R-CNN (Ren et al. 2015, arXiv:1506.01497) on labels that were sampled already."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

__all__ = ["objectness_loss", "region_box_loss", "region_class_loss"]


def objectness_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Binary cross-entropy of anchors: the mean over the sampled ones of an image, then over images.

    Args:
      logits: (B, N).
      labels: int (B, N), 1 object, 0 background, -1 not in the sample.

    Returns:
      () float32; an image without sampled anchors adds 0.

    Raises:
      ValueError: the shapes disagree.

    Example:
      >>> round(float(objectness_loss(jnp.array([[0.0, 9.0, 5.0]]), jnp.array([[1, 1, -1]]))), 3)
      0.347
    """
    if logits.ndim != 2 or logits.shape != labels.shape:
        raise ValueError(f"logits and labels must be (B, N), got {logits.shape} and {labels.shape}")
    losses = optax.sigmoid_binary_cross_entropy(logits, (labels == 1).astype(logits.dtype))
    return _mean_of_sampled(losses, labels)


def region_class_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy of regions: the mean over the sampled ones of an image, then over images.

    Args:
      logits: (B, R, 1 + K), background first.
      labels: int (B, R), 0 background, 1 .. K a class, -1 no region.

    Returns:
      () float32; an image without regions adds 0.

    Raises:
      ValueError: the shapes disagree.

    Example:
      >>> round(float(region_class_loss(jnp.zeros((1, 2, 4)), jnp.array([[3, -1]]))), 3)  # log 4
      1.386
    """
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        raise ValueError(f"logits and labels must be (B, R, 1 + K) and (B, R), got {logits.shape} and {labels.shape}")
    losses = optax.softmax_cross_entropy(logits, jax.nn.one_hot(labels, logits.shape[-1]))
    return _mean_of_sampled(losses, labels)


def region_box_loss(offsets: jax.Array, targets: jax.Array, labels: jax.Array, *, beta: float = 1.0) -> jax.Array:
    """Smooth L1 of the offsets of objects, divided by the number of sampled regions, then the mean over images.

    Smooth L1 of x is x^2 / (2 beta) where |x| < beta, else |x| - beta / 2 (Girshick 2015, Fast R-CNN,
    arXiv:1504.08083). It is divided by the sampled regions, objects and background, so that an image of one object
    does not count its box as much as another its fifty.

    Args:
      offsets: (B, R, 4).
      targets: (B, R, 4).
      labels: int (B, R), above 0 an object, 0 background, -1 not in the sample.
      beta: where the loss turns linear, above 0.

    Returns:
      () float32.

    Raises:
      ValueError: the shapes disagree, or beta is not above 0.

    Example:
      >>> offsets = jnp.array([[[0.5, 0.0, 0.0, 3.0], [9.0, 9.0, 9.0, 9.0]]])
      >>> float(region_box_loss(offsets, jnp.zeros((1, 2, 4)), jnp.array([[1, 0]])))  # (0.125 + 2.5) / 2
      1.3125
    """
    if offsets.ndim != 3 or offsets.shape != targets.shape or offsets.shape[:2] != labels.shape:
        raise ValueError(
            f"offsets, targets and labels must be (B, R, 4), (B, R, 4) and (B, R), got {offsets.shape}, "
            f"{targets.shape} and {labels.shape}"
        )
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta!r}")
    smooth = optax.huber_loss(offsets, targets, delta=beta).sum(axis=-1) / beta
    return _mean_of_sampled(jnp.where(labels > 0, smooth, 0), labels)


def _mean_of_sampled(values: jax.Array, labels: jax.Array) -> jax.Array:
    sampled = labels >= 0
    totals = jnp.where(sampled, values, 0).sum(axis=1)
    counts = jnp.maximum(sampled.sum(axis=1), 1).astype(totals.dtype)
    return jnp.mean(totals / counts, dtype=jnp.float32)
