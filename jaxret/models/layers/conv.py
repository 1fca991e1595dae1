"""The building blocks of the backbones: convolution with batch norm, or with a bias, and activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jaxret.models.layers.cpu.batch_norm import normalised_by_batch
from jaxret.models.layers.dispatch import Padding, convolve, depthwise_convolve, runs_on_cpu
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import Initialiser, he_normal
from jaxret.models.layers.padded import Inside

__all__ = ["Activation", "ConvBatchNorm", "ConvBias"]

Activation = Literal["relu", "relu6", "linear"]

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": lambda x: jnp.maximum(x, 0),
    "relu6": lambda x: jnp.clip(x, 0, 6),
    "linear": lambda x: x,
}


class ConvBatchNorm(nnx.Module):
    """Convolution without bias, batch norm, activation, over any number of spatial axes.

    In evaluation mode the batch norm is one multiply-add a channel, which XLA joins with the activation; in
    training mode it uses and updates batch statistics (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Args:
      in_channels, out_channels: equal for a depthwise convolution.
      window: size of the kernel along each spatial axis; its length is the number of spatial axes.
      strides: one for each spatial axis.
      padding: "SAME" (the odd zero after the image), "VALID", or pairs of zeros before and after.
      depthwise: convolve every channel with its own window.
      activation: "relu", "relu6" or "linear".
      epsilon: added to the variance.
      momentum: share of the old running statistics that an update keeps.
      dtype: compute dtype; parameters and statistics are float32.

    Attributes:
      kernel: (*window, C_in, C_out), or (*window, C) if depthwise.
      norm: scale, bias, mean and var, each (C_out,).
      keeps_statistics: in training mode, too, the running statistics are used, and stay as they are; the scale, the
        bias and the kernel learn. False after creation.

    Raises:
      ValueError: a depthwise convolution is to change the number of channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        window: Sequence[int],
        strides: Sequence[int] | None = None,
        padding: Padding = "SAME",
        depthwise: bool = False,
        activation: Activation = "relu",
        epsilon: float = 1e-3,
        momentum: float = 0.99,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if depthwise and in_channels != out_channels:
            raise ValueError(f"a depthwise convolution keeps {in_channels} channels, got {out_channels}")
        shape = (*window, out_channels) if depthwise else (*window, in_channels, out_channels)
        self.kernel = nnx.Param(he_normal(rngs.params(), shape))
        self.norm = nnx.BatchNorm(out_channels, use_running_average=True, epsilon=epsilon, momentum=momentum, rngs=rngs)
        self.strides = tuple(strides) if strides is not None else (1,) * len(window)
        # NNX keeps settings in a hashable structure, hence tuples.
        self.padding: Padding = padding if isinstance(padding, str) else tuple((a, b) for a, b in padding)
        self.depthwise = depthwise
        self.activation = activation
        self.dtype = jnp.dtype(dtype)
        self.keeps_statistics = False

    def __call__(self, inputs: jax.Array, inside: Inside | None = None) -> jax.Array:
        """(B, *spatial, C_in) to (B, *spatial', C_out), in the compute dtype; `inside`: of padded images."""
        kernel = self.kernel[...].astype(self.dtype)
        strides, padding = self.strides, self.padding
        if self.depthwise:
            inputs = inputs.astype(self.dtype)
            outputs = depthwise_convolve(inputs, kernel, strides=strides, padding=padding, inside=inside)
        else:
            if inside is not None and max(kernel.shape[: len(strides)]) > 1:
                inputs = inside(inputs)
            outputs = convolve(inputs.astype(self.dtype), kernel, strides=strides, padding=padding)
        if not self.training:
            scale, shift = self.scale_and_shift()
            scale, shift = (per_channel(values.astype(self.dtype), outputs) for values in (scale, shift))
            outputs = outputs * scale + shift
        else:
            outputs = batch_norm(self.norm, outputs.astype(jnp.float32)).astype(self.dtype)
        return _ACTIVATIONS[self.activation](outputs)

    @property
    def training(self) -> bool:
        """Whether the batch norm uses batch statistics."""
        return not (self.keeps_statistics or self.norm.use_running_average)

    def scale_and_shift(self) -> tuple[jax.Array, jax.Array]:
        """The batch norm of evaluation mode as `scale * x + shift`, each (C_out,) float32."""
        norm = self.norm
        assert norm.scale is not None
        assert norm.bias is not None
        scale = norm.scale[...] * jax.lax.rsqrt(norm.var[...] + norm.epsilon)
        return scale, norm.bias[...] - norm.mean[...] * scale


def batch_norm(norm: nnx.BatchNorm, maps: jax.Array) -> jax.Array:
    """`norm(maps)` in training mode, (..., C) float32 to the same; it updates the running statistics.

    On a CPU without forward-mode derivatives, as depthwise and pointwise convolutions are.
    """
    if not runs_on_cpu():
        return norm(maps)
    assert norm.scale is not None
    assert norm.bias is not None
    outputs, mean, variance = normalised_by_batch(maps, norm.scale[...], norm.bias[...], norm.epsilon)
    norm.mean[...] = norm.momentum * norm.mean[...] + (1 - norm.momentum) * mean
    norm.var[...] = norm.momentum * norm.var[...] + (1 - norm.momentum) * variance
    return outputs


class ConvBias(nnx.Module):
    """Convolution of stride 1 with "SAME" padding, bias, activation, over any number of spatial axes.

    Args:
      in_channels, out_channels: of the maps.
      window: size of the kernel along each spatial axis.
      activation: "relu", "relu6" or "linear".
      kernel_init: makes the initial kernel, see `jaxret.models.layers.init`.
      dtype: compute dtype; parameters are float32.

    Attributes:
      kernel: (*window, C_in, C_out); bias: (C_out,).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        window: Sequence[int],
        activation: Activation = "relu",
        kernel_init: Initialiser = he_normal,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (*window, in_channels, out_channels)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(out_channels, jnp.float32))
        self.activation = activation
        self.dtype = jnp.dtype(dtype)

    def __call__(self, inputs: jax.Array, inside: Inside | None = None) -> jax.Array:
        """(B, *spatial, C_in) to (B, *spatial, C_out), in the compute dtype; `inside`: of padded images."""
        if inside is not None:
            inputs = inside(inputs)
        kernel = self.kernel[...].astype(self.dtype)
        outputs = convolve(inputs.astype(self.dtype), kernel, strides=(1,) * (kernel.ndim - 2))
        return _ACTIVATIONS[self.activation](outputs + per_channel(self.bias[...].astype(self.dtype), outputs))
