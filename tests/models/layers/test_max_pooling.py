"""Max pooling and its gradient, against NumPy and XLA's own."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxret.models.layers import max_pooling
from jaxret.models.layers.max_pooling import max_pool

CASES = [((8,), (2,)), ((7, 5), (2, 3)), ((5, 7, 7), (2, 2, 2)), ((3, 4, 5), (1, 2, 2)), ((1, 1, 1), (2, 2, 2))]


def slow_max_pool(maps, window):
    sizes = [-(-size // wide) for size, wide in zip(maps.shape[1:-1], window, strict=True)]
    pooled = np.empty((maps.shape[0], *sizes, maps.shape[-1]), maps.dtype)
    for place in itertools.product(*map(range, sizes)):
        block = (slice(at * wide, (at + 1) * wide) for at, wide in zip(place, window, strict=True))
        seen = maps[(slice(None), *block)]
        pooled[(slice(None), *place)] = seen.max(axis=tuple(range(1, seen.ndim - 1)))
    return pooled


@pytest.fixture(params=[True, False], ids=["cpu-form", "library-form"])
def _form(request, monkeypatch):
    monkeypatch.setattr(max_pooling, "runs_on_cpu", lambda: request.param)


@pytest.mark.usefixtures("_form")
@pytest.mark.parametrize(("spatial", "window"), CASES)
def test_largest_of_every_block_also_of_negative_ones(spatial, window):
    maps = np.random.default_rng(0).normal(-5, 1, (2, *spatial, 3)).astype(np.float32)
    np.testing.assert_array_equal(max_pool(jnp.asarray(maps), window), slow_max_pool(maps, window))


@pytest.mark.parametrize(("spatial", "window"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradient_is_xlas_own_also_where_values_are_equal(spatial, window, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    maps = jnp.asarray(rng.integers(0, 3, (2, *spatial, 3)), dtype)  # many equal values in every block
    upstream = jnp.asarray(rng.integers(-9, 9, max_pool(maps, window).shape), dtype)

    def gradient():
        return jax.vjp(lambda maps: max_pool(maps, window), maps)[1](upstream)[0]

    monkeypatch.setattr(max_pooling, "runs_on_cpu", lambda: True)
    ours = gradient()
    monkeypatch.setattr(max_pooling, "runs_on_cpu", lambda: False)
    assert ours.dtype == maps.dtype
    np.testing.assert_array_equal(ours, gradient())
