"""The gradient of a dense convolution of few channels as matrix products: the fast form on a CPU.

XLA's own gradient of the kernel wants the images of a batch side by side in memory. The copy that it makes computes
once more what came before the convolution, batch norm and rectifier, number by number in an order that misses the
caches: half of the time of a training step of a small network. Here the windows of a few images are the rows of a
matrix.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.layers.cpu.conv3d import largest_divisor, seen_by

__all__ = ["narrow_convolution"]

Strides = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Convolution = Callable[[jax.Array, jax.Array, Strides, Pads], jax.Array]

# Bytes of the matrix of windows that the kernel's gradient multiplies at a time; they stay in the second cache.
_BYTES_OF_WINDOWS = 2**18


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3, 4))
def narrow_convolution(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """A dense convolution with a gradient of its own; reverse-mode differentiable.

    Args:
      convolution: computes it, called with (inputs, kernel, strides, pads).
      inputs: (B, *spatial, C_in).
      kernel: (*window, C_in, C_out).
      strides: one for each spatial axis.
      pads: zeros before and after each spatial axis.

    Returns:
      (B, *spatial', C_out).
    """
    return convolution(inputs, kernel, strides, pads)


def _forward(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolution(inputs, kernel, strides, pads), (inputs, kernel)


def _backward(
    convolution: Convolution, strides: Strides, pads: Pads, saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = saved
    return (
        _gradient_of_inputs(convolution, inputs.shape, kernel, gradient, strides, pads),
        _gradient_of_kernel(inputs, kernel, gradient, strides, pads),
    )


narrow_convolution.defvjp(_forward, _backward)


def _gradient_of_inputs(
    convolution: Convolution,
    shape: tuple[int, ...],
    kernel: jax.Array,
    gradient: jax.Array,
    strides: Strides,
    pads: Pads,
) -> jax.Array:
    """By one convolution of stride 1, whose channels are those of all places between two strides.

    XLA's own convolves the gradient spread out by the strides, and multiplies the zeros in it.
    """
    *window, channels, out_channels = kernel.shape
    sizes, axes = shape[1:-1], len(window)
    taps = [-(-wide // step) for wide, step in zip(window, strides, strict=True)]
    wider = [(0, count * step - wide) for count, step, wide in zip(taps, strides, window, strict=True)]
    apart = [size for pair in zip(taps, strides, strict=True) for size in pair]  # place = tap * stride + phase
    kernel = jnp.pad(kernel, [*wider, (0, 0), (0, 0)]).reshape(*apart, channels, out_channels)
    of_taps, of_phases = range(0, 2 * axes, 2), range(1, 2 * axes, 2)
    kernel = jnp.flip(kernel, tuple(of_taps)).transpose(*of_taps, 2 * axes + 1, *of_phases, 2 * axes)
    # Before the first input lie `skipped` whole strides of padding, and `odd` places.
    skipped = [before // step for (before, _), step in zip(pads, strides, strict=True)]
    odd = [before % step for (before, _), step in zip(pads, strides, strict=True)]
    counts = [-(-(size + more) // step) for size, more, step in zip(sizes, odd, strides, strict=True)]
    around = tuple(
        (tap - 1 - left, left + count - outputs)
        for tap, left, count, outputs in zip(taps, skipped, counts, gradient.shape[1:-1], strict=True)
    )
    phases = convolution(gradient, kernel.reshape(*taps, out_channels, -1), (1,) * axes, around)
    phases = phases.reshape(len(phases), *counts, *strides, channels)
    order = [axis for pair in zip(range(1, axes + 1), range(axes + 1, 2 * axes + 1), strict=True) for axis in pair]
    places = phases.transpose(0, *order, 2 * axes + 1)
    places = places.reshape(len(phases), *(a * b for a, b in zip(counts, strides, strict=True)), channels)
    return places[(slice(None), *(slice(more, more + size) for more, size in zip(odd, sizes, strict=True)))]


def _gradient_of_kernel(
    inputs: jax.Array, kernel: jax.Array, gradient: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    *window, channels, out_channels = kernel.shape
    sizes = gradient.shape[1:-1]
    columns = math.prod(window) * channels

    def of_images(images: jax.Array, upstream: jax.Array) -> jax.Array:
        padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
        seen = []
        for place in itertools.product(*map(range, window)):
            seen.append(padded[(slice(None), *map(seen_by, place, sizes, strides))])
        rows = jnp.concatenate(seen, axis=-1).reshape(-1, columns)
        upstream = upstream.reshape(-1, out_channels)
        return lax.dot_general(rows, upstream, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32)

    bytes_of_image = math.prod(sizes) * columns * inputs.dtype.itemsize
    group = largest_divisor(len(inputs), max(1, _BYTES_OF_WINDOWS // max(1, bytes_of_image)))
    if jax.device_count() > 1:  # each has its share of one group: groups would be gathered
        total = of_images(inputs, gradient)
    else:
        groups = tuple(each.reshape(len(each) // group, group, *each.shape[1:]) for each in (inputs, gradient))
        nothing = jnp.zeros((columns, out_channels), jnp.float32)
        total, _ = lax.scan(lambda sums, now: (sums + of_images(*now), None), nothing, groups)
    return total.reshape(kernel.shape).astype(kernel.dtype)
