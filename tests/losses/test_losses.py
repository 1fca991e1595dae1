"""Losses against slow twins, optax, and their own definitions at the odd cases."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import triplet as twin

from jaxret.losses import cross_entropy, squared_euclidean_distances, triplet_loss, triplet_order

MININGS = ("batch-hard", "semi-hard", "all")


@pytest.mark.parametrize("mining", MININGS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(1, 4), margin=st.floats(0.0, 2.0))
def test_triplet_equals_the_loops(mining: str, seed: int, classes: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(12, 5)).astype(np.float32)
    labels = rng.integers(0, classes, size=12)
    expected = twin.triplet_loss(embeddings.astype(np.float64), labels, margin, mining)
    measured = triplet_loss(jnp.asarray(embeddings), jnp.asarray(labels), margin=margin, mining=mining)
    np.testing.assert_allclose(measured, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_triplets_equals_the_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings, labels = rng.normal(size=(9, 4)).astype("f4"), rng.integers(0, 3, 9)
    gaps = [
        ((embeddings[a] - embeddings[p]) ** 2).sum() - ((embeddings[a] - embeddings[n]) ** 2).sum()
        for a, p, n in np.ndindex(9, 9, 9)
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]
    order = triplet_order(jnp.asarray(embeddings), jnp.asarray(labels), margin=0.7)
    assert float(order.in_order) == pytest.approx(np.mean(np.array(gaps) < 0))
    assert float(order.mean_loss) == pytest.approx(np.mean(np.maximum(np.array(gaps) + 0.7, 0)), rel=1e-5)
    assert [float(value) for value in triplet_order(jnp.ones((3, 2)), jnp.arange(3))] == [0, 0], "no triplets"


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0, 0, 1]])
def test_gradients_are_finite_even_where_items_coincide_or_no_triplet_exists(mining, labels) -> None:
    embeddings = jnp.ones((3, 2))
    gradient = jax.jit(jax.grad(functools.partial(triplet_loss, mining=mining)))(embeddings, jnp.array(labels))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("mining", MININGS)
def test_a_step_down_the_gradient_pulls_positives_and_pushes_negatives(mining) -> None:
    labels = jnp.array([0, 0, 1, 1])
    before = jnp.array([[0.0, 0.1], [1.0, 0.0], [0.5, 0.0], [1.5, 0.2]])
    after = before - 0.05 * jax.jit(jax.grad(lambda e: triplet_loss(e, labels, margin=1.0, mining=mining)))(before)
    ratio = [d[0, 1] / d[0, 2] for d in map(squared_euclidean_distances, (before, after))]
    assert ratio[1] < ratio[0]


def test_cross_entropy_equals_optax() -> None:
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(7, 5)) * 20)
    labels = jnp.asarray(rng.integers(0, 5, size=7))
    plain = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    np.testing.assert_allclose(cross_entropy(logits, labels), plain, rtol=1e-6)
    soft = optax.smooth_labels(jax.nn.one_hot(labels, 5), 0.1)
    expected = optax.softmax_cross_entropy(logits, soft).mean()
    np.testing.assert_allclose(cross_entropy(logits, labels, label_smoothing=0.1), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: triplet_loss(jnp.ones((3, 2)), jnp.zeros(2, int)), r"\(3, 2\) and \(2,\)"),
        (lambda: triplet_loss(jnp.ones((3, 2)), jnp.zeros(3, int), margin=-1.0), "margin .* got -1.0"),
        (lambda: triplet_loss(jnp.ones((3, 2)), jnp.zeros(3, int), mining="soft"), "got 'soft'"),
        (lambda: cross_entropy(jnp.ones((3, 2)), jnp.zeros(2, int)), r"\(3, 2\) and \(2,\)"),
        (lambda: cross_entropy(jnp.ones((3, 2)), jnp.zeros(3, int), label_smoothing=1.0), "got 1.0"),
    ],
)
def test_bad_arguments_are_named(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
