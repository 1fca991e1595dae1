"""Convolutional LSTM over any number of spatial axes (Shi et al. 2015, arXiv:1506.04214).

One class is Keras' ConvLSTM1D, 2D and 3D with stride 1 and "same" padding, which, like most descendants of the paper,
leave its peephole terms out:

    i = sigmoid(W_xi * X + W_hi * H + b_i)        f = sigmoid(W_xf * X + W_hf * H + b_f)
    g = tanh(W_xg * X + W_hg * H + b_g)           o = sigmoid(W_xo * X + W_ho * H + b_o)
    C' = f C + i g                                H' = o tanh(C')

with * a convolution. The four convolutions of a kind are one, with four times the channels, and those of the inputs do
not depend on the state: they are done for all time steps at once, before the scan.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike

from jaxret.models.conv_forms import convolve
from jaxret.models.encoding import check_sizes
from jaxret.models.initialisation import glorot_uniform, orthogonal

__all__ = ["BidirectionalConvLSTM", "ConvLSTM"]


class ConvLSTM(nnx.Module):
    """Sequences of maps (B, T, *spatial, C_in) to sequences of maps (B, T, *spatial, C).

    Args:
      in_channels, channels: of the inputs, and of the state and the outputs.
      window: size of both kernels along every spatial axis; odd.
      spatial_axes: 2 for pictures, 3 for volumes.
      dtype: compute dtype of the convolutions; the cell state and the parameters are float32.
      rngs: source of the initial weights.

    Attributes:
      kernel: (*window, C_in, 4 C), recurrent_kernel: (*window, C, 4 C), bias: (4 C,); gates in the order i, f, g, o, as
        Keras stores them. The bias of f begins at 1.

    Raises:
      ConfigError: a size is below 1.

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
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_sizes(in_channels=in_channels, channels=channels, window=window, spatial_axes=spatial_axes)
        self.in_channels = in_channels
        self.channels = channels
        self.spatial_axes = spatial_axes
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
        batch, steps, *spatial, _ = inputs.shape
        strides = (1,) * self.spatial_axes
        kernel = self.kernel[...].astype(self.dtype)
        recurrent = self.recurrent_kernel[...].astype(self.dtype)
        every = inputs.astype(self.dtype).reshape(batch * steps, *spatial, self.in_channels)
        projected = convolve(every, kernel, strides=strides) + self.bias[...].astype(self.dtype)
        projected = jnp.swapaxes(projected.reshape(batch, steps, *spatial, 4 * self.channels), 0, 1)

        def step(state: tuple[jax.Array, jax.Array], now: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            hidden, cell = state
            i, f, g, o = jnp.split(now + convolve(hidden, recurrent, strides=strides), 4, axis=-1)
            cell = nnx.sigmoid(f).astype(jnp.float32) * cell + (nnx.sigmoid(i) * jnp.tanh(g)).astype(jnp.float32)
            hidden = nnx.sigmoid(o) * jnp.tanh(cell).astype(self.dtype)
            return (hidden, cell), hidden

        shape = (batch, *spatial, self.channels)
        start = jnp.zeros(shape, self.dtype), jnp.zeros(shape, jnp.float32)
        _, outputs = lax.scan(step, start, projected, reverse=reverse)
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
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if channels % 2:
            raise ValueError(f"channels must be even, half from each direction, got {channels}")
        self.channels = channels
        self.forward, self.backward = (
            ConvLSTM(in_channels, channels // 2, window=window, spatial_axes=spatial_axes, dtype=dtype, rngs=rngs)
            for _ in range(2)
        )

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Sequences of maps (B, T, *spatial, C_in) to (B, T, *spatial, C)."""
        return jnp.concatenate([self.forward(inputs), self.backward(inputs, reverse=True)], axis=-1)
