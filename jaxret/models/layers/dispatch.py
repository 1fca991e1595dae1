"""Convolutions as pure functions, each in the form that is fast where it runs.

XLA's CPU backend computes depthwise convolutions, strided convolutions of few channels, and convolutions over
three axes, several times slower than the same arithmetic written in another way; on GPU and TPU the library
convolutions are the fast ones. The choice is made when a function is traced, from JAX's default backend, so that
a model need not know where it runs. All forms compute the same sums and differ by rounding only, minimal filtering
(`jaxret.models.layers.cpu.winograd`) by some ten times as much as the others.

Arrays are channels-last: inputs (B, *spatial, C), kernels (*window, C_in, C_out), with any number of
spatial axes. Like every deep-learning library, these "convolutions" do not flip the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.layers.cpu.conv2d import narrow_convolution
from jaxret.models.layers.cpu.conv3d import largest_divisor, offset_convolution, sum_over_offsets
from jaxret.models.layers.cpu.depthwise import padded_for_shifts, shifted_convolution
from jaxret.models.layers.cpu.pointwise import pointwise_convolution
from jaxret.models.layers.cpu.winograd import volume_convolution, worth_tiles
from jaxret.models.layers.padded import Inside

__all__ = ["Padding", "convolve", "depthwise_convolve", "map_groups", "output_padding", "runs_on_cpu"]

_T = TypeVar("_T")
_In = TypeVar("_In")

Padding = Literal["SAME", "VALID"] | Sequence[tuple[int, int]]

# Channels of images at most, and of maps whose kernels have a gradient of their own; measured.
_COLOURS, _NARROW = 4, 32


def output_padding(
    padding: Padding, spatial: Sequence[int], window: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Zeros to add before and after each spatial axis, as pairs.

    "SAME" gives ceil(size / stride) outputs, with the odd zero of a stride after the image, as TensorFlow
    and Keras do; "VALID" gives no zeros; explicit pairs are passed through.

    Example:
      >>> output_padding("SAME", (224, 224), (3, 3), (2, 2))
      ((0, 1), (0, 1))
    """
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(spatial, window, strides, padding)
    return tuple((int(before), int(after)) for before, after in padding)


def runs_on_cpu() -> bool:
    """Whether functions traced now will run on the CPU, as far as the default backend tells."""
    return jax.default_backend() == "cpu"


def convolve(inputs: jax.Array, kernel: jax.Array, *, strides: Sequence[int], padding: Padding = "SAME") -> jax.Array:
    """A dense convolution: (B, *spatial, C_in) by (*window, C_in, C_out) gives (B, *spatial', C_out).

    Example:
      >>> import jax.numpy as jnp
      >>> convolve(jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 8)), strides=(2, 2)).shape
      (1, 2, 2, 8)
    """
    window = kernel.shape[:-2]
    pads = output_padding(padding, inputs.shape[1:-1], window, strides)
    if math.prod(window) == 1 and all(step == 1 for step in strides) and not any(map(sum, pads)):
        kernel = kernel.reshape(kernel.shape[-2:])
        return pointwise_convolution(inputs, kernel) if runs_on_cpu() else jnp.tensordot(inputs, kernel, axes=1)
    return _dense_convolution(inputs, kernel, tuple(strides), pads)


def depthwise_convolve(
    inputs: jax.Array,
    kernel: jax.Array,
    *,
    strides: Sequence[int],
    padding: Padding = "SAME",
    inside: Inside | None = None,
) -> jax.Array:
    """Every channel convolved with its own window: (B, *spatial, C) by (*window, C) gives (B, *spatial', C).

    Args:
      inputs, kernel, strides, padding: of the convolution.
      inside: of images of several sizes; each is convolved as if it were alone.

    Example:
      >>> import jax.numpy as jnp
      >>> depthwise_convolve(jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3)), strides=(1, 1))[0, 1, 1]
      Array([9., 9., 9.], dtype=float32)
    """
    pads = output_padding(padding, inputs.shape[1:-1], kernel.shape[:-1], strides)
    if runs_on_cpu():
        if inside is not None:
            inputs = inside.fringed(padded_for_shifts(inputs, pads), pads)
            pads = ((0, 0),) * len(pads)
        return shifted_convolution(inputs, kernel, tuple(strides), pads)
    if inside is not None:
        inputs = inside(inputs)
    return _library_convolution(inputs, kernel[..., None, :], strides, pads, groups=inputs.shape[-1])


def map_groups(function: Callable[[_In], _T], inputs: _In, size: int) -> _T:
    """`function(inputs)`, on the CPU over groups of rows one after another, so that maps stay in cache.

    Args:
      function: takes arrays (b, ...) and returns arrays (b, ...), both in any pytree, each row on its own.
      inputs: (B, ...), or a pytree of such arrays.
      size: rows of a group; the largest divisor of B up to this is taken.

    Example:
      >>> import jax.numpy as jnp
      >>> map_groups(lambda x: {"double": 2 * x}, jnp.arange(6), size=4)
      {'double': Array([ 0,  2,  4,  6,  8, 10], dtype=int32)}
    """
    rows = jax.tree.leaves(inputs)[0].shape[0]
    group = largest_divisor(rows, size)
    if not runs_on_cpu() or group >= rows:
        return function(inputs)
    grouped = jax.tree.map(lambda array: array.reshape(rows // group, group, *array.shape[1:]), inputs)
    outputs = lax.map(function, grouped)
    return jax.tree.map(lambda array: array.reshape(rows, *array.shape[2:]), outputs)


def _dense_convolution(
    inputs: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: tuple[tuple[int, int], ...]
) -> jax.Array:
    """The form that is fast where this runs; XLA offers none over more than three axes."""
    if runs_on_cpu() and len(strides) == 3 and worth_tiles(inputs, kernel, strides, pads):
        return volume_convolution(inputs, kernel)
    if runs_on_cpu() and len(strides) > 2:
        return offset_convolution(_dense_convolution, inputs, kernel, strides, pads)
    if len(strides) > 3:
        return sum_over_offsets(_dense_convolution, inputs, kernel, strides, pads)
    channels = inputs.shape[-1]
    if runs_on_cpu() and channels <= _COLOURS and strides[-1] == 2 and inputs.shape[-2] % 2 == 0:
        return _paired_columns_convolution(inputs, kernel, strides, pads)
    if runs_on_cpu() and _COLOURS < channels <= _NARROW:
        return narrow_convolution(_library_convolution, inputs, kernel, strides, pads)
    return _library_convolution(inputs, kernel, strides, pads)


def _library_convolution(
    inputs: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    groups: int = 1,
) -> jax.Array:
    """XLA's own convolution."""
    axes = "DHW"[-(inputs.ndim - 2) :]
    layout = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    return lax.conv_general_dilated(inputs, kernel, strides, pads, dimension_numbers=layout, feature_group_count=groups)


def _paired_columns_convolution(
    inputs: jax.Array, kernel: jax.Array, strides: Sequence[int], pads: Sequence[tuple[int, int]]
) -> jax.Array:
    """A convolution of stride 2 across as one of stride 1 over pairs of columns, which are only a reshape.

    The kernel gets columns of zeros, so that it too consists of pairs, starting at an even column.
    """
    *shape, width, channels = inputs.shape
    *window, wide, _, out_channels = kernel.shape
    before, after = pads[-1]
    outputs = (width + before + after - wide) // 2 + 1
    odd_start = before % 2
    kernel = jnp.pad(kernel, [*[(0, 0)] * len(window), (odd_start, (wide + odd_start) % 2), (0, 0), (0, 0)])
    pairs = kernel.shape[-3] // 2
    pairs_before = (before + odd_start) // 2
    pairs_after = outputs + pairs - 1 - width // 2 - pairs_before
    return narrow_convolution(
        _library_convolution,
        inputs.reshape(*shape, width // 2, 2 * channels),
        kernel.reshape(*window, pairs, 2 * channels, out_channels),
        (*strides[:-1], 1),
        (*pads[:-1], (pairs_before, pairs_after)),
    )
