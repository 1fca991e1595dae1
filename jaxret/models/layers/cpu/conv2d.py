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
    _, pull_back = jax.vjp(lambda x: convolution(x, kernel, strides, pads), inputs)
    return pull_back(gradient)[0], _gradient_of_kernel(inputs, kernel, gradient, strides, pads)


narrow_convolution.defvjp(_forward, _backward)


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
