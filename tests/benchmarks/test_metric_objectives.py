"""The study's objectives of metric learning are their publications' formulas, written out item by item in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.objectives import (
    CosineObjective,
    DistillationObjective,
    multi_similarity_loss,
    normalised_softmax_loss,
    of_unit_length,
    proxy_anchor_loss,
    relational_distillation_loss,
    supervised_contrastive_loss,
)

from jaxret.models import Mean
from jaxret.recipes.clips.fit import EmbeddingClassifier

Cosines = NDArray[np.float64]
LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 1])  # class 3 has one item, class 4 none
CLASSES = 5


def directions(rows: int, seed: int) -> NDArray[np.float64]:
    points = np.random.default_rng(seed).normal(size=(rows, 6)) + 0.5
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def plain_normalised_softmax(cosines: Cosines) -> float:
    scaled = np.exp(cosines / 0.05)
    return float(np.mean([-np.log(row[label] / row.sum()) for row, label in zip(scaled, LABELS, strict=True)]))


def plain_proxy_anchor(cosines: Cosines) -> float:
    drawn, kept_off = [], []
    for proxy in range(CLASSES):
        own, others = cosines[proxy == LABELS, proxy], cosines[proxy != LABELS, proxy]
        if len(own):
            drawn.append(np.log(1 + sum(np.exp(-32 * (cosine - 0.1)) for cosine in own)))
        kept_off.append(np.log(1 + sum(np.exp(32 * (cosine + 0.1)) for cosine in others)))
    return float(np.mean(drawn) + np.mean(kept_off))


def plain_multi_similarity(cosines: Cosines) -> float:
    total = 0.0
    for item, label in enumerate(LABELS):
        others = np.arange(len(LABELS)) != item
        own, rest = cosines[item][others & (label == LABELS)], cosines[item][label != LABELS]
        hard_own = [cosine for cosine in own if cosine - 0.1 < max(rest)]
        hard_rest = [cosine for cosine in rest if cosine + 0.1 > min(own, default=np.inf)]
        total += np.log(1 + sum(np.exp(-2 * (cosine - 0.5)) for cosine in hard_own)) / 2
        total += np.log(1 + sum(np.exp(50 * (cosine - 0.5)) for cosine in hard_rest)) / 50
    return total / len(LABELS)


def plain_supervised_contrastive(cosines: Cosines) -> float:
    losses = []
    for item, label in enumerate(LABELS):
        others = [other for other in range(len(LABELS)) if other != item]
        own = [other for other in others if LABELS[other] == label]
        every = sum(np.exp(cosines[item, other] / 0.1) for other in others)
        if own:
            losses.append(-np.mean([np.log(np.exp(cosines[item, other] / 0.1) / every) for other in own]))
    return float(np.mean(losses))


def plain_distillation(points: NDArray[np.float64], teachers: NDArray[np.float64]) -> float:
    pairs = [(first, second) for first in range(len(points)) for second in range(len(points)) if first != second]
    far = [np.array([np.linalg.norm(x[first] - x[second]) for first, second in pairs]) for x in (points, teachers)]
    gaps = np.abs(far[0] / far[0].mean() - far[1] / far[1].mean())
    return float(np.mean([0.5 * gap**2 if gap <= 1 else gap - 0.5 for gap in gaps]))


@pytest.mark.parametrize(
    ("loss", "plain", "proxies"),
    [
        (normalised_softmax_loss, plain_normalised_softmax, True),
        (proxy_anchor_loss, plain_proxy_anchor, True),
        (multi_similarity_loss, plain_multi_similarity, False),
        (supervised_contrastive_loss, plain_supervised_contrastive, False),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_losses_of_cosines_are_those_published(
    loss: Callable[..., jax.Array], plain: Callable[[Cosines], float], proxies: bool, seed: int
) -> None:
    points = directions(len(LABELS), seed)
    cosines = points @ (directions(CLASSES, seed + 10) if proxies else points).T
    assert float(loss(jnp.asarray(cosines), jnp.asarray(LABELS))) == pytest.approx(plain(cosines), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_distillation_compares_the_distances_of_pairs(seed: int) -> None:
    points, teachers = directions(8, seed), directions(8, seed + 10)
    points[0] *= 40  # far enough from the others that some pairs count linearly
    found = relational_distillation_loss(jnp.asarray(points), jnp.asarray(teachers))
    assert float(found) == pytest.approx(plain_distillation(points, teachers), rel=1e-4)
    assert float(relational_distillation_loss(jnp.asarray(teachers), jnp.asarray(3 * teachers))) < 1e-6


@pytest.mark.parametrize(
    "objective",
    [
        CosineObjective(proxy_anchor_loss, proxies=True),
        CosineObjective(normalised_softmax_loss, proxies=True),
        CosineObjective(multi_similarity_loss),
        CosineObjective(supervised_contrastive_loss),
        DistillationObjective(),
    ],
)
def test_gradients_are_finite_where_items_coincide_and_reach_the_embedding(objective: object) -> None:
    model = EmbeddingClassifier(Mean(6, rngs=nnx.Rngs(0)), 6, CLASSES, dropout=0.0, rngs=nnx.Rngs(0))
    inputs = np.repeat(directions(8, 0)[:, None], 2, axis=1).astype(np.float32)
    inputs[2] = inputs[0]

    def loss(inputs: jax.Array, model: EmbeddingClassifier) -> jax.Array:
        batch = {"inputs": inputs, "labels": jnp.asarray(LABELS), "means": jnp.asarray(directions(8, 1))}
        return objective(model, batch)[0]  # type: ignore[operator]

    slope = np.asarray(jax.grad(loss)(jnp.asarray(inputs), model))
    assert np.isfinite(slope).all()
    assert (np.abs(slope).max(axis=(1, 2)) > 0).all()


def test_points_have_unit_length() -> None:
    found = of_unit_length(jnp.asarray(5 * directions(3, 0)))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
