"""The maximum with a gradient that goes to where it is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxret.models.layers.largest import largest, smallest


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_maxima_and_their_gradients_are_those_of_numpy(axis: int) -> None:
    values = np.random.default_rng(0).permutation(60).reshape(3, 4, 5).astype(np.float32)  # no two alike
    weights = np.random.default_rng(1).standard_normal(values.max(axis).shape, np.float32)
    for ours, numpys, places in ((largest, np.max, np.argmax), (smallest, np.min, np.argmin)):
        np.testing.assert_array_equal(ours(jnp.asarray(values), axis), numpys(values, axis))
        gradient = jax.jit(jax.grad(lambda x, of=ours: (of(x, axis) * weights).sum()))(values)
        expected = np.zeros_like(values)
        np.put_along_axis(expected, np.expand_dims(places(values, axis), axis), np.expand_dims(weights, axis), axis)
        np.testing.assert_array_equal(gradient, expected)


def test_the_first_of_equal_ones_has_the_gradient_whatever_else_there_is() -> None:
    values = jnp.array([[-jnp.inf, 2.0, 2.0], [-jnp.inf] * 3, [jnp.inf, 0.0, 1.0]])
    gradient = jax.grad(lambda x: jnp.where(jnp.isfinite(largest(x, 1)), largest(x, 1), 0).sum())(values)
    np.testing.assert_array_equal(gradient, [[0, 1, 0], [0, 0, 0], [0, 0, 0]])


def test_tangents_go_forward_too() -> None:
    _, tangent = jax.jvp(lambda x: largest(x, 0), (jnp.array([1.0, 5.0, 3.0]),), (jnp.array([10.0, 20.0, 30.0]),))
    assert tangent == 20
