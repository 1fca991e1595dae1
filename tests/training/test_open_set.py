"""Fitting on some classes makes those easier to find, and loses nothing on classes that were never shown."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sklearn.linear_model import LogisticRegression

from jaxret.errors import ConfigError
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.training.open_set import OpenSetSettings, fit_open_set
from jaxret.training.open_set.rounds import Classifier, Items

T, D, CLASSES, SEEN, SOURCES, EACH = 3, 12, 12, 8, 6, 4
SETTINGS = OpenSetSettings(inverse_regularisation=(1.0,), weights=(1.0, 0.5), rounds=3)


def sequences(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (N, T, D), classes and sources. A class shifts a few numbers, a larger nuisance others,
    so that the mean finds classes poorly."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(CLASSES, D)) * ([1.2] * 8 + [0.0] * (D - 8))
    labels = np.repeat(np.arange(CLASSES), SOURCES * EACH)
    sources = np.repeat(np.arange(CLASSES * SOURCES), EACH)
    of_source = 0.6 * rng.normal(size=(CLASSES * SOURCES, D))
    nuisance = rng.normal(size=(len(labels), D)) * ([0.2] * 8 + [3.0] * (D - 8))
    vectors = (centres[labels] + of_source[sources] + nuisance)[:, None] + 0.3 * rng.normal(size=(len(labels), T, D))
    return vectors.astype(np.float32), labels, sources


def average_precisions(queries: np.ndarray, gallery: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each query by inner product; queries and gallery have the same classes and no source in common."""
    order = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    relevant = labels[order] == labels[:, None]
    precision = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    return (precision * relevant).sum(axis=1) / relevant.sum(axis=1)


def test_seen_classes_gain_and_unseen_ones_lose_nothing() -> None:
    (train, labels, sources), (test, _, _) = sequences(0), sequences(1)
    known = labels < SEEN
    encoder = OpenSetEncoder(D, SEEN, rngs=nnx.Rngs(0))
    fit = fit_open_set(encoder, train[known], labels[known], sources[known], SETTINGS)
    embedded = [np.asarray(encoder(jnp.asarray(vectors)).embedding) for vectors in (test, train)]
    means = [vectors.mean(axis=1) for vectors in (test, train)]
    plain = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in means]
    gains = average_precisions(*embedded, labels) - average_precisions(*plain, labels)
    assert fit.weight > 0
    assert fit.held_out_gain >= 0
    assert gains[known].mean() > 0.1
    assert gains[~known].mean() >= 0


def test_the_same_seed_gives_the_same_numbers() -> None:
    train, labels, sources = sequences(0)
    known = labels < 4
    found = []
    for _ in range(2):
        encoder = OpenSetEncoder(D, 4, rngs=nnx.Rngs(0))
        fit_open_set(encoder, train[known], labels[known], sources[known], SETTINGS)
        found.append(np.asarray(encoder(jnp.asarray(train[:5])).embedding))
    np.testing.assert_array_equal(*found)


def test_where_no_class_can_be_held_out_it_says_so() -> None:
    train, labels, sources = sequences(0)
    two = labels < 2
    with pytest.raises(ConfigError, match="holding classes out needs at least 3 training classes, got 2"):
        fit_open_set(OpenSetEncoder(D, 2, rngs=nnx.Rngs(0)), train[two], labels[two], sources[two], SETTINGS)
    with pytest.raises(ConfigError, match="each of the 5 classes needs an item, got items of 2"):
        fit_open_set(OpenSetEncoder(D, 5, rngs=nnx.Rngs(0)), train[two], labels[two], sources[two], SETTINGS)


def test_one_source_a_class_is_enough_to_fit() -> None:
    train, labels, _ = sequences(0)
    known = labels < 4
    encoder = OpenSetEncoder(D, 4, rngs=nnx.Rngs(0))
    fit_open_set(encoder, train[known], labels[known], labels[known], SETTINGS)
    assert np.isfinite(np.asarray(encoder(jnp.asarray(train[:5])).embedding)).all()


def test_few_items_of_long_vectors_give_the_classifier_that_scikit_learn_gives() -> None:
    rng = np.random.default_rng(0)
    items = Items(rng.normal(size=(20, 15)), rng.normal(size=(20, 45)), np.arange(20) % 3, np.arange(20))
    found = Classifier.fit(items, 0.3)
    centre, scale = items.seen.mean(axis=0), items.seen.std(axis=0) + 1e-6
    reference = LogisticRegression(C=0.3, tol=1e-8, max_iter=1000).fit((items.seen - centre) / scale, items.labels)
    expected = reference.predict_proba((items.seen - centre) / scale)
    np.testing.assert_allclose(found.read(items)[0], expected, atol=2e-3)
    np.testing.assert_allclose(found.kernel * scale[:, None], reference.coef_.T, atol=5e-3)
