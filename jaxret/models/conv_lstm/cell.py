"""Convolutional LSTM over any number of spatial axes (Shi et al. 2015, arXiv:1506.04214).

One class is Keras' ConvLSTM1D, 2D and 3D with stride 1 and "same" padding, which, like most descendants of the paper,
leave its peephole terms out:

    i = sigmoid(W_xi * X + W_hi * H + b_i)        f = sigmoid(W_xf * X + W_hf * H + b_f)
    g = tanh(W_xg * X + W_hg * H + b_g)           o = sigmoid(W_xo * X + W_ho * H + b_o)
    C' = f C + i g                                H' = o tanh(C')

with * a convolution. The four convolutions of a kind are one, with four times the channels, and those of the inputs do
not depend on the state: on a GPU they are done for all time steps at once, before the scan. On a CPU
`jaxret.models.conv_lstm.steps` computes the same.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike

from jaxret.errors import ConfigError
from jaxret.models.base import check_sizes
from jaxret.models.conv_lstm.step_forms import fitting_form
from jaxret.models.conv_lstm.steps import conv_lstm_steps
from jaxret.models.layers.dispatch import convolve, runs_on_cpu
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import glorot_uniform, orthogonal

__all__ = ["BidirectionalConvLSTM", "ConvLSTM"]


class ConvLSTM(nnx.Module):
    """Sequences of maps (B, T, *spatial, C_in) to sequences of maps (B, T, *spatial, C).

    Args:
      in_channels, channels: of the inputs, and of the state and the outputs.
      window: size of both kernels along every spatial axis; odd.
      spatial_axes: 2 for images, 3 for volumes.
      keep_gates: keep the gates of all time steps for the gradient; else they are computed again, which takes less
        memory and more time.
      dtype: compute dtype of the convolutions; the cell state and the parameters are float32.
      rngs: source of the initial weights.

    Attributes:
      kernel: (*window, C_in, 4 C), recurrent_kernel: (*window, C, 4 C), bias: (4 C,); gates in the order i, f, g, o, as
        Keras stores them. The bias of f begins at 1.

    Raises:
      ConfigError: a size is below 1, or the window is even.

    Example:
      >>> layer = ConvLSTM(3, 8, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((2, 5, 16, 12, 3))).shape
      (2, 5, 16, 12, 8)
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        window: int = 3,
        spatial_axes: int = 2,
        keep_gates: bool = True,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_sizes(in_channels=in_channels, channels=channels, window=window, spatial_axes=spatial_axes)
        if window % 2 == 0:
            raise ConfigError(f"window must be odd, got {window}")
        self.in_channels = in_channels
        self.channels = channels
        self.spatial_axes = spatial_axes
        self.keep_gates = keep_gates
        self.dtype = jnp.dtype(dtype)
        spatial = (window,) * spatial_axes
        self.kernel = nnx.Param(glorot_uniform(rngs.params(), (*spatial, in_channels, 4 * channels)))
        self.recurrent_kernel = nnx.Param(orthogonal(rngs.params(), (*spatial, channels, 4 * channels)))
        self.bias = nnx.Param(jnp.repeat(jnp.array([0.0, 1.0, 0.0, 0.0]), channels))

    def __call__(self, inputs: jax.Array, *, reverse: bool = False) -> jax.Array:
        """Outputs H of all time steps, in the order of the inputs and in the compute dtype.

        Args:
          inputs: (B, T, *spatial, C_in).
          reverse: go from the last time step to the first.

        Raises:
          ValueError: the inputs have another number of axes or channels.
        """
        if inputs.ndim != self.spatial_axes + 3 or inputs.shape[-1] != self.in_channels:
            axes = ", ".join(["B", "T", *(f"S{axis + 1}" for axis in range(self.spatial_axes)), str(self.in_channels)])
            raise ValueError(f"inputs must have shape ({axes}), got {inputs.shape}")
        kernel, recurrent, bias = (
            parameter[...].astype(self.dtype) for parameter in (self.kernel, self.recurrent_kernel, self.bias)
        )
        inputs = inputs.astype(self.dtype)
        if not runs_on_cpu():
            return _scan(inputs, kernel, recurrent, bias, reverse=reverse, keep_gates=self.keep_gates)
        both = jnp.concatenate([kernel, recurrent], axis=-2)
        return conv_lstm_steps(fitting_form(inputs, both), reverse, self.keep_gates, inputs, both, bias)


def _scan(
    inputs: jax.Array, kernel: jax.Array, recurrent: jax.Array, bias: jax.Array, *, reverse: bool, keep_gates: bool
) -> jax.Array:
    """The equations as they stand, by the library's convolution; inputs and weights are of one dtype."""
    batch, steps, *spatial, into = inputs.shape
    strides = (1,) * len(spatial)
    projected = convolve(inputs.reshape(batch * steps, *spatial, into), kernel, strides=strides)
    projected = projected + per_channel(bias, projected)
    projected = jnp.swapaxes(projected.reshape(batch, steps, *projected.shape[1:]), 0, 1)

    def step(state: tuple[jax.Array, jax.Array], now: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        hidden, cell = state
        i, f, g, o = jnp.split(now + convolve(hidden, recurrent, strides=strides), 4, axis=-1)
        cell = nnx.sigmoid(f).astype(jnp.float32) * cell + (nnx.sigmoid(i) * jnp.tanh(g)).astype(jnp.float32)
        hidden = nnx.sigmoid(o) * jnp.tanh(cell).astype(inputs.dtype)
        return (hidden, cell), hidden

    shape = (batch, *spatial, recurrent.shape[-2])
    start = jnp.zeros(shape, inputs.dtype), jnp.zeros(shape, jnp.float32)
    _, outputs = lax.scan(step if keep_gates else jax.checkpoint(step), start, projected, reverse=reverse)
    return jnp.swapaxes(outputs, 0, 1)


class BidirectionalConvLSTM(nnx.Module):
    """Two ConvLSTMs, one in each direction of time, their outputs side by side.

    Args:
      in_channels: of the inputs.
      channels: of the outputs, an even number, half of them from each direction.
      settings: those of `ConvLSTM`.

    Raises:
      ConfigError: a size is below 1. ValueError: channels is odd.

    Example:
      >>> layer = BidirectionalConvLSTM(3, 8, spatial_axes=3, rngs=nnx.Rngs(0))
      >>> layer(jnp.ones((1, 2, 6, 6, 4, 3))).shape
      (1, 2, 6, 6, 4, 8)
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        window: int = 3,
        spatial_axes: int = 2,
        keep_gates: bool = True,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if channels % 2:
            raise ValueError(f"channels must be even, half from each direction, got {channels}")
        self.channels = channels
        self.forward, self.backward = (
            ConvLSTM(
                in_channels,
                channels // 2,
                window=window,
                spatial_axes=spatial_axes,
                keep_gates=keep_gates,
                dtype=dtype,
                rngs=rngs,
            )
            for _ in range(2)
        )

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Sequences of maps (B, T, *spatial, C_in) to (B, T, *spatial, C)."""
        return jnp.concatenate([self.forward(inputs), self.backward(inputs, reverse=True)], axis=-1)
