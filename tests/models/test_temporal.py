"""The recurrent encoders against a NumPy twin, against Keras, and against themselves."""

from __future__ import annotations

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import recurrent

from jaxret.errors import ConfigError
from jaxret.models import TemporalEncoder, create_sequence_encoder
from jaxret.models.temporal.recurrent_steps import scan_over_time

B, T, D, U = 3, 7, 5, 4
LENGTHS = np.array([7, 1, 4])


def encoder_with_random_weights(seed: int = 0, **settings) -> TemporalEncoder:
    """Every weight random, biases too: zeros would hide a bias added in the wrong place."""
    encoder = TemporalEncoder(D, U, **settings, rngs=nnx.Rngs(seed))
    rng = np.random.default_rng(seed)
    state = nnx.state(encoder, nnx.Param)
    nnx.update(encoder, jax.tree.map(lambda a: jnp.asarray(rng.normal(0, 0.7, a.shape), a.dtype), state))
    return encoder


@nnx.jit
def run(encoder: TemporalEncoder, x, lengths=None):
    return encoder(x, lengths)


def vectors(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(B, T, D)).astype(np.float32)


def twin_layer(cells, sequence: np.ndarray):
    """Hidden states (T, units * directions), last h's, last c's of one sequence without padding."""
    states, last_h, last_c = [], [], []
    for way, cell in enumerate(cells):
        weights = [np.asarray(cell.kernel[...]), np.asarray(cell.recurrent_kernel[...]), np.asarray(cell.bias[...])]
        ordered = sequence[::-1] if way else sequence
        if hasattr(cell, "recurrent_bias"):
            h, c = recurrent.gru(ordered, *weights, np.asarray(cell.recurrent_bias[...])), np.zeros(0)
        else:
            h, c = recurrent.lstm(ordered, *weights)
        last_h.append(h[-1])
        last_c.append(c)
        states.append(h[::-1] if way else h)
    return np.concatenate(states, axis=1), np.concatenate(last_h), np.concatenate(last_c)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_encoder_equals_the_numpy_twin_with_and_without_padding(cell, layers, bidirectional):
    x = vectors()
    x[1, 1:] = 100.0  # padding must not matter
    outputs = ["last"] if layers == 2 else ["last", "mean"] + ["hidden+cell"] * (cell == "lstm")
    for output in outputs:
        encoder = encoder_with_random_weights(cell=cell, layers=layers, bidirectional=bidirectional, output=output)
        encoding = run(encoder, x, jnp.asarray(LENGTHS))
        for row, length in enumerate(LENGTHS):
            states = x[row, :length]
            for layer, cells in enumerate(encoder.cells):
                states, h, c = twin_layer(cells, states)
                stage = np.asarray(encoding.stages[f"hidden_{layer + 1}"][row])
                np.testing.assert_allclose(stage[:length], states, atol=2e-6)
                assert not stage[length:].any()
            expected = {"last": h, "mean": states.mean(axis=0), "hidden+cell": np.concatenate([h, c])}[output]
            np.testing.assert_allclose(encoding.embedding[row], expected, atol=2e-6)
        assert encoding.embedding.shape == (B, encoder.embedding_size)
        assert tuple(encoding.stages) == encoder.stage_names


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_encoder_equals_keras_with_the_same_weights(cell, bidirectional, monkeypatch):
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="keras is not installed (extra `bench`)")
    encoder = encoder_with_random_weights(cell=cell, bidirectional=bidirectional)

    def layer():
        # Keras' default GRU is the `reset_after` form.
        return keras.layers.LSTM(U) if cell == "lstm" else keras.layers.GRU(U)

    peer = keras.layers.Bidirectional(layer(), backward_layer=None) if bidirectional else layer()
    x = vectors()
    peer.build(x.shape)
    weights = []
    for own in encoder.cells[0]:
        bias = np.asarray(own.bias[...])
        if cell == "gru":
            bias = np.stack([bias, np.asarray(own.recurrent_bias[...])])
        weights += [np.asarray(own.kernel[...]), np.asarray(own.recurrent_kernel[...]), bias]
    peer.set_weights(weights)
    np.testing.assert_allclose(run(encoder, x).embedding, peer(x), rtol=1e-4, atol=1e-5)


def test_embedding_depends_on_the_order_of_frames():
    encoder = encoder_with_random_weights()
    x = vectors()
    assert np.abs(run(encoder, x).embedding - run(encoder, x[:, ::-1]).embedding).max() > 0.05


def test_sequence_of_length_zero_is_embedded_as_zeros():
    for output in ("last", "mean"):
        encoder = encoder_with_random_weights(output=output, bidirectional=True)
        embedding = run(encoder, vectors(), jnp.array([0, 2, 0])).embedding
        assert not np.asarray(embedding[0]).any()
        assert np.asarray(embedding[1]).all()


def test_gradient_reaches_every_parameter_and_matches_finite_differences():
    encoder = encoder_with_random_weights(layers=2, bidirectional=True, dropout=0.0)
    graph, parameters, rest = nnx.split(encoder, nnx.Param, ...)
    x = vectors()

    def loss(parameters):
        return jnp.sum(jnp.sin(nnx.merge(graph, parameters, rest)(x, jnp.asarray(LENGTHS)).embedding))

    gradients = jax.jit(jax.grad(loss))(parameters)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))
    direction = jax.tree.map(lambda g: g / jnp.sqrt(jnp.sum(g**2)), gradients)
    step = 1e-2
    loss = jax.jit(loss)
    plus = loss(jax.tree.map(lambda p, d: p + step * d, parameters, direction))
    minus = loss(jax.tree.map(lambda p, d: p - step * d, parameters, direction))
    slope = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradients), jax.tree.leaves(direction), strict=True))
    np.testing.assert_allclose((plus - minus) / (2 * step), slope, rtol=2e-2)


@pytest.mark.parametrize(("cell", "reverse"), [("lstm", False), ("gru", True)])
def test_gradient_equals_jax_own_of_the_equations_step_by_step(cell, reverse):
    cells = encoder_with_random_weights(cell=cell).cells[0][0]
    graph, parameters = nnx.split(cells)
    valid = np.arange(T) < LENGTHS[:, None]
    towards = np.random.default_rng(2).normal(size=(B, T + 2, U)).astype(np.float32)

    def loss(carry, outputs):
        return jnp.sum(jnp.stack([*carry, *jnp.swapaxes(outputs, 0, 1)], axis=1) * towards[:, : T + len(carry)])

    def ours(parameters, x):
        return loss(*scan_over_time(nnx.merge(graph, parameters), x, jnp.asarray(valid), reverse=reverse))

    def step_by_step(parameters, x):
        kernel, *weights = nnx.merge(graph, parameters).weights()
        carry, outputs = (jnp.zeros((B, U)),) * (2 if cell == "lstm" else 1), [jnp.zeros((B, U))] * T
        for time in range(T)[:: -1 if reverse else 1]:
            now = valid[:, time, None]
            advanced, _ = type(cells).advance(carry, x[:, time] @ kernel, weights)
            carry = [jnp.where(now, new, old) for new, old in zip(advanced, carry, strict=True)]
            outputs[time] = jnp.where(now, carry[0], 0)
        return loss(carry, jnp.stack(outputs, axis=1))

    (value, found), (expected_value, expected) = (
        jax.jit(jax.value_and_grad(function, argnums=(0, 1)))(parameters, vectors())
        for function in (ours, step_by_step)
    )
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    for ours_is, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours_is, theirs, atol=2e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_sequences_without_a_time_step_are_zeros_with_gradients_of_zeros(cell):
    encoder = TemporalEncoder(3, 4, cell=cell, bidirectional=True, rngs=nnx.Rngs(0))
    graph, parameters, rest = nnx.split(encoder, nnx.Param, ...)

    def total(parameters):
        return nnx.merge(graph, parameters, rest)(jnp.ones((2, 0, 3))).embedding.sum()

    value, gradient = jax.value_and_grad(total)(parameters)
    assert value == 0
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_dropout_acts_in_training_only_with_one_mask_for_all_time_steps():
    encoder = TemporalEncoder(D, U, dropout=0.5, rngs=nnx.Rngs(0))
    x = jnp.ones((B, T, D))
    np.testing.assert_array_equal(run(encoder, x).embedding, run(encoder, x).embedding)
    encoder.train()
    assert not np.array_equal(run(encoder, x).embedding, run(encoder, x).embedding)
    masked = np.asarray(encoder.dropout(x))
    assert set(np.unique(masked)) == {0.0, 2.0}
    assert (masked == masked[:, :1]).all()
    encoder.eval()
    np.testing.assert_array_equal(run(encoder, x).embedding, run(encoder, x).embedding)


def test_bfloat16_is_close_to_float32_and_still_returns_float32():
    exact = encoder_with_random_weights(bidirectional=True)
    coarse = encoder_with_random_weights(bidirectional=True, dtype="bfloat16")
    encoding = run(coarse, vectors())
    assert encoding.embedding.dtype == jnp.float32
    assert encoding.stages["hidden_1"].dtype == jnp.bfloat16
    np.testing.assert_allclose(encoding.embedding, run(exact, vectors()).embedding, atol=0.05)


def test_config_is_json_and_recreates_the_encoder():
    encoder = TemporalEncoder(D, U, cell="gru", layers=2, bidirectional=True, output="mean", rngs=nnx.Rngs(0))
    again = create_sequence_encoder(**json.loads(json.dumps(encoder.config)), rngs=nnx.Rngs(1))
    assert again.config == encoder.config
    nnx.update(again, nnx.state(encoder, nnx.Param))
    np.testing.assert_array_equal(run(again, vectors()).embedding, run(encoder, vectors()).embedding)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": 0}, "units must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"cell": "rnn"}, "cell must be lstm or gru, got 'rnn'"),
        ({"output": "max"}, "output must be one of last, mean, hidden\\+cell, got 'max'"),
        ({"cell": "gru", "output": "hidden+cell"}, "a gru has no cell state"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"dtype": "float16"}, "dtype must be float32 or bfloat16, got 'float16'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        TemporalEncoder(D, **settings, rngs=nnx.Rngs(0))


def test_wrong_shapes_are_named():
    encoder = TemporalEncoder(D, U, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"vectors must have shape \(B, T, 5\), got \(3, 7, 6\)"):
        encoder(jnp.zeros((3, 7, 6)))
    with pytest.raises(ValueError, match=r"lengths must have shape \(3,\), got \(2,\)"):
        encoder(jnp.zeros((3, 7, 5)), jnp.array([1, 2]))
