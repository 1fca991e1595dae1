"""The mean beside an open-set posterior: equal to its equations in NumPy, of constant length, blind to padding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import expit, logsumexp, softmax

from jaxret.errors import ConfigError
from jaxret.models.registry import create_sequence_encoder
from jaxret.models.temporal.open_set import OpenSetEncoder

B, T, D, K, R = 5, 7, 6, 4, 3


def arrays(seed: int = 0, nuisances: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    prototypes = rng.normal(size=(K, D))
    directions = np.linalg.qr(np.random.default_rng(7).normal(size=(D, R)))[0]
    of_nuisances = {"centre": np.linspace(-0.2, 0.3, D), "directions": directions, "shares": np.array([0.2, 0.5, 0.9])}
    return (of_nuisances if nuisances else {}) | {
        "kernel": rng.normal(size=(3 * D, K)),
        "bias": rng.normal(size=K),
        "prototypes": prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True),
        "known_kernel": 0.3 * rng.normal(size=8),
        "known_bias": np.array([0.1]),
    }


def fitted(weight: float = 1.5, nuisances: int = 0) -> OpenSetEncoder:
    encoder = OpenSetEncoder(D, K, weight=weight, nuisances=nuisances, rngs=nnx.Rngs(0))
    encoder.assign(arrays(nuisances=nuisances))
    return encoder


def unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x)
    return x / length if length > 0 else x


def twin(sequence: np.ndarray, weight: float, nuisances: int) -> np.ndarray:
    """One sequence (T, D) by the equations, step by step in float64."""
    given = {name: np.asarray(value, np.float64) for name, value in arrays(nuisances=nuisances).items()}
    mean = unit(sequence.mean(axis=0))
    seen = np.concatenate([mean, unit(sequence.max(axis=0)), unit(sequence.std(axis=0))])
    logits = seen @ given["kernel"] + given["bias"]
    posterior = softmax(logits)
    cosines = sorted(mean @ given["prototypes"].T)
    statistics = [
        np.log(posterior.max() + 1e-6),
        np.log(1 - posterior.max() + 1e-6),
        -(posterior * np.log(posterior + 1e-6)).sum(),
        logits.max(),
        logsumexp(logits),
        cosines[-1],
        cosines[-1] - cosines[-2],
        mean @ given["prototypes"][logits.argmax()],
    ]
    known = expit(np.array(statistics) @ given["known_kernel"] + given["known_bias"][0])
    compared = mean
    if nuisances:
        compared = mean - given["centre"]
        for direction, share in zip(given["directions"].T, given["shares"], strict=True):
            compared = compared - (1 - share) * (compared @ direction) * direction
        compared = unit(compared)
    return np.concatenate([compared, np.sqrt(weight * known * posterior), [np.sqrt(weight * (1 - known))]])


@pytest.mark.parametrize("nuisances", [0, R])
def test_it_equals_its_equations(nuisances: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(B, T, D)).astype(np.float32)
    encoding = fitted(nuisances=nuisances)(jnp.asarray(vectors))
    np.testing.assert_allclose(
        encoding.embedding, [twin(v.astype(np.float64), 1.5, nuisances) for v in vectors], rtol=2e-4, atol=2e-5
    )


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_all_embeddings_have_one_length_so_that_all_distances_rank_alike(weight: float) -> None:
    vectors = jnp.asarray(np.random.default_rng(2).normal(size=(B, T, D)), jnp.float32)
    for nuisances in (0, R):
        embedding = np.asarray(fitted(weight, nuisances)(vectors).embedding)
        np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), np.sqrt(1 + weight), rtol=1e-5)


@pytest.mark.parametrize("nuisances", [0, R])
def test_before_it_is_fitted_it_ranks_as_the_mean_does(nuisances: int) -> None:
    vectors = np.random.default_rng(3).normal(size=(B, T, D)).astype(np.float32)
    encoder = OpenSetEncoder(D, K, nuisances=nuisances, rngs=nnx.Rngs(0))
    embedding = np.asarray(encoder(jnp.asarray(vectors)).embedding)
    means = vectors.mean(axis=1)
    cosines = np.array([[unit(a) @ unit(b) for b in means] for a in means])
    np.testing.assert_allclose(embedding @ embedding.T, cosines + 1, rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing() -> None:
    vectors = np.random.default_rng(4).normal(size=(2, T, D)).astype(np.float32)
    lengths = np.array([3, T])
    padded = vectors.copy()
    padded[0, 3:] = 1e6
    encoder = fitted()
    together = encoder(jnp.asarray(padded), jnp.asarray(lengths)).embedding
    alone = encoder(jnp.asarray(vectors[:1, :3])).embedding
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sequence", [np.zeros((1, 1, D)), np.ones((1, 1, D)), np.full((1, T, D), 3.0)])
@pytest.mark.parametrize("nuisances", [0, R])
def test_still_and_empty_sequences_are_finite_with_finite_gradients(sequence: np.ndarray, nuisances: int) -> None:
    encoder = fitted(nuisances=nuisances)

    def total(vectors: jax.Array) -> jax.Array:
        return encoder(vectors).embedding.sum()

    value, gradient = jax.value_and_grad(total)(jnp.asarray(sequence, jnp.float32))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_its_config_makes_it_again() -> None:
    encoder = fitted(0.5, R)
    again = create_sequence_encoder(**encoder.config, rngs=nnx.Rngs(0))
    assert again.config == encoder.config
    assert again.embedding_size == D + K + 1
    assert encoder.config["nuisances"] == R


def test_a_config_from_before_there_were_nuisances_keeps_mean_vectors_as_they_are() -> None:
    config = {name: value for name, value in fitted().config.items() if name != "nuisances"}
    assert create_sequence_encoder(**config, rngs=nnx.Rngs(0)).config == fitted().config


@pytest.mark.parametrize("nuisances", [0, R])
def test_learned_numbers_are_seen_by_the_classifier_and_not_compared(nuisances: int) -> None:
    """With a classifier that looks at the other numbers alone it is the encoder of those, behind any learned ones."""
    rng, learned = np.random.default_rng(5), 2
    vectors = rng.normal(size=(B, T, learned + D)).astype(np.float32)
    kernel = np.concatenate([np.zeros((3 * learned, K)), arrays()["kernel"]])
    encoder = OpenSetEncoder(learned + D, K, weight=1.5, nuisances=nuisances, learned=learned, rngs=nnx.Rngs(0))
    encoder.assign(arrays(nuisances=nuisances) | {"kernel": kernel})
    assert encoder.embedding_size == D + K + 1
    assert create_sequence_encoder(**encoder.config, rngs=nnx.Rngs(0)).config == encoder.config
    expected = fitted(nuisances=nuisances)(jnp.asarray(vectors[..., learned:])).embedding
    np.testing.assert_allclose(encoder(jnp.asarray(vectors)).embedding, expected, rtol=1e-5, atol=1e-6)
    # The classifier sees their mean, maximum and deviation, each of length 1, before all else.
    kernel = np.concatenate([rng.normal(size=(3 * learned, K)), np.zeros((3 * D, K))])
    encoder.assign(arrays(nuisances=nuisances) | {"kernel": kernel})
    first = vectors[..., :learned].astype(np.float64)
    seen = [np.concatenate([unit(v.mean(axis=0)), unit(v.max(axis=0)), unit(v.std(axis=0))]) for v in first]
    logits = np.array(seen) @ kernel[: 3 * learned] + arrays()["bias"]
    np.testing.assert_allclose(encoder(jnp.asarray(vectors)).stages["logits"], logits, rtol=1e-4, atol=1e-5)


def test_bad_settings_and_arrays_are_refused() -> None:
    with pytest.raises(ConfigError, match="classes must be at least 2, got 1"):
        OpenSetEncoder(D, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="weight must be a finite number of at least 0, got -1"):
        OpenSetEncoder(D, K, weight=-1, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="nuisances must be 0 to 6, the length of a mean vector, got 7"):
        OpenSetEncoder(D, K, nuisances=7, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="nuisances must be 0 to 4, the length of a mean vector, got 5"):
        OpenSetEncoder(D, K, nuisances=5, learned=2, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="learned must be 0 to 5, numbers of a frame vector, got 6"):
        OpenSetEncoder(D, K, learned=D, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"arrays must be .*, centre, directions, shares, got bias"):
        OpenSetEncoder(D, K, nuisances=R, rngs=nnx.Rngs(0)).assign(arrays())
    encoder = OpenSetEncoder(D, K, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"kernel must have shape \(18, 4\), got \(4, 18\)"):
        encoder.assign(arrays() | {"kernel": arrays()["kernel"].T})
    with pytest.raises(ValueError, match="bias must be finite"):
        encoder.assign(arrays() | {"bias": np.full(K, np.nan)})
    with pytest.raises(ValueError, match="arrays must be kernel, bias"):
        encoder.assign({"kernel": arrays()["kernel"]})
