"""Additive angular margin loss (Deng et al. 2019, arXiv:1801.07698) as an objective of trainings on labelled clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from jaxret.training import register_objective


def arcface_loss(logits: jax.Array, labels: jax.Array, *, margin: float, scale: float) -> jax.Array:
    """Cross-entropy of `scale` times the cosines, where the angle to the right class is `margin` wider.

    Args:
      logits: (B, K) cosines, in -1..1.
      labels: (B,) int.
      margin: in radians.
      scale: above 0.

    Returns:
      () float32.
    """
    angles = jnp.arccos(jnp.clip(logits, -1 + 1e-6, 1 - 1e-6))  # (B, K)
    right = jax.nn.one_hot(labels, logits.shape[1])
    return optax.softmax_cross_entropy(scale * jnp.cos(angles + margin * right), right).mean()


@register_objective("arcface")
@dataclasses.dataclass(frozen=True)
class ArcFaceObjective:
    """ArcFace on the softmax head's logits, squashed to cosines."""

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("loss",), "training accuracy": ("train_accuracy",)}

    margin: float = 0.3
    """Radians that the right class is moved away."""
    scale: float = 16.0
    """Factor of the cosines."""

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss, and the values to log."""
        _, logits = model(batch["inputs"])  # (B, D), (B, K)
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == batch["labels"])
        loss = arcface_loss(jnp.tanh(logits), batch["labels"], margin=self.margin, scale=self.scale)
        return loss, {"train_accuracy": accuracy}
