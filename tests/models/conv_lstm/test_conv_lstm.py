"""ConvLSTM against Keras' layers with the same weights, against a loop of the equations, and against itself."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.conv_lstm.cell import BidirectionalConvLSTM, ConvLSTM


def maps_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


def layer_of(axes: int, into: int = 3, channels: int = 4, window: int = 3) -> ConvLSTM:
    layer = ConvLSTM(into, channels, spatial_axes=axes, window=window, rngs=nnx.Rngs(0))
    layer.bias[...] = maps_of(4 * channels)
    return layer


@pytest.mark.parametrize(("axes", "shape"), [(1, (2, 4, 9, 3)), (2, (2, 4, 7, 6, 3)), (3, (1, 3, 5, 6, 4, 3))])
def test_outputs_equal_keras(monkeypatch, axes, shape):
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="keras is not installed (extra `bench`)")
    kind = getattr(keras.layers, f"ConvLSTM{axes}D")
    inputs, layer = maps_of(*shape), layer_of(axes)
    weights = [np.asarray(p[...]) for p in (layer.kernel, layer.recurrent_kernel, layer.bias)]
    for reverse in (False, True):
        peer = kind(4, 3, padding="same", recurrent_activation="sigmoid", return_sequences=True, go_backwards=reverse)
        peer.build(shape)
        peer.set_weights(weights)
        expected = np.asarray(peer(inputs))
        expected = expected[:, ::-1] if reverse else expected  # Keras gives them in the order it went
        np.testing.assert_allclose(layer(inputs, reverse=reverse), expected, atol=2e-5)


def test_outputs_are_those_of_the_equations():
    layer, inputs = layer_of(2, into=2, channels=3), maps_of(1, 3, 5, 4, 2)
    kernel, recurrent, bias = (
        np.asarray(p[...], np.float64) for p in (layer.kernel, layer.recurrent_kernel, layer.bias)
    )

    def slow_convolution(x, w):
        padded = np.pad(x, [(1, 1), (1, 1), (0, 0)])
        out = np.zeros((*x.shape[:2], w.shape[-1]))
        for r, c in np.ndindex(*x.shape[:2]):
            out[r, c] = np.einsum("ijk,ijkl->l", padded[r : r + 3, c : c + 3], w)
        return out

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    hidden, cell = np.zeros((5, 4, 3)), np.zeros((5, 4, 3))
    for step in range(3):
        gates = slow_convolution(inputs[0, step], kernel) + slow_convolution(hidden, recurrent) + bias
        i, f, g, o = (gates[..., 3 * n : 3 * n + 3] for n in range(4))
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        np.testing.assert_allclose(layer(inputs)[0, step], hidden, atol=1e-5)


def test_the_bidirectional_layer_is_two_that_go_either_way():
    layer, inputs = BidirectionalConvLSTM(3, 8, rngs=nnx.Rngs(1)), maps_of(2, 4, 6, 5, 3)
    outputs = layer(inputs)
    assert outputs.shape == (2, 4, 6, 5, 8)
    np.testing.assert_array_equal(outputs[..., :4], layer.forward(inputs))
    np.testing.assert_allclose(outputs[:, ::-1, ..., 4:], layer.backward(inputs[:, ::-1]), atol=1e-6)
    assert np.abs(np.asarray(layer.forward.kernel[...]) - np.asarray(layer.backward.kernel[...])).max() > 0.01


def test_gradients_reach_every_parameter_and_bfloat16_is_close():
    layer, inputs = layer_of(2), maps_of(1, 3, 6, 6, 3)
    gradients = nnx.grad(lambda net: (net(inputs) ** 2).sum())(layer)
    assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(gradients))
    half = ConvLSTM(3, 4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    half.bias[...] = layer.bias[...]
    assert half(inputs).dtype == jnp.bfloat16
    assert half.kernel[...].dtype == jnp.float32
    np.testing.assert_allclose(half(inputs).astype(jnp.float32), layer(inputs), atol=0.05)


def test_bad_settings_and_inputs_are_named():
    with pytest.raises(ConfigError, match="channels must be at least 1, got 0"):
        ConvLSTM(3, 0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="channels must be even, half from each direction, got 5"):
        BidirectionalConvLSTM(3, 5, rngs=nnx.Rngs(0))
    for shape in ((2, 3, 4, 4, 2), (3, 4, 4, 3)):
        with pytest.raises(ValueError, match=r"inputs must have shape \(B, T, S1, S2, 3\), got"):
            layer_of(2)(jnp.zeros(shape))
