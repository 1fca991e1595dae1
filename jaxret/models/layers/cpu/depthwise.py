"""Depthwise convolution and its gradient as multiply-adds of shifted images: the fast form on a CPU.

XLA's own depthwise convolution takes some twenty times as long there, and what automatic differentiation makes
of this form some five times as long as the gradients written here.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.layers.cpu.conv3d import seen_by
from jaxret.models.layers.feature_map import per_channel

__all__ = ["padded_for_shifts", "shifted_convolution"]

Strides = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]

_BYTES_OF_KERNEL = 24 * 2**10  # of a block of channels; measured where the first cache has 48 KiB
_VECTOR = 16  # numbers of float32 in 512 bits


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def shifted_convolution(inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads) -> jax.Array:
    """Every channel convolved with its own window; reverse-mode differentiable.

    Args:
      inputs: (B, *spatial, C), any number of spatial axes.
      kernel: (*window, C).
      strides: one for each spatial axis.
      pads: zeros before and after each spatial axis.

    Returns:
      (B, *spatial', C).

    Example:
      >>> shifted_convolution(jnp.ones((1, 3, 1)), jnp.ones((3, 1)), (1,), ((1, 1),))[0, :, 0]
      Array([2., 3., 2.], dtype=float32)
    """
    blocks = [_of_block(inputs[..., part], kernel[..., part], strides, pads) for part in _blocks(kernel)]
    return blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks, axis=-1)


def _blocks(kernel: jax.Array) -> list[slice]:
    """Channels whose kernels the first cache holds beside what they see: as even as whole vectors allow.

    XLA goes through all channels of a place before the next, and so through the whole kernel at every place.
    """
    channels, count = kernel.shape[-1], -(-kernel.size * kernel.dtype.itemsize // _BYTES_OF_KERNEL)
    if count <= 1:
        return [slice(0, channels)]
    size = -(-channels // count // _VECTOR) * _VECTOR
    return [slice(start, min(start + size, channels)) for start in range(0, channels, size)]


def _of_block(inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads) -> jax.Array:
    padded = padded_for_shifts(inputs, pads)
    outputs = _output_sizes(padded.shape[1:-1], kernel.shape[:-1], strides)
    total: jax.Array | None = None
    for place in _places(kernel):
        seen = (seen_by(start, count, step) for start, count, step in zip(place, outputs, strides, strict=True))
        view = padded[(slice(None), *seen)]
        term = view * per_channel(kernel[place], view)
        total = term if total is None else total + term
    assert total is not None
    return total


def _forward(
    inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return shifted_convolution(inputs, kernel, strides, pads), (inputs, kernel)


def _backward(
    strides: Strides, pads: Pads, saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = saved
    if not gradient.size:  # of images smaller than the window, or of none
        return jnp.zeros_like(inputs), jnp.zeros_like(kernel)
    return (
        _gradient_of_inputs(inputs.shape, kernel, gradient, strides, pads),
        _gradient_of_kernel(inputs, kernel, gradient, strides, pads),
    )


shifted_convolution.defvjp(_forward, _backward)


def _gradient_of_inputs(
    shape: tuple[int, ...], kernel: jax.Array, gradient: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """The gradient, spread out by the strides, convolved with the flipped kernel."""
    spread = []
    for size, count, width, step, (before, _) in zip(
        shape[1:-1], gradient.shape[1:-1], kernel.shape[:-1], strides, pads, strict=True
    ):
        start = width - 1 - before
        spread.append((start, size + width - 1 - start - ((count - 1) * step + 1), step - 1))
    zero = jnp.zeros((), gradient.dtype)
    padded = lax.pad(gradient, zero, [(0, 0, 0), *spread, (0, 0, 0)])
    spatial = len(strides)
    flipped = jnp.flip(kernel, axis=tuple(range(spatial)))
    return shifted_convolution(padded, flipped, (1,) * spatial, ((0, 0),) * spatial)


def _gradient_of_kernel(
    inputs: jax.Array, kernel: jax.Array, gradient: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """For each place of the window, the sum of what it saw times the gradient, output row by output row.

    Sums of whole rows run along the arrays; XLA would walk through them once a channel.
    """
    padded = padded_for_shifts(inputs, pads)
    rows, *columns = gradient.shape[1:-1]
    places = list(_places(kernel))

    def add_row(sums: list[jax.Array], row: jax.Array) -> tuple[list[jax.Array], None]:
        upstream = lax.dynamic_index_in_dim(gradient, row, axis=1, keepdims=False).astype(jnp.float32)
        new_sums = []
        for (first, *others), total in zip(places, sums, strict=True):
            line = lax.dynamic_index_in_dim(padded, row * strides[0] + first, axis=1, keepdims=False)
            seen = (
                seen_by(start, count, step) for start, count, step in zip(others, columns, strides[1:], strict=True)
            )
            new_sums.append(total + line[(slice(None), *seen)].astype(jnp.float32) * upstream)
        return new_sums, None

    nothing = jnp.zeros((gradient.shape[0], *columns, gradient.shape[-1]), jnp.float32)
    sums, _ = lax.scan(add_row, [nothing] * len(places), jnp.arange(rows))
    whole = jnp.stack([jnp.sum(total, axis=tuple(range(total.ndim - 1))) for total in sums])
    return whole.reshape(kernel.shape).astype(kernel.dtype)


def padded_for_shifts(inputs: jax.Array, pads: Pads) -> jax.Array:
    """Inputs (B, *spatial, C) with their zeros around, as an array of their own."""
    # The barrier keeps XLA from computing the centre tap from the image before padding: two reads for one.
    return lax.optimization_barrier(jnp.pad(inputs, ((0, 0), *pads, (0, 0))))


def _places(kernel: jax.Array) -> Iterator[tuple[int, ...]]:
    """The places of the window, row by row."""
    return itertools.product(*map(range, kernel.shape[:-1]))


def _output_sizes(padded: tuple[int, ...], window: tuple[int, ...], strides: Strides) -> list[int]:
    return [max(0, (size - width) // step + 1) for size, width, step in zip(padded, window, strides, strict=True)]
