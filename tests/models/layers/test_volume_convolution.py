"""Convolutions over time and images by minimal filtering, and their gradients, against XLA's own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxret.models.layers.cpu import winograd
from jaxret.models.layers.dispatch import convolve


def library_convolution(inputs, kernel):
    pads = [(size // 2, size // 2) for size in kernel.shape[:3]]
    return lax.conv_general_dilated(inputs, kernel, (1, 1, 1), pads, dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))


def gradients(function, inputs, kernel, weights):
    return jax.jit(jax.value_and_grad(lambda x, k: jnp.vdot(function(x, k), weights), (0, 1)))(inputs, kernel)


@pytest.mark.parametrize("tiles_of_block", [1, 12, 1000], ids=["frame by frame", "some frames", "all clips"])
@pytest.mark.parametrize(("sizes", "wide"), [((4, 8, 12), 3), ((6, 5, 7), 3), ((5, 4, 4), 5), ((1, 8, 8), 1)])
def test_equals_the_direct_sum(monkeypatch, sizes, wide, tiles_of_block):
    monkeypatch.setattr(winograd, "_TILES_OF_BLOCK", tiles_of_block)
    rng = np.random.default_rng(0)
    inputs, kernel, weights = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in ((2, *sizes, 3), (wide, 3, 3, 3, 5), (2, *sizes, 5))
    )
    outputs, expected = winograd.volume_convolution(inputs, kernel), library_convolution(inputs, kernel)
    np.testing.assert_allclose(outputs, expected, atol=2e-5 * np.abs(expected).max())
    found = gradients(winograd.volume_convolution, inputs, kernel, weights)
    wanted = gradients(library_convolution, inputs, kernel, weights)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=3e-5 * np.abs(other).max())


@pytest.mark.parametrize(
    ("shape", "kernel", "strides", "used"),
    [
        ((1, 4, 32, 32, 32), (3, 3, 3, 32, 32), (1, 1, 1), True),
        ((1, 4, 32, 29, 32), (3, 3, 3, 32, 32), (1, 1, 1), True),
        ((1, 4, 32, 28, 32), (3, 3, 3, 32, 32), (1, 1, 1), False),  # 224 tiles
        ((1, 4, 32, 32, 31), (3, 3, 3, 31, 32), (1, 1, 1), False),
        ((1, 4, 32, 32, 32), (3, 3, 3, 32, 32), (1, 2, 2), False),
        ((1, 4, 32, 32, 32), (2, 3, 3, 32, 32), (1, 1, 1), False),
        ((1, 4, 32, 32, 32), (3, 3, 5, 32, 32), (1, 1, 1), False),
    ],
)
def test_only_large_volumes_of_many_channels_are_cut_into_tiles(monkeypatch, shape, kernel, strides, used):
    def refuse(inputs, kernel):
        raise AssertionError("tiles")

    monkeypatch.setattr("jaxret.models.layers.dispatch.volume_convolution", refuse)
    arrays = jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct(kernel, jnp.float32)
    if used:
        with pytest.raises(AssertionError, match="tiles"):
            jax.eval_shape(lambda x, k: convolve(x, k, strides=strides), *arrays)
    else:
        jax.eval_shape(lambda x, k: convolve(x, k, strides=strides), *arrays)
