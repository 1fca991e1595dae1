"""Batch norm over a batch against float64 arithmetic and against flax's, whose gradient is automatic."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.models.layers import conv
from jaxret.models.layers.cpu.batch_norm import normalised_by_batch

SHAPES = [(5, 3), (4, 6, 2), (3, 4, 5, 7), (2, 3, 2, 4, 3)]


def case(shape):
    rng = np.random.default_rng(len(shape))
    spread = rng.uniform(0.3, 3, shape[-1])
    maps = (rng.normal(size=shape) * spread + rng.normal(size=shape[-1])).astype(np.float32)
    scale, bias = rng.uniform(0.5, 2, shape[-1]), rng.normal(size=shape[-1])
    return maps, scale.astype(np.float32), bias.astype(np.float32), rng.normal(size=shape).astype(np.float32)


def norm_of(scale, bias):
    norm = nnx.BatchNorm(len(scale), momentum=0.9, epsilon=1e-3, rngs=nnx.Rngs(0))
    norm.scale[...], norm.bias[...] = jnp.asarray(scale), jnp.asarray(bias)
    return norm


def automatic(maps, scale, bias):
    return norm_of(scale, bias)(maps)


def ours(maps, scale, bias):
    return normalised_by_batch(maps, scale, bias, 1e-3)[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_formula_in_float64(shape):
    maps, scale, bias, upstream = case(shape)
    outputs, pull_back = jax.vjp(ours, *map(jnp.asarray, (maps, scale, bias)))
    x, g = (array.reshape(-1, shape[-1]).astype(np.float64) for array in (maps, upstream))
    deviation = np.sqrt(x.var(axis=0) + 1e-3)
    normal = (x - x.mean(axis=0)) / deviation
    np.testing.assert_allclose(outputs.reshape(x.shape), normal * scale + bias, atol=1e-4)
    expected = scale / deviation * (g - g.mean(axis=0) - normal * (g * normal).mean(axis=0))
    of_maps, of_scale, of_bias = pull_back(jnp.asarray(upstream))
    np.testing.assert_allclose(of_maps.reshape(x.shape), expected, atol=1e-4)
    np.testing.assert_allclose(of_scale, (g * normal).sum(axis=0), atol=1e-4)
    np.testing.assert_allclose(of_bias, g.sum(axis=0), atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_and_their_gradients_are_the_automatic_ones(shape):
    *arrays, upstream = map(jnp.asarray, case(shape))

    def penalty(function):
        def loss(*arrays):
            return jnp.sum(jnp.sin(function(*arrays)) * upstream)

        def of_gradients(*arrays):
            return sum(jnp.sum(jnp.cos(each)) for each in jax.grad(loss, (0, 1, 2))(*arrays))

        return jax.jit(lambda *arrays: (jax.grad(loss, (0, 1, 2))(*arrays), jax.grad(of_gradients, (0, 1, 2))(*arrays)))

    for found, expected in zip(*(jax.tree.leaves(penalty(f)(*arrays)) for f in (ours, automatic)), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_running_statistics_move_as_flax_moves_them(on_cpu, monkeypatch):
    monkeypatch.setattr(conv, "runs_on_cpu", lambda: on_cpu)
    maps, scale, bias, _ = case((6, 3, 3, 4))
    norm, twin = norm_of(scale, bias), norm_of(scale, bias)
    for _ in range(3):
        np.testing.assert_allclose(conv.batch_norm(norm, jnp.asarray(maps)), twin(jnp.asarray(maps)), atol=1e-5)
    for name in ("mean", "var"):
        np.testing.assert_allclose(getattr(norm, name)[...], getattr(twin, name)[...], rtol=1e-6)
        assert abs(getattr(norm, name)[...] - getattr(norm_of(scale, bias), name)[...]).max() > 0.01


def test_no_gradient_flows_through_the_statistics():
    maps, scale, bias, _ = map(jnp.asarray, case((5, 3)))
    gradient = jax.grad(lambda x: sum(jnp.sum(each) for each in normalised_by_batch(x, scale, bias, 1e-3)[1:]))(maps)
    assert not gradient.any()


def test_a_channel_that_is_the_same_everywhere_gives_its_bias_and_no_gradient():
    maps = jnp.full((4, 2, 2, 3), 7.0)
    outputs, pull_back = jax.vjp(lambda x: normalised_by_batch(x, jnp.ones(3), jnp.arange(3.0), 1e-3)[0], maps)
    np.testing.assert_allclose(outputs, jnp.broadcast_to(jnp.arange(3.0), maps.shape), atol=1e-5)
    np.testing.assert_allclose(pull_back(jnp.ones_like(maps))[0], 0, atol=1e-4)
