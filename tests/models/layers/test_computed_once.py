"""What several operations read is computed once, and is what it would be otherwise."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxret.models.layers.cpu.computed_once import computed_once


def read_twice(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    shifted = jnp.concatenate([values[1:], values[:-1]], axis=1)
    return shifted @ jnp.ones((2 * values.shape[1], 4)), values.sum(axis=0)


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    return a * b * (1 - a)


@pytest.fixture
def arrays() -> list[jax.Array]:
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(64, 32)), jnp.float32) for _ in range(2)]


def test_values_are_the_same_also_where_they_are_not_finite(arrays: list[jax.Array]) -> None:
    a, b = arrays[0].at[3, 4].set(jnp.nan), arrays[1].at[5, 6].set(jnp.inf)
    np.testing.assert_array_equal(jax.jit(lambda a, b: computed_once(product, a, b))(a, b), jax.jit(product)(a, b))


def test_it_is_computed_in_one_place(arrays: list[jax.Array]) -> None:
    """Where a value is copied into what reads it, its operations stand in the program twice."""

    def text(value) -> str:
        return jax.jit(lambda a, b: read_twice(value(a, b))).lower(*arrays).compile().as_text()

    once = text(lambda a, b: computed_once(product, a, b))
    assert " conditional(" in once
    assert once.count(" subtract(") == 1
