"""Objectives of metric learning that the library has not, as its own are called and with their publications' settings.

None of them was tuned here. What is compared is embeddings of length 1; a proxy of a class is a column of the softmax
head's kernel, and learns at the rate of everything else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxret.losses import cross_entropy, squared_euclidean_distances

Figures = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class CosineObjective:
    """A loss of the cosines of a batch's embeddings.

    Attributes:
      loss: of cosines and `batch["labels"]` (B,): cosines of all pairs (B, B), or of embeddings and proxies (B, K).
      proxies: which of the two.
    """

    loss: Callable[[jax.Array, jax.Array], jax.Array]
    proxies: bool = False

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, Figures]:
        """The loss, and nothing else to log."""
        points = of_unit_length(model(batch["inputs"])[0])
        others = of_unit_length(model.head.linear.kernel.T) if self.proxies else points
        return self.loss(points @ others.T, batch["labels"]), {}


@dataclasses.dataclass(frozen=True)
class DistillationObjective:
    """`cross_entropy_weight` * cross-entropy + `weight` * what the embeddings' distances lack of the mean vectors'.

    `batch["means"]` (B, D) are mean vectors. The weight beside cross-entropy is that of the publication.
    """

    cross_entropy_weight: float = 1.0
    weight: float = 25.0

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, Figures]:
        """The weighted sum, and nothing else to log."""
        embedding, logits = model(batch["inputs"])
        distilled = relational_distillation_loss(of_unit_length(embedding), of_unit_length(batch["means"]))
        return self.cross_entropy_weight * cross_entropy(logits, batch["labels"]) + self.weight * distilled, {}


def of_unit_length(points: jax.Array) -> jax.Array:
    """(N, D) in the direction that they have."""
    return points / jnp.sqrt(jnp.sum(points**2, axis=-1, keepdims=True) + 1e-12)


def normalised_softmax_loss(cosines: jax.Array, labels: jax.Array, *, temperature: float = 0.05) -> jax.Array:
    """Cross-entropy of cosines to proxies (B, K) over the temperature.

    A. Zhai and H.-Y. Wu, "Classification is a Strong Baseline for Deep Metric Learning", arXiv:1811.12649.
    """
    return cross_entropy(cosines / temperature, labels)


def proxy_anchor_loss(cosines: jax.Array, labels: jax.Array, *, scale: float = 32.0, margin: float = 0.1) -> jax.Array:
    """Each proxy (of cosines (B, K)) draws its class's embeddings and keeps off the others, the hardest most.

    S. Kim and others, "Proxy Anchor Loss for Deep Metric Learning", arXiv:2003.13911. The first mean is over the
    classes that the batch holds.
    """
    own = jax.nn.one_hot(labels, cosines.shape[1], dtype=bool)
    drawn = _log_one_plus_sum(-scale * (cosines - margin), own, axis=0)
    kept_off = _log_one_plus_sum(scale * (cosines + margin), ~own, axis=0)
    return jnp.mean(drawn, where=own.any(axis=0)) + jnp.mean(kept_off)


def multi_similarity_loss(
    cosines: jax.Array,
    labels: jax.Array,
    *,
    positive_scale: float = 2.0,
    negative_scale: float = 50.0,
    base: float = 0.5,
    margin: float = 0.1,
) -> jax.Array:
    """Pairs (of cosines (B, B)) weighted by how they stand to each other and to `base`, easy ones left out.

    X. Wang and others, "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning", arXiv:1904.06627;
    `base` is that of the authors' program.
    """
    positive, negative = _pairs(labels)
    hardest_positive = jnp.where(positive, cosines, jnp.inf).min(axis=1, keepdims=True)
    hardest_negative = jnp.where(negative, cosines, -jnp.inf).max(axis=1, keepdims=True)
    positives = positive & (cosines - margin < hardest_negative)
    negatives = negative & (cosines + margin > hardest_positive)
    drawn = _log_one_plus_sum(-positive_scale * (cosines - base), positives, axis=1) / positive_scale
    kept_off = _log_one_plus_sum(negative_scale * (cosines - base), negatives, axis=1) / negative_scale
    return jnp.mean(drawn + kept_off)


def supervised_contrastive_loss(cosines: jax.Array, labels: jax.Array, *, temperature: float = 0.1) -> jax.Array:
    """Of all others in the batch (cosines (B, B)) an item is to pick those of its class; one without any counts not.

    P. Khosla and others, "Supervised Contrastive Learning", arXiv:2004.11362, equation 2. There is no projection head:
    the embedding is what is searched with.
    """
    positive, _ = _pairs(labels)
    others = jnp.where(jnp.eye(len(labels), dtype=bool), -jnp.inf, cosines / temperature)
    likelihoods = jnp.where(positive, jax.nn.log_softmax(others, axis=1), 0.0)
    count = positive.sum(axis=1).astype(cosines.dtype)
    return -jnp.mean(likelihoods.sum(axis=1) / jnp.maximum(count, 1), where=count > 0)


def relational_distillation_loss(points: jax.Array, teachers: jax.Array) -> jax.Array:
    """Huber loss of how far pairs of points (B, E) and of teachers (B, D) lie apart, each over its mean of the batch.

    W. Park and others, "Relational Knowledge Distillation", arXiv:1904.05068, the distance-wise loss.
    """
    apart = ~jnp.eye(len(points), dtype=bool)

    def relations(vectors: jax.Array) -> jax.Array:
        distances = jnp.sqrt(squared_euclidean_distances(vectors) + 1e-12)  # the root has a slope at 0, too
        return distances / jnp.mean(distances, where=apart)

    return jnp.mean(optax.huber_loss(relations(points), relations(teachers)), where=apart)


def _pairs(labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Which items are of an item's class, itself left out, and which are not: bool (B, B) each."""
    same = labels[:, None] == labels[None, :]
    return same & ~jnp.eye(len(labels), dtype=bool), ~same


def _log_one_plus_sum(exponents: jax.Array, counted: jax.Array, *, axis: int) -> jax.Array:
    """log(1 + sum of exp) of those that count; of cosines times a scale of at most 50 nothing overflows."""
    return jnp.log1p(jnp.sum(jnp.where(counted, jnp.exp(exponents), 0.0), axis=axis))
