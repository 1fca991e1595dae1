"""Codes with a codeword for each known class: equal to their equations, and codewords only where the class is sure."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import HashLayer, Mean
from jaxret.models.registry import create_sequence_encoder
from jaxret.models.store import encoder_arrays
from jaxret.models.temporal.open_set import STATISTICS, OpenSetEncoder
from jaxret.models.temporal.open_set_hash import OpenSetHash, sureness

B, T, D, K, BITS = 40, 4, 6, 3, 16


def vectors() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(B, T, D)).astype(np.float32)


def codewords() -> np.ndarray:
    return np.where(np.random.default_rng(2).normal(size=(K, BITS)) >= 0, 1, -1)


def fitted(doubt: float = 5.0) -> OpenSetHash:
    """Of an encoder that is sure of some items and not of others."""
    rng = np.random.default_rng(3)
    encoder = OpenSetEncoder(D, K, rngs=nnx.Rngs(0))
    encoder.assign(
        {
            "kernel": 3 * rng.normal(size=(3 * D, K)),
            "bias": rng.normal(size=K),
            "prototypes": np.eye(K, D),
            "known_kernel": -3 * np.eye(STATISTICS)[1],  # of the logarithm of what the likeliest class leaves
            "known_bias": np.array([-5.0]),
        }
    )
    hashed = OpenSetHash(encoder, BITS, rngs=nnx.Rngs(0))
    hashed.assign(rng.normal(size=D + K + 1) / 4, rng.normal(size=(D + K + 1, BITS)) / 2, np.zeros(BITS))
    hashed.assign_codewords(codewords(), doubt)
    return hashed


def test_it_equals_its_equations() -> None:
    hashed = fitted(doubt=5.0)
    encoding = hashed(jnp.asarray(vectors()))
    kernel, bias = (np.asarray(array, np.float64) for array in (hashed.linear.kernel, hashed.linear.bias))
    for row in range(B):
        stages = {name: np.asarray(stage[row], np.float64) for name, stage in encoding.stages.items()}
        bits = stages["real_embedding"] @ kernel + bias
        known = stages["known"]
        for label in range(K):
            # Unknown classes five times as frequent multiply the odds of an unknown class by five.
            odds_of_unknown = 5 * (1 - known) / known
            bits = bits + 4 * stages["posterior"][label] / (1 + odds_of_unknown) * codewords()[label]
        np.testing.assert_allclose(encoding.embedding[row], (1 + bits / np.linalg.norm(bits)) / 2, atol=1e-5)


def test_codewords_are_taken_where_the_class_is_sure_and_nowhere_else() -> None:
    hashed = fitted(doubt=1000.0)
    encoding = hashed(jnp.asarray(vectors()))
    plain = HashLayer(hashed.encoder, BITS, rngs=nnx.Rngs(0))
    plain.linear = hashed.linear
    codes, linear = (np.asarray(layer.embedding) >= 0.5 for layer in (encoding, plain(jnp.asarray(vectors()))))
    stages = {name: np.asarray(stage, np.float64) for name, stage in encoding.stages.items()}
    sure = sureness(stages["posterior"], stages["known"], 1000.0)
    known_items, unknown_items = sure.max(axis=1) > 0.9, sure.max(axis=1) < 1e-3
    assert known_items.any()
    assert unknown_items.any()
    expected = codewords()[sure.argmax(axis=1)] > 0
    assert (codes == expected)[known_items].mean() > 0.95
    assert (linear == expected)[known_items].mean() < 0.7
    np.testing.assert_array_equal(codes[unknown_items], linear[unknown_items])


def test_the_surest_item_is_sure_of_one_class_and_doubt_makes_others_less_so() -> None:
    posterior, known = np.array([[1.0, 0.0], [0.7, 0.3], [0.7, 0.3]]), np.array([1.0, 0.5, 0.0])
    np.testing.assert_allclose(sureness(posterior, known, 1.0), [[1, 0], [0.35, 0.15], [0, 0]])
    np.testing.assert_allclose(sureness(posterior, known, 9.0), [[1, 0], [0.07, 0.03], [0, 0]])


def test_before_codewords_are_assigned_it_is_a_hash_layer() -> None:
    encoder = OpenSetEncoder(D, K, rngs=nnx.Rngs(0))
    layer = HashLayer(encoder, BITS, rngs=nnx.Rngs(5))(jnp.asarray(vectors())).embedding
    sigmoids, directions = (
        OpenSetHash(encoder, BITS, directions=directions, rngs=nnx.Rngs(5))(jnp.asarray(vectors())).embedding
        for directions in (False, True)
    )
    np.testing.assert_array_equal(sigmoids, layer)
    np.testing.assert_array_equal(directions >= 0.5, layer >= 0.5)


def test_distances_rank_as_cosines_of_what_bits_are_the_signs_of() -> None:
    """However sure items are of their classes: each of them has the same length."""
    hashed = fitted()
    found = np.asarray(hashed(jnp.asarray(vectors())).embedding, np.float64)
    hashed.directions = False
    sigmoids = np.asarray(hashed(jnp.asarray(vectors())).embedding, np.float64)
    linear = np.log(sigmoids / (1 - sigmoids))
    unit = linear / np.linalg.norm(linear, axis=1, keepdims=True)
    squared = ((found[:, None] - found) ** 2).sum(axis=-1)
    np.testing.assert_allclose(squared, (1 - unit @ unit.T) / 2, atol=1e-4)


def test_its_config_makes_it_again() -> None:
    hashed = fitted(doubt=30.0)
    again = create_sequence_encoder(**hashed.config, rngs=nnx.Rngs(0))
    assert isinstance(again, OpenSetHash)
    assert (again.doubt, again.code_bits, again.directions, again.config) == (30.0, BITS, True, hashed.config)
    shapes = [{name: array.shape for name, array in encoder_arrays(one).items()} for one in (again, hashed)]
    assert shapes[0] == shapes[1]


def test_codes_made_before_there_were_codewords_open() -> None:
    before = {"kind": "hash", "encoder": OpenSetEncoder(D, K, rngs=nnx.Rngs(0)).config, "bits": BITS}
    assert type(create_sequence_encoder(**before, rngs=nnx.Rngs(0))) is HashLayer


def test_an_encoder_made_before_embeddings_were_directions_keeps_its_sigmoids() -> None:
    before = {name: value for name, value in fitted().config.items() if name != "directions"}
    again = create_sequence_encoder(**before, rngs=nnx.Rngs(0))
    assert isinstance(again, OpenSetHash)
    assert not again.directions
    assert again.config == before


def test_bad_settings_and_codewords_are_refused() -> None:
    encoder = OpenSetEncoder(D, K, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="codewords of known classes need an open-set encoder, got one of 'mean'"):
        OpenSetHash(Mean(D, rngs=nnx.Rngs(0)), BITS, rngs=nnx.Rngs(0))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"doubt must be a finite number of at least 1, got 0\.5"):
        OpenSetHash(encoder, BITS, doubt=0.5, rngs=nnx.Rngs(0))
    hashed = OpenSetHash(encoder, BITS, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="doubt must be a finite number of at least 1, got inf"):
        hashed.assign_codewords(codewords(), float("inf"))
    with pytest.raises(ValueError, match=r"codewords must have shape \(3, 16\), got \(3, 8\)"):
        hashed.assign_codewords(codewords()[:, :8], 2.0)
    with pytest.raises(ValueError, match="codewords must be of -1 and 1"):
        hashed.assign_codewords(codewords() * 0.5, 2.0)
