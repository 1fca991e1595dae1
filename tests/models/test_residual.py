"""The sum and a learned residual: the sum before training, the equation after it, in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import HashLayer, Sum, SumResidual, TemporalEncoder, UnitLength, create_sequence_encoder


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def sequences() -> tuple[np.ndarray, np.ndarray]:
    """Vectors (3, 6, 5), of which lengths count; padding that must not be seen."""
    return np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32), np.array([6, 2, 1], np.int32)


@pytest.mark.parametrize("inner", ["sum", "lstm"])
def test_it_starts_as_the_sum_and_adds_what_it_learns(inner: str) -> None:
    vectors, lengths = sequences()
    rngs = nnx.Rngs(0)
    encoder = UnitLength(Sum(5, rngs=rngs)) if inner == "sum" else TemporalEncoder(5, 7, dropout=0.0, rngs=rngs)
    residual = SumResidual(encoder, rngs=rngs)
    total = unit(np.stack([row[:length].sum(axis=0) for row, length in zip(vectors, lengths, strict=True)]))
    before = residual(jnp.asarray(vectors), jnp.asarray(lengths))
    np.testing.assert_allclose(before.embedding, total, atol=1e-6)
    rng = np.random.default_rng(1)
    weights, bias = rng.normal(size=(encoder.embedding_size, 5)).astype(np.float32), rng.normal(size=5)
    residual.linear.kernel[...] = jnp.asarray(weights)
    residual.linear.bias[...] = jnp.asarray(bias, jnp.float32)
    after = residual(jnp.asarray(vectors), jnp.asarray(lengths))
    hidden = np.asarray(encoder(jnp.asarray(vectors), jnp.asarray(lengths)).embedding)
    np.testing.assert_allclose(after.embedding, unit(total + hidden @ weights + bias), atol=1e-5)
    np.testing.assert_allclose(after.stages["sum"], total, atol=1e-6)
    np.testing.assert_allclose(after.stages["hidden_embedding"], hidden, atol=1e-6)


def test_the_first_step_moves_it() -> None:
    vectors, lengths = sequences()
    rngs = nnx.Rngs(0)
    residual = SumResidual(UnitLength(Sum(5, rngs=rngs)), rngs=rngs)

    def cosine(module: SumResidual) -> jax.Array:
        return module(jnp.asarray(vectors), jnp.asarray(lengths)).embedding[:, 0].sum()

    gradient = nnx.grad(cosine)(residual)
    assert np.abs(np.asarray(gradient.linear.kernel[...])).max() > 0.1


def test_it_is_made_anew_from_its_settings_and_refuses_codes() -> None:
    rngs = nnx.Rngs(0)
    residual = SumResidual(TemporalEncoder(5, 7, rngs=rngs), rngs=rngs)
    again = create_sequence_encoder(**residual.config, rngs=rngs)
    assert again.config == residual.config
    assert again.embedding_size == residual.embedding_size == 5
    with pytest.raises(ConfigError, match="a residual is added to real numbers, and the encoder gives 8 bits"):
        SumResidual(HashLayer(TemporalEncoder(5, 7, rngs=rngs), 8, rngs=rngs), rngs=rngs)
