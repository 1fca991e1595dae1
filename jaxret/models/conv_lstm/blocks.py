"""The blocks of system 2's autoencoders, over two or three spatial axes: R, LRBP, URB and UQB.

With convolutions in the place of ConvLSTMs they are those of the autoencoder that the paper compares itself with.

Paper: "3D Video Retrieval with ConvLSTM autoencoders and bi-directional DTW", section 3; see
`jaxret.models.conv_lstm.autoencoder`. All take and give sequences of maps (B, T, *spatial, C).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.models.base import check_sizes
from jaxret.models.conv_lstm.cell import BidirectionalConvLSTM, ConvLSTM
from jaxret.models.layers.dispatch import convolve
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.layers.max_pooling import max_pool

__all__ = [
    "DecoderBlock",
    "EncoderBlock",
    "Pointwise",
    "QuasiConvolution",
    "Residual",
    "SequenceLayer",
    "make_layer",
    "upsample",
]

SequenceLayer = Literal["conv-lstm", "convolution", "frame-convolution"]
"""What a block is built from: a `ConvLSTM`, or a convolution over time and space, or over space alone."""

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
        outputs = maps.astype(self.dtype) @ self.kernel[...].astype(self.dtype)
        return outputs + per_channel(self.bias[...].astype(self.dtype), outputs)


class QuasiConvolution(nnx.Module):
    """A convolution over time and space, with bias: the quasi-4D convolution of system 2 where space has three axes.

    Its kernel is 3 in every axis. One of four axes is a sum over time taps of convolutions of three.

    Args:
      in_channels, channels: of the inputs and the outputs.
      spatial_axes: 2 or 3.
      time_window: frames that a place of the output sees, 3 or 1.
      dtype: compute dtype.
      rngs: source of the initial weights.

    Attributes:
      kernel: (time_window, *3s, C_in, C); bias: (C,).

    Example:
      >>> layer = QuasiConvolution(4, 8, spatial_axes=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 3, 4, 4, 4, 4))).shape
      (1, 3, 4, 4, 4, 8)
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        spatial_axes: int = 2,
        time_window: int = 3,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_sizes(in_channels=in_channels, channels=channels)
        self.in_channels, self.channels = in_channels, channels
        self.dtype = jnp.dtype(dtype)
        window = (time_window, *(3,) * spatial_axes)
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (*window, in_channels, channels)))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, maps: jax.Array) -> jax.Array:
        """(B, T, *spatial, C_in) to (B, T, *spatial, C)."""
        kernel = self.kernel[...].astype(self.dtype)
        outputs = convolve(maps.astype(self.dtype), kernel, strides=(1,) * (maps.ndim - 2))
        return outputs + per_channel(self.bias[...].astype(self.dtype), outputs)


class Residual(nnx.Module):
    """LeakyReLU(layer(x) + x): block R where the layer is a ConvLSTM.

    Decision: where the channels change, x passes through a 1 x 1 convolution; the paper does not say.

    Args:
      layer: a `ConvLSTM` or a `QuasiConvolution`.
      rngs: source of the initial weights of the 1 x 1 convolution.

    Example:
      >>> rngs = nnx.Rngs(0)
      >>> Residual(ConvLSTM(3, 8, rngs=rngs), rngs=rngs)(jnp.ones((1, 2, 4, 4, 3))).shape
      (1, 2, 4, 4, 8)
    """

    def __init__(self, layer: ConvLSTM | QuasiConvolution, *, rngs: nnx.Rngs):
        same = layer.in_channels == layer.channels
        self.layer = layer
        self.shortcut = None if same else Pointwise(layer.in_channels, layer.channels, dtype=layer.dtype, rngs=rngs)

    def __call__(self, maps: jax.Array) -> jax.Array:
        """(B, T, *spatial, C_in) to (B, T, *spatial, C)."""
        return nnx.leaky_relu(self.layer(maps) + (maps if self.shortcut is None else self.shortcut(maps)), _SLOPE)


def make_layer(
    kind: SequenceLayer,
    in_channels: int,
    channels: int,
    *,
    spatial_axes: int,
    keep_gates: bool = True,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> ConvLSTM | QuasiConvolution:
    """The layer of that kind, with a window of 3 along every axis that it acts on; `keep_gates` is of ConvLSTMs.

    Raises:
      ConfigError: the kind is unknown, or a size is below 1.

    Example:
      >>> make_layer("convolution", 3, 8, spatial_axes=2, dtype=jnp.float32, rngs=nnx.Rngs(0)).kernel.shape
      (3, 3, 3, 3, 8)
    """
    if kind not in get_args(SequenceLayer):
        raise ConfigError(unknown_name_message("layer", kind, get_args(SequenceLayer)))
    settings: dict[str, Any] = {"spatial_axes": spatial_axes, "dtype": dtype, "rngs": rngs}
    if kind == "conv-lstm":
        return ConvLSTM(in_channels, channels, keep_gates=keep_gates, **settings)
    return QuasiConvolution(in_channels, channels, time_window=3 if kind == "convolution" else 1, **settings)


class EncoderBlock(nnx.Module):
    """Block LRBP: bidirectional ConvLSTM -> block R -> both side by side -> 1 x 1 convolution -> halving pool -> norm.

    Decisions: pooling cannot change the channels, as the paper's 96 to 16 would need, so a 1 x 1 convolution does,
    before the pool; it is max pooling; the batch norm's statistics are over batch, time and space. Where the
    layers are convolutions, one with as many channels and a leaky rectifier stands for the bidirectional ConvLSTM.

    Args:
      in_channels, channels: of the inputs and the outputs.
      recurrent_channels: of the bidirectional ConvLSTM (the paper's 64, both directions together).
      residual_channels: of the block R (32).
      layer: what the block is built from.
      spatial_axes: 2 or 3.
      keep_gates: of its ConvLSTMs.
      dtype: compute dtype.
      rngs: source of the initial weights.

    Example:
      >>> block = EncoderBlock(3, 4, recurrent_channels=8, residual_channels=4, rngs=nnx.Rngs(0))
      >>> jax.eval_shape(block, jnp.ones((2, 3, 8, 6, 3))).shape
      (2, 3, 4, 3, 4)
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        recurrent_channels: int = 64,
        residual_channels: int = 32,
        layer: SequenceLayer = "conv-lstm",
        spatial_axes: int = 2,
        keep_gates: bool = True,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shared: dict[str, Any] = {"spatial_axes": spatial_axes, "dtype": dtype, "rngs": rngs}
        self.recurrent: BidirectionalConvLSTM | ConvLSTM | QuasiConvolution
        if layer == "conv-lstm":
            self.recurrent = BidirectionalConvLSTM(in_channels, recurrent_channels, keep_gates=keep_gates, **shared)
        else:
            self.recurrent = make_layer(layer, in_channels, recurrent_channels, **shared)
        inner = make_layer(layer, recurrent_channels, residual_channels, keep_gates=keep_gates, **shared)
        self.residual = Residual(inner, rngs=rngs)
        self.narrow = Pointwise(recurrent_channels + residual_channels, channels, dtype=dtype, rngs=rngs)
        self.norm = _batch_norm(channels, rngs)
        self.window = (2,) * spatial_axes

    def __call__(self, maps: jax.Array) -> jax.Array:
        """(B, T, *spatial, C_in) to (B, T, *ceil(spatial / 2), C)."""
        both = self.recurrent(maps)
        if isinstance(self.recurrent, QuasiConvolution):
            both = nnx.leaky_relu(both, _SLOPE)
        narrow = self.narrow(jnp.concatenate([both, self.residual(both)], axis=-1))
        batch, steps = narrow.shape[:2]
        pooled = max_pool(narrow.reshape(batch * steps, *narrow.shape[2:]), self.window)
        return self.norm(pooled.reshape(batch, steps, *pooled.shape[1:]).astype(jnp.float32))


class DecoderBlock(nnx.Module):
    """Every place becomes two along each spatial axis -> residual layer -> batch norm.

    Block URB where the layer is a `ConvLSTM` (block R), block UQB where it is a `QuasiConvolution`.

    Args:
      layer: what stands between upsampling and batch norm; its channels are the outputs' (the paper's 32).
      rngs: source of the other initial weights.

    Example:
      >>> rngs = nnx.Rngs(0)
      >>> jax.eval_shape(DecoderBlock(ConvLSTM(4, 8, rngs=rngs), rngs=rngs), jnp.ones((2, 3, 4, 3, 4))).shape
      (2, 3, 8, 6, 8)
    """

    def __init__(self, layer: ConvLSTM | QuasiConvolution, *, rngs: nnx.Rngs):
        self.residual = Residual(layer, rngs=rngs)
        self.norm = _batch_norm(layer.channels, rngs)

    def __call__(self, maps: jax.Array) -> jax.Array:
        """(B, T, *spatial, C_in) to (B, T, *(2 spatial), C)."""
        return self.norm(self.residual(upsample(maps)).astype(jnp.float32))


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
    # A batch's statistics are over all its frames and places, so a few batches tell them well; with 0.99 they lag by so
    # many steps that the first epochs of a small training are evaluated with the initial ones, and it stops early.
    return nnx.BatchNorm(channels, use_running_average=True, momentum=0.9, epsilon=1e-3, rngs=rngs)
