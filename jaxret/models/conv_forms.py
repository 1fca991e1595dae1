"""Convolutions as pure functions, each in the form that is fast where it runs.

XLA's CPU backend computes depthwise convolutions and their gradients several times slower than the same
arithmetic written as shifted multiply-adds; on GPU and TPU the library convolutions are the fast ones. `convolve` and `depthwise_convolve` choose when they
are lowered for a platform, so that a model need not know where it runs. All forms compute the same sums and
differ by rounding only.

Arrays are channels-last: inputs (B, *spatial, C), kernels (*window, C_in, C_out), with any number of
spatial axes. Like every deep-learning library, these "convolutions" do not flip the kernel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["Padding", "convolve", "depthwise_convolve", "output_padding"]

Padding = Literal["SAME", "VALID"] | Sequence[tuple[int, int]]


def output_padding(
    padding: Padding, spatial: Sequence[int], window: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Zeros to add before and after each spatial axis, as pairs.

    "SAME" gives ceil(size / stride) outputs, with the odd zero of a stride after the picture, as TensorFlow
    and Keras do; "VALID" gives no zeros; explicit pairs are passed through.

    Example:
      >>> output_padding("SAME", (224, 224), (3, 3), (2, 2))
      ((0, 1), (0, 1))
    """
    if isinstance(padding, str):
        return tuple(tuple(pair) for pair in lax.padtype_to_pads(spatial, window, strides, padding))
    return tuple((int(before), int(after)) for before, after in padding)


def convolve(
    inputs: jax.Array, kernel: jax.Array, *, strides: Sequence[int], padding: Padding = "SAME"
) -> jax.Array:
    """A dense convolution: (B, *spatial, C_in) by (*window, C_in, C_out) gives (B, *spatial', C_out).

    Example:
      >>> import jax.numpy as jnp
      >>> convolve(jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 8)), strides=(2, 2)).shape
      (1, 2, 2, 8)
    """
    window = kernel.shape[:-2]
    pads = output_padding(padding, inputs.shape[1:-1], window, strides)
    if math.prod(window) == 1 and all(step == 1 for step in strides) and not any(map(sum, pads)):
        return jnp.tensordot(inputs, kernel.reshape(kernel.shape[-2:]), axes=1)
    return _library_convolution(inputs, kernel, strides, pads, groups=1)


def depthwise_convolve(
    inputs: jax.Array, kernel: jax.Array, *, strides: Sequence[int], padding: Padding = "SAME"
) -> jax.Array:
    """Every channel convolved with its own window: (B, *spatial, C) by (*window, C) gives (B, *spatial', C).

    Example:
      >>> import jax.numpy as jnp
      >>> depthwise_convolve(jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3)), strides=(1, 1))[0, 1, 1]
      Array([9., 9., 9.], dtype=float32)
    """
    pads = output_padding(padding, inputs.shape[1:-1], kernel.shape[:-1], strides)
    return lax.platform_dependent(
        inputs,
        kernel,
        cpu=lambda x, k: _shifted_convolution(x, k, strides, pads),
        default=lambda x, k: _library_convolution(x, k[..., None, :], strides, pads, groups=x.shape[-1]),
    )


def _library_convolution(
    inputs: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    groups: int,
) -> jax.Array:
    """XLA's own convolution."""
    axes = "DHW"[-(inputs.ndim - 2) :]
    layout = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    return lax.conv_general_dilated(
        inputs, kernel, strides, pads, dimension_numbers=layout, feature_group_count=groups
    )


def _shifted_convolution(
    inputs: jax.Array, kernel: jax.Array, strides: Sequence[int], pads: Sequence[tuple[int, int]]
) -> jax.Array:
    """One multiply-add a window position, each over a whole shifted picture."""
    window = kernel.shape[:-1]
    views = _shifted_views(inputs, window, strides, pads)
    taps = [kernel[place] for place in itertools.product(*map(range, window))]  # each (C,)
    total = views[0] * taps[0]
    for view, tap in zip(views[1:], taps[1:], strict=True):
        total = total + view * tap
    return total


def _shifted_views(
    inputs: jax.Array, window: Sequence[int], strides: Sequence[int], pads: Sequence[tuple[int, int]]
) -> list[jax.Array]:
    """For each place in the window, row by row, what it sees at every output: (B, *spatial', C)."""
    padded = jnp.pad(inputs, ((0, 0), *pads, (0, 0)))
    outputs = [
        (size - width) // step + 1
        for size, width, step in zip(padded.shape[1:-1], window, strides, strict=True)
    ]
    views = []
    for place in itertools.product(*map(range, window)):
        slices = (
            slice(start, start + (count - 1) * step + 1, step)
            for start, count, step in zip(place, outputs, strides, strict=True)
        )
        views.append(padded[(slice(None), *slices)])
    return views
