"""The blocks of the ConvLSTM autoencoders against their parts put together by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.models.conv_lstm.blocks import DecoderBlock, EncoderBlock, QuasiConvolution, Residual
from jaxret.models.conv_lstm.cell import ConvLSTM


def maps_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


def leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def set_norm(norm: nnx.BatchNorm) -> None:
    channels = norm.mean[...].shape[0]
    norm.mean[...], norm.var[...] = maps_of(channels), 0.5 + maps_of(channels) ** 2
    norm.scale[...], norm.bias[...] = 1 + maps_of(channels) / 4, maps_of(channels)


def normed(norm: nnx.BatchNorm, x):
    mean, var, scale, bias = (np.asarray(part[...]) for part in (norm.mean, norm.var, norm.scale, norm.bias))
    return (x - mean) / np.sqrt(var + 1e-3) * scale + bias


def test_block_r_adds_its_input_before_the_rectifier():
    same = Residual(ConvLSTM(4, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
    maps = maps_of(2, 3, 5, 6, 4)
    assert same.shortcut is None
    np.testing.assert_allclose(same(maps), leaky(np.asarray(same.layer(maps)) + maps), atol=1e-6)
    other = Residual(ConvLSTM(4, 2, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
    through = np.einsum("...c,cd->...d", maps, other.shortcut.kernel[...])
    np.testing.assert_allclose(other(maps), leaky(np.asarray(other.layer(maps)) + through), atol=1e-5)


@pytest.mark.parametrize("axes", [2, 3])
def test_the_encoder_block_halves_every_spatial_axis_and_not_time(axes):
    block = EncoderBlock(3, 5, recurrent_channels=6, residual_channels=4, spatial_axes=axes, rngs=nnx.Rngs(0))
    set_norm(block.norm)
    maps = maps_of(2, 3, *(8, 6, 4)[:axes], 3)
    both = block.recurrent(maps)
    wide = np.concatenate([both, block.residual(both)], axis=-1)
    assert wide.shape[-1] == 10
    pooled = np.einsum("...c,cd->...d", wide, block.narrow.kernel[...])
    for axis in range(2, 2 + axes):
        pooled = np.maximum(np.take(pooled, range(0, pooled.shape[axis], 2), axis), np.take(
            pooled, range(1, pooled.shape[axis], 2), axis))  # fmt: skip
    np.testing.assert_allclose(block(maps), normed(block.norm, pooled), atol=1e-4)


def test_the_batch_norm_of_training_is_over_batch_time_and_space():
    block = EncoderBlock(3, 5, recurrent_channels=6, residual_channels=4, rngs=nnx.Rngs(0))
    maps = maps_of(2, 3, 8, 6, 3)
    before = np.asarray(block(maps)) * np.sqrt(1 + 1e-3)  # a new norm has mean 0 and variance 1
    block.train()
    every = (0, 1, 2, 3)
    expected = (before - before.mean(axis=every)) / np.sqrt(before.var(axis=every) + 1e-3)
    np.testing.assert_allclose(block(maps), expected, atol=1e-4)


@pytest.mark.parametrize("axes", [2, 3])
def test_the_recurrent_decoder_block_doubles_every_spatial_axis(axes):
    block = DecoderBlock(ConvLSTM(4, 3, spatial_axes=axes, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
    set_norm(block.norm)
    maps = maps_of(1, 2, *(3, 4, 2)[:axes], 4)
    wide = maps
    for axis in range(2, 2 + axes):
        wide = wide.repeat(2, axis=axis)
    np.testing.assert_allclose(block(maps), normed(block.norm, np.asarray(block.residual(wide))), atol=1e-5)


@pytest.mark.parametrize("axes", [2, 3])
def test_the_quasi_4d_convolution_is_a_sum_over_all_offsets_in_time_and_space(axes):
    block = DecoderBlock(QuasiConvolution(2, 2, spatial_axes=axes, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
    maps = maps_of(1, 3, *(2, 3, 2)[:axes], 2)
    wide = maps
    for axis in range(2, 2 + axes):
        wide = wide.repeat(2, axis=axis)
    padded = np.pad(wide, [(0, 0), *[(1, 1)] * (axes + 1), (0, 0)])
    kernel = np.asarray(block.residual.layer.kernel[...])
    expected = np.zeros_like(wide)
    for offset in np.ndindex(*(3,) * (axes + 1)):
        window = tuple(slice(o, o + n) for o, n in zip(offset, wide.shape[1:-1], strict=True))
        expected += np.einsum("...c,cd->...d", padded[(slice(None), *window)], kernel[offset])
    np.testing.assert_allclose(block(maps), leaky(expected + wide) / np.sqrt(1 + 1e-3), atol=1e-4)


@pytest.mark.parametrize("kind", [ConvLSTM, QuasiConvolution])
def test_gradients_reach_every_parameter(kind):
    block = DecoderBlock(kind(3, 2, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
    block.train()
    maps = maps_of(2, 2, 3, 3, 3)
    weights = maps_of(2, 2, 6, 6, 2)
    gradients = nnx.grad(lambda net: (net(maps) * weights).sum())(block)
    assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(gradients))
