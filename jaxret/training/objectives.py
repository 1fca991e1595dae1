"""Objectives: what a training step minimises for a batch, one class a family.

An objective is called as `objective(model, batch)`, with the model in training mode, and returns the loss and
the other figures to log (see `jaxret.training.train_step.Objective`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxret.errors import ConfigError
from jaxret.losses import Mining, cross_entropy, triplet_loss

__all__ = ["ClassificationTripletObjective"]


@dataclasses.dataclass(frozen=True)
class ClassificationTripletObjective:
    """`cross_entropy_weight` * cross-entropy of a softmax head + `triplet_weight` * triplet loss of the embedding.

    The model maps `batch["inputs"]` to `(embedding (B, D), logits (B, K))`; `batch["labels"]` is (B,) int.
    The triplet loss sees embeddings scaled to length 1, so that `margin` means the same for every model.
    """

    cross_entropy_weight: float = 1.0
    triplet_weight: float = 0.0
    margin: float = 0.2
    mining: Mining = "batch-hard"

    def __post_init__(self) -> None:
        weights = (self.cross_entropy_weight, self.triplet_weight)
        if min(weights) < 0 or max(weights) == 0:
            raise ConfigError(
                "cross_entropy_weight and triplet_weight must be at least 0 and not both 0, "
                f"got {weights[0]} and {weights[1]}"
            )

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The weighted loss, and `cross_entropy`, `triplet` (those that count) and `train_accuracy`."""
        embedding, logits = model(batch["inputs"])
        labels = batch["labels"]
        figures = {"train_accuracy": jnp.mean(jnp.argmax(logits, axis=-1) == labels)}
        loss = jnp.zeros((), jnp.float32)
        if self.cross_entropy_weight:
            figures["cross_entropy"] = cross_entropy(logits, labels)
            loss += self.cross_entropy_weight * figures["cross_entropy"]
        if self.triplet_weight:
            embedding = embedding.astype(jnp.float32)
            length = jnp.sqrt(jnp.sum(embedding**2, axis=-1, keepdims=True) + 1e-12)
            figures["triplet"] = triplet_loss(embedding / length, labels, margin=self.margin, mining=self.mining)
            loss += self.triplet_weight * figures["triplet"]
        return loss, figures
