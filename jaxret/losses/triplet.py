"""Triplet loss with triplets mined inside the batch."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from jaxret.losses.pairwise_distances import squared_euclidean_distances
from jaxret.models.layers.largest import largest, smallest

__all__ = ["Mining", "TripletOrder", "triplet_loss", "triplet_order"]

Mining = Literal["batch-hard", "semi-hard", "all"]
"""Which triplets of a batch count, see `triplet_loss`."""


def triplet_loss(
    embeddings: jax.Array, labels: jax.Array, *, margin: float = 0.2, mining: Mining = "batch-hard"
) -> jax.Array:
    """Mean of `max(0, d(anchor, positive) - d(anchor, negative) + margin)` over mined triplets.

    d is the squared Euclidean distance, as in FaceNet (Schroff et al., 2015, arXiv:1503.03832).

    - `batch-hard` (Hermans et al., 2017, arXiv:1703.07737): each anchor with its farthest positive and its
      nearest negative; mean over anchors that have both.
    - `semi-hard` (FaceNet): each anchor-positive pair with the nearest negative that is farther than the
      positive, or, where there is none, with the farthest negative; mean over anchor-positive pairs.
    - `all`: mean over the triplets whose loss is above zero (Hermans et al.: "batch all", non-zero mean).

    A batch without any valid triplet gives 0, as does one whose triplets all keep the margin.

    Args:
      embeddings: (B, D) float; normalise them first if the margin is meant on the unit sphere.
      labels: (B,) int.
      margin: in units of d, at least 0.
      mining: which triplets count.

    Returns:
      () float32.

    Raises:
      ValueError: shapes that do not agree, a negative margin, or an unknown `mining`.

    Example:
      >>> apart = jnp.array([[0.0], [0.0], [3.0], [3.0]])
      >>> float(triplet_loss(apart, jnp.array([0, 0, 1, 1]), margin=0.2))
      0.0
    """
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(f"embeddings must be (B, D) and labels (B,), got {embeddings.shape} and {labels.shape}")
    if margin < 0:
        raise ValueError(f"margin must be at least 0, got {margin}")
    distances = squared_euclidean_distances(embeddings)  # (B, B)
    positive, negative = _positives_and_negatives(labels)
    if mining == "batch-hard":
        return _batch_hard(distances, positive, negative, margin)
    if mining == "semi-hard":
        return _semi_hard(distances, positive, negative, margin)
    if mining == "all":
        return _batch_all(distances, positive, negative, margin)
    raise ValueError(f"mining must be one of {', '.join(get_args(Mining))}, got {mining!r}")


class TripletOrder(NamedTuple):
    """What the losses of mined triplets do not tell: they stay near the margin while more and more triplets keep it.

    Attributes:
      in_order: () float32, the share of all triplets whose positive is nearer than the negative; 0.5 by chance.
      mean_loss: () float32, the mean loss over all triplets, those that keep the margin included.
    """

    in_order: jax.Array
    mean_loss: jax.Array


def triplet_order(embeddings: jax.Array, labels: jax.Array, *, margin: float = 0.2) -> TripletOrder:
    """How well all triplets of a batch are in order; of a batch without any, 0 and 0.

    Args:
      embeddings, labels, margin: as for `triplet_loss`.

    Example:
      >>> order = triplet_order(jnp.array([[0.0], [1.0], [3.0]]), jnp.array([0, 0, 1]), margin=0.2)
      >>> float(order.in_order), float(order.mean_loss)
      (1.0, 0.0)
    """
    distances = squared_euclidean_distances(embeddings)
    positive, negative = _positives_and_negatives(labels)
    triplets = positive[:, :, None] & negative[:, None, :]  # (B, B, B): a, p, n
    gaps = distances[:, :, None] - distances[:, None, :]
    in_order = _masked_mean((gaps < 0).astype(jnp.float32), triplets)
    return TripletOrder(in_order, _masked_mean(jax.nn.relu(gaps + margin), triplets))


def _positives_and_negatives(labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Which items are of an anchor's class, itself left out, and which are not: bool (B, B) each."""
    same = labels[:, None] == labels[None, :]
    return same & ~jnp.eye(len(labels), dtype=bool), ~same


def _masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    count = jnp.maximum(jnp.sum(mask), 1).astype(values.dtype)
    return jnp.sum(jnp.where(mask, values, 0.0)) / count


def _batch_hard(distances: jax.Array, positive: jax.Array, negative: jax.Array, margin: float) -> jax.Array:
    farthest_positive = largest(jnp.where(positive, distances, -jnp.inf), 1)  # (B,)
    nearest_negative = smallest(jnp.where(negative, distances, jnp.inf), 1)  # (B,)
    valid = positive.any(axis=1) & negative.any(axis=1)
    # The infinities of anchors without a triplet must be gone before the subtraction: 0 * inf is NaN in gradients.
    gap = jnp.where(valid, farthest_positive, 0.0) - jnp.where(valid, nearest_negative, 0.0)
    return _masked_mean(jax.nn.relu(gap + margin), valid)


def _semi_hard(distances: jax.Array, positive: jax.Array, negative: jax.Array, margin: float) -> jax.Array:
    # For anchor a and positive p, over negatives n: the smallest d(a, n) above d(a, p).  (B, B, B): a, p, n
    beyond = negative[:, None, :] & (distances[:, None, :] > distances[:, :, None])
    nearest_beyond = smallest(jnp.where(beyond, distances[:, None, :], jnp.inf), 2)  # (B, B)
    farthest = largest(jnp.where(negative, distances, -jnp.inf), 1)[:, None]  # (B, 1)
    chosen = jnp.where(beyond.any(axis=2), nearest_beyond, farthest)
    valid = positive & negative.any(axis=1, keepdims=True)
    gap = jnp.where(valid, distances, 0.0) - jnp.where(valid, chosen, 0.0)
    return _masked_mean(jax.nn.relu(gap + margin), valid)


def _batch_all(distances: jax.Array, positive: jax.Array, negative: jax.Array, margin: float) -> jax.Array:
    losses = jax.nn.relu(distances[:, :, None] - distances[:, None, :] + margin)  # (B, B, B): a, p, n
    violating = positive[:, :, None] & negative[:, None, :] & (losses > 0)
    return _masked_mean(losses, violating)
