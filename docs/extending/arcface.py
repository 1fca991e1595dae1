"""Additive angular margin loss (Deng et al. 2019, arXiv:1801.07698) as an objective of trainings on labelled clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxret.losses import cross_entropy
from jaxret.training import register_objective


def arcface_loss(cosines: jax.Array, labels: jax.Array, *, margin: float, scale: float) -> jax.Array:
    """Cross-entropy of `scale` times the cosines, where the angle to the right class counts as `margin` wider.

    Args:
      cosines: (B, K), of embeddings and class weights.
      labels: (B,) int.
      margin: in radians.
      scale: above 0.

    Returns:
      () float32.
    """
    angles = jnp.arccos(jnp.clip(cosines, -1 + 1e-6, 1 - 1e-6))  # (B, K)
    wider = margin * jax.nn.one_hot(labels, cosines.shape[1])
    return cross_entropy(scale * jnp.cos(angles + wider), labels)


@register_objective("arcface")
@dataclasses.dataclass(frozen=True)
class ArcFaceObjective:
    """ArcFace on the embedding and the weights of the softmax head."""

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("loss",), "training accuracy": ("train_accuracy",)}

    margin: float = 0.3
    """Radians by which the angle to the right class is widened."""
    scale: float = 16.0
    """Factor of the cosines."""

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss, and the values to log."""
        embedding, _ = model(batch["inputs"])  # (B, D)
        cosines = unit(embedding, axis=1) @ unit(model.head.linear.kernel[...], axis=0)  # (B, K)
        accuracy = jnp.mean(jnp.argmax(cosines, axis=1) == batch["labels"])
        loss = arcface_loss(cosines, batch["labels"], margin=self.margin, scale=self.scale)
        return loss, {"train_accuracy": accuracy}


def unit(vectors: jax.Array, *, axis: int) -> jax.Array:
    """Vectors of length 1 along an axis."""
    return vectors / jnp.sqrt(jnp.sum(vectors**2, axis=axis, keepdims=True) + 1e-12)
