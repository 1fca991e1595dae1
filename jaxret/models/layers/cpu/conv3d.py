"""Dense convolution over three or more axes as a sum of convolutions over one axis fewer: the fast form on a CPU.

y[t] = sum over a of convolution(x[s t + a - before], kernel[a]), where t runs along the first spatial axis and a
over the kernel's offsets there. XLA's two-dimensional convolution runs at the speed of its matrix product; its own
three-dimensional one takes 1.3 to 15 times as long as these sums, most where channels are few, and so do its
gradients.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

__all__ = [
    "block_of_frames",
    "gradient_of_kernel",
    "largest_divisor",
    "offset_convolution",
    "seen_by",
    "sum_over_offsets",
]

Strides = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Convolution = Callable[[jax.Array, jax.Array, Strides, Pads], jax.Array]

# Up to so many channels, the frames that a kernel spans are joined into one with as many channels each: a single
# convolution is then worth the copy. Measured; at 64 channels the sum is faster.
_CHANNELS_TO_JOIN = 32
# Bytes of the matrix of windows that the kernel's gradient multiplies at a time.
_BYTES_OF_WINDOWS = 2**23


def offset_convolution(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """A dense convolution by offsets along its first spatial axis; reverse-mode differentiable.

    Args:
      convolution: the form for one axis fewer, called with (inputs, kernel, strides, pads).
      inputs: (B, *spatial, C_in), at least two spatial axes.
      kernel: (*window, C_in, C_out).
      strides: one for each spatial axis.
      pads: zeros before and after each spatial axis.

    Returns:
      (B, *spatial', C_out).

    Example:
      >>> def matrix_product(inputs, kernel, strides, pads):
      ...     return inputs[:, :1] @ kernel[0]
      >>> outputs = offset_convolution(
      ...     matrix_product, jnp.ones((1, 4, 1, 5)), jnp.ones((3, 1, 5, 2)), (1, 1), ((1, 1), (0, 0))
      ... )
      >>> outputs.shape, outputs[0, :, 0, 0]
      ((1, 4, 1, 2), Array([10., 15., 15., 10.], dtype=float32))
    """
    if inputs.shape[-1] <= _CHANNELS_TO_JOIN:
        inputs, kernel = _join_frames(inputs, kernel, strides[0], pads[0])
        strides, pads = (1, *strides[1:]), ((0, 0), *pads[1:])
    return _sum_with_own_gradient(convolution, inputs, kernel, strides, pads)


def _join_frames(inputs: jax.Array, kernel: jax.Array, step: int, pads: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    """Frames whose channels are those of all frames that an output sees, and the kernel, one frame wide, for them."""
    wide, *window, channels, out_channels = kernel.shape
    padded = jnp.pad(inputs, ((0, 0), pads, *((0, 0),) * (inputs.ndim - 2)))
    outputs = _outputs(inputs.shape[1], wide, step, pads)
    joined = jnp.concatenate([padded[:, seen_by(a, outputs, step)] for a in range(wide)], axis=-1)
    return joined, jnp.moveaxis(kernel, 0, -3).reshape(1, *window, wide * channels, out_channels)


def sum_over_offsets(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """The sum over the kernel's offsets along the first spatial axis; see `offset_convolution`.

    An offset is convolved only with the frames that it meets, not with the zeros around them.
    """
    frames, step = inputs.shape[1], strides[0]
    outputs = _outputs(frames, kernel.shape[0], step, pads[0])
    total: jax.Array | None = None
    for offset, slice_kernel in enumerate(kernel):
        shift = offset - pads[0][0]  # output t sees input step * t + shift
        first = max(0, -(shift // step))
        last = min(outputs - 1, (frames - 1 - shift) // step)
        if first > last:
            continue
        start = step * first + shift
        seen = inputs[:, start : start + step * (last - first) + 1 : step]
        term = _frame_by_frame(convolution, seen, slice_kernel, strides[1:], pads[1:])
        term = jnp.pad(term, ((0, 0), (first, outputs - 1 - last), *((0, 0),) * (term.ndim - 2)))
        total = term if total is None else total + term
    if total is None:  # the kernel sees nothing but padding
        sizes = map(_outputs, inputs.shape[2:-1], kernel.shape[1:-2], strides[1:], pads[1:])
        total = jnp.zeros((inputs.shape[0], outputs, *sizes, kernel.shape[-1]), inputs.dtype)
    return total


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3, 4))
def _sum_with_own_gradient(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    return sum_over_offsets(convolution, inputs, kernel, strides, pads)


def _forward(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _sum_with_own_gradient(convolution, inputs, kernel, strides, pads), (inputs, kernel)


def _backward(
    convolution: Convolution,
    strides: Strides,
    pads: Pads,
    saved: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = saved
    _, pull_back = jax.vjp(lambda x: sum_over_offsets(convolution, x, kernel, strides, pads), inputs)
    return pull_back(gradient)[0], gradient_of_kernel(inputs, kernel, gradient, strides, pads)


_sum_with_own_gradient.defvjp(_forward, _backward)


def gradient_of_kernel(
    inputs: jax.Array, kernel: jax.Array, gradient: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """The gradient of a dense convolution's kernel, for inputs (B, *spatial, C_in) and the gradient of its outputs.

    What the kernel's offsets in a frame (an entry of the first spatial axis) saw, a row each output, times the
    gradients of all outputs that saw it; one matrix product for some frames at a time, so that the rows stay in cache.
    """
    wide, *window, channels, out_channels = kernel.shape
    padded = jnp.pad(inputs, ((0, 0), (0, 0), *pads[1:], (0, 0)))
    upstream = _gradients_by_frame(inputs.shape[1], gradient, wide, strides[0], pads[0])
    batch, frames = inputs.shape[:2]
    sizes = gradient.shape[2:-1]
    columns = math.prod(window) * channels
    bytes_of_frame = math.prod(sizes) * columns * inputs.dtype.itemsize
    clips_of_block, frames_of_block = block_of_frames(
        batch, frames, max(1, _BYTES_OF_WINDOWS // max(1, bytes_of_frame))
    )

    def part(array: jax.Array, clip: jax.Array, frame: jax.Array, count: int) -> jax.Array:
        array = lax.dynamic_slice_in_dim(array, clip, clips_of_block, axis=0)
        return lax.dynamic_slice_in_dim(array, frame, count, axis=1)

    def add_block(total: jax.Array, block: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        seen = part(padded, *block, frames_of_block)
        places = itertools.product(*map(range, window))
        rows = jnp.concatenate(
            [seen[(slice(None), slice(None), *map(seen_by, p, sizes, strides[1:]))] for p in places], -1
        )
        pulled = part(upstream, *block, frames_of_block + wide - 1)
        pulled = jnp.concatenate([pulled[:, wide - 1 - a :][:, :frames_of_block] for a in range(wide)], -1)
        product = jnp.matmul(
            rows.reshape(-1, columns).T,
            pulled.reshape(-1, wide * out_channels),
            preferred_element_type=jnp.float32,
        )
        return total + product, None

    clips, starts = jnp.meshgrid(
        jnp.arange(0, batch, clips_of_block), jnp.arange(0, frames, frames_of_block), indexing="ij"
    )
    nothing = jnp.zeros((columns, wide * out_channels), jnp.float32)
    total, _ = lax.scan(add_block, nothing, (clips.ravel(), starts.ravel()))
    total = total.reshape(*window, channels, wide, out_channels)
    return jnp.moveaxis(total, -2, 0).astype(kernel.dtype)


def _gradients_by_frame(frames: int, gradient: jax.Array, wide: int, step: int, pads: tuple[int, int]) -> jax.Array:
    """Spread out so that entry i + wide - 1 - a is of the output that saw frame i at offset a, or zero."""
    before = wide - 1 - pads[0]
    after = frames + wide - 1 - before - ((gradient.shape[1] - 1) * step + 1)
    spread = [(0, 0, 0), (before, after, step - 1), *[(0, 0, 0)] * (gradient.ndim - 2)]
    return lax.pad(gradient, jnp.zeros((), gradient.dtype), spread)


def block_of_frames(clips: int, frames: int, most: int) -> tuple[int, int]:
    """Clips and frames of the largest block up to `most` frames that divides the batch: parts of one clip, or clips.

    Example:
      >>> block_of_frames(4, 16, 10), block_of_frames(4, 16, 40)
      ((1, 8), (2, 16))
    """
    if most < frames:
        return 1, largest_divisor(frames, most)
    return largest_divisor(clips, most // max(1, frames)), frames


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of a number up to `most`, at least 1.

    Example:
      >>> largest_divisor(192, 10)
      8
    """
    return max((divisor for divisor in range(1, most + 1) if number % divisor == 0), default=1)


def _frame_by_frame(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """The convolution over one axis fewer of every frame of (B, T, *spatial, C)."""
    outputs = convolution(inputs.reshape(-1, *inputs.shape[2:]), kernel, strides, pads)
    return outputs.reshape(*inputs.shape[:2], *outputs.shape[1:])


def seen_by(start: int, count: int, step: int) -> slice:
    """What place `start` of the window sees along an axis at `count` outputs; of none, nothing."""
    return slice(start, max(start, start + (count - 1) * step + 1), step)


def _outputs(size: int, wide: int, step: int, pads: tuple[int, int]) -> int:
    return max(0, (size + sum(pads) - wide) // step + 1)
