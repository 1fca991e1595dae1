"""The blocks of system 2's autoencoders, over two or three spatial axes: R, LRBP, URB and UQB.

Paper: "3D Video Retrieval with ConvLSTM autoencoders and bi-directional DTW", section 3; see
`jaxret.models.conv_lstm_autoencoder`. All take and give sequences of maps (B, T, *spatial, C).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jaxret.models.conv_forms import convolve
from jaxret.models.conv_lstm import BidirectionalConvLSTM, ConvLSTM
from jaxret.models.encoding import check_sizes
from jaxret.models.initialisation import glorot_uniform
from jaxret.models.max_pooling import max_pool

__all__ = [
    "ConvolutionDecoderBlock",
    "EncoderBlock",
    "Pointwise",
    "RecurrentDecoderBlock",
    "ResidualConvLSTM",
    "upsample",
]

_SLOPE = 0.01  # of the leaky rectifier below 0 (Maas et al. 2013)


class Pointwise(nnx.Module):
    """The same dense layer at every place of every map: a convolution of 1 x 1.

    Attributes:
      kernel: (C_in, C); bias: (C,).
    """

    def __init__(self, in_channels: int, channels: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        check_sizes(in_channels=in_channels, channels=channels)
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (in_channels, channels)))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.dtype = jnp.dtype(dtype)

    def __call__(self, maps: jax.Array) -> jax.Array:
        """(..., C_in) to (..., C)."""
        return maps.astype(self.dtype) @ self.kernel[...].astype(self.dtype) + self.bias[...].astype(self.dtype)


class ResidualConvLSTM(nnx.Module):
    """Block R: LeakyReLU(ConvLSTM(x) + x).

    Decision: where the channels change, x passes through a 1 x 1 convolution; the paper does not say.

    Args are those of `ConvLSTM`.

    Example:
      >>> block = ResidualConvLSTM(3, 8, rngs=nnx.Rngs(0))
      >>> block(jnp.ones((1, 2, 4, 4, 3))).shape
      (1, 2, 4, 4, 8)
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        spatial_axes: int = 2,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.recurrent = ConvLSTM(in_channels, channels, spatial_axes=spatial_axes, dtype=dtype, rngs=rngs)
        self.shortcut = None if in_channels == channels else Pointwise(in_channels, channels, dtype=dtype, rngs=rngs)

    def __call__(self, maps: jax.Array) -> jax.Array:
        """(B, T, *spatial, C_in) to (B, T, *spatial, C)."""
        outputs = self.recurrent(maps)
        return nnx.leaky_relu(outputs + (maps if self.shortcut is None else self.shortcut(maps)), _SLOPE)


class EncoderBlock(nnx.Module):
    """Block LRBP: bidirectional ConvLSTM -> block R -> both side by side -> 1 x 1 convolution -> halving pool -> norm.

    Decisions: pooling cannot change the channels, as the paper's 96 to 16 would need, so a 1 x 1 convolution does,
    before the pool; the pool takes maxima; the batch norm's statistics are over batch, time and space.

    Args:
      in_channels, channels: of the inputs and the outputs.
      recurrent_channels: of the bidirectional ConvLSTM (the paper's 64, both directions together).
      residual_channels: of the block R (32).
      spatial_axes: 2 or 3.
      dtype: compute dtype.
      rngs: source of the initial weights.

    Example:
      >>> block = EncoderBlock(3, 4, recurrent_channels=8, residual_channels=4, rngs=nnx.Rngs(0))
      >>> block(jnp.ones((2, 3, 8, 6, 3))).shape
      (2, 3, 4, 3, 4)
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        recurrent_channels: int = 64,
        residual_channels: int = 32,
        spatial_axes: int = 2,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shared: dict[str, Any] = {"spatial_axes": spatial_axes, "dtype": dtype, "rngs": rngs}
        self.recurrent = BidirectionalConvLSTM(in_channels, recurrent_channels, **shared)
        self.residual = ResidualConvLSTM(recurrent_channels, residual_channels, **shared)
        self.narrow = Pointwise(recurrent_channels + residual_channels, channels, dtype=dtype, rngs=rngs)
        self.norm = _batch_norm(channels, rngs)
        self.window = (2,) * spatial_axes

    def __call__(self, maps: jax.Array) -> jax.Array:
        """(B, T, *spatial, C_in) to (B, T, *ceil(spatial / 2), C)."""
        both = self.recurrent(maps)
        narrow = self.narrow(jnp.concatenate([both, self.residual(both)], axis=-1))
        batch, steps = narrow.shape[:2]
        pooled = max_pool(narrow.reshape(batch * steps, *narrow.shape[2:]), self.window)
        return self.norm(pooled.reshape(batch, steps, *pooled.shape[1:]))


class RecurrentDecoderBlock(nnx.Module):
    """Block URB: every place becomes two along each spatial axis -> block R -> batch norm.

    Args:
      in_channels, channels: of the inputs and the outputs (the paper's 32).
      spatial_axes, dtype, rngs: as `EncoderBlock`.

    Example:
      >>> block = RecurrentDecoderBlock(4, 8, rngs=nnx.Rngs(0))
      >>> block(jnp.ones((2, 3, 4, 3, 4))).shape
      (2, 3, 8, 6, 8)
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        spatial_axes: int = 2,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.residual = ResidualConvLSTM(in_channels, channels, spatial_axes=spatial_axes, dtype=dtype, rngs=rngs)
        self.norm = _batch_norm(channels, rngs)

    def __call__(self, maps: jax.Array) -> jax.Array:
        """(B, T, *spatial, C_in) to (B, T, *(2 spatial), C)."""
        return self.norm(self.residual(upsample(maps)))


class ConvolutionDecoderBlock(nnx.Module):
    """Block UQB: as URB, with a quasi-4D convolution in the place of the ConvLSTM.

    Its kernel is 3 in every axis, time among them: over volumes a convolution of four axes, which is a sum over time
    taps of convolutions of three.

    Args are those of `RecurrentDecoderBlock`.

    Attributes:
      kernel: (3, *3s, C_in, C), time first; bias: (C,).

    Example:
      >>> block = ConvolutionDecoderBlock(4, 8, spatial_axes=3, rngs=nnx.Rngs(0))
      >>> block(jnp.ones((1, 3, 2, 2, 2, 4))).shape
      (1, 3, 4, 4, 4, 8)
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        spatial_axes: int = 2,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_sizes(in_channels=in_channels, channels=channels)
        self.dtype = jnp.dtype(dtype)
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (3,) * (spatial_axes + 1) + (in_channels, channels)))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.shortcut = None if in_channels == channels else Pointwise(in_channels, channels, dtype=dtype, rngs=rngs)
        self.norm = _batch_norm(channels, rngs)

    def __call__(self, maps: jax.Array) -> jax.Array:
        """(B, T, *spatial, C_in) to (B, T, *(2 spatial), C)."""
        wide = upsample(maps).astype(self.dtype)
        kernel = self.kernel[...].astype(self.dtype)
        outputs = convolve(wide, kernel, strides=(1,) * (wide.ndim - 2)) + self.bias[...].astype(self.dtype)
        return self.norm(nnx.leaky_relu(outputs + (wide if self.shortcut is None else self.shortcut(wide)), _SLOPE))


def upsample(maps: jax.Array) -> jax.Array:
    """Every place twice along each spatial axis: (B, T, *spatial, C) to (B, T, *(2 spatial), C).

    Example:
      >>> upsample(jnp.arange(2.0).reshape(1, 1, 2, 1))[0, 0, :, 0].tolist()
      [0.0, 0.0, 1.0, 1.0]
    """
    for axis in range(2, maps.ndim - 1):
        maps = jnp.repeat(maps, 2, axis=axis)
    return maps


def _batch_norm(channels: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(channels, use_running_average=True, momentum=0.99, epsilon=1e-3, rngs=rngs)
