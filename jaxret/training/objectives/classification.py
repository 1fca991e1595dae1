"""Classes and triplets, of embeddings and of the activations of a hash layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxret.errors import ConfigError
from jaxret.losses import Mining, bit_balance_loss, cross_entropy, quantisation_loss, triplet_loss

__all__ = ["ClassificationTripletObjective", "HashingObjective"]


@dataclasses.dataclass(frozen=True)
class ClassificationTripletObjective:
    """`cross_entropy_weight` * cross-entropy of a softmax head + `triplet_weight` * triplet loss of the embedding.

    The model maps `batch["inputs"]` to `(embedding (B, D), logits (B, K))`; `batch["labels"]` is (B,) int.
    The triplet loss sees embeddings scaled to length 1, so that `margin` means the same for every model.
    """

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("loss", "cross_entropy", "triplet"),
        "training accuracy": ("train_accuracy",),
    }

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
        """The weighted loss, and those that count of `cross_entropy`, with it `train_accuracy`, and `triplet`."""
        embedding, logits = model(batch["inputs"])
        labels = batch["labels"]
        figures: dict[str, jax.Array] = {}
        loss = jnp.zeros((), jnp.float32)
        if self.cross_entropy_weight:  # without it the head stays as it began
            figures["train_accuracy"] = jnp.mean(jnp.argmax(logits, axis=-1) == labels)
            figures["cross_entropy"] = cross_entropy(logits, labels)
            loss += self.cross_entropy_weight * figures["cross_entropy"]
        if self.triplet_weight:
            points = self.triplet_points(embedding.astype(jnp.float32))
            figures["triplet"] = triplet_loss(points, labels, margin=self.margin, mining=self.mining)
            loss += self.triplet_weight * figures["triplet"]
        for name, weight, term in self.embedding_terms():
            if weight:
                figures[name] = term(embedding)
                loss += weight * figures[name]
        return loss, figures

    def triplet_points(self, embedding: jax.Array) -> jax.Array:
        """What the triplet loss compares, (B, D) float32."""
        return embedding / jnp.sqrt(jnp.sum(embedding**2, axis=-1, keepdims=True) + 1e-12)

    def embedding_terms(self) -> tuple[tuple[str, float, Callable[[jax.Array], jax.Array]], ...]:
        """Further terms of the embedding alone: name, weight, function."""
        return ()


@dataclasses.dataclass(frozen=True)
class HashingObjective(ClassificationTripletObjective):
    """The same for the activations of a hash layer, and terms that make them good codes (Dong and Li 2017).

    The paper's alpha is `cross_entropy_weight`, its beta `triplet_weight`. The triplet loss sees activations
    divided by the square root of their number: the squared distance of two codes is then the share of bits that
    differ, and `margin` means the same at every length.
    """

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("loss", "cross_entropy", "triplet", "quantisation", "bit_balance"),
        "training accuracy": ("train_accuracy",),
    }

    quantisation_weight: float = 0.0
    balance_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("quantisation_weight", "balance_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}")

    def triplet_points(self, embedding: jax.Array) -> jax.Array:
        """Activations (B, bits), their squared distances being shares of the bits."""
        return embedding / math.sqrt(embedding.shape[-1])

    def embedding_terms(self) -> tuple[tuple[str, float, Callable[[jax.Array], jax.Array]], ...]:
        """Quantisation and bit balance."""
        return (
            ("quantisation", self.quantisation_weight, quantisation_loss),
            ("bit_balance", self.balance_weight, bit_balance_loss),
        )
