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

__all__ = ["offset_convolution", "sum_over_offsets"]

Strides = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Convolution = Callable[[jax.Array, jax.Array, Strides, Pads], jax.Array]

# Up to so many channels, the frames that a kernel spans are joined into one with as many channels each: a single
# convolution is then worth the copy. Measured; at 64 channels the sum is faster.
_CHANNELS_TO_JOIN = 32
# Bytes of the matrix of windows that the kernel's gradient multiplies at a time.
_BYTES_OF_WINDOWS = 2**25


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3, 4))
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
        return _convolution_of_joined_frames(convolution, inputs, kernel, strides, pads)
    return sum_over_offsets(convolution, inputs, kernel, strides, pads)


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


def _convolution_of_joined_frames(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """One convolution of frames whose channels are those of all frames that an output sees."""
    wide, *window, channels, out_channels = kernel.shape
    padded = _pad_frames(inputs, pads[0])
    outputs = _outputs(inputs.shape[1], wide, strides[0], pads[0])
    joined = jnp.concatenate([padded[:, _seen(a, outputs, strides[0])] for a in range(wide)], axis=-1)
    joined_kernel = jnp.moveaxis(kernel, 0, -3).reshape(*window, wide * channels, out_channels)
    return _frame_by_frame(convolution, joined, joined_kernel, strides[1:], pads[1:])


def _forward(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return offset_convolution(convolution, inputs, kernel, strides, pads), (inputs, kernel)


def _backward(
    convolution: Convolution,
    strides: Strides,
    pads: Pads,
    saved: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = saved
    _, pull_back = jax.vjp(lambda x: sum_over_offsets(convolution, x, kernel, strides, pads), inputs)
    return pull_back(gradient)[0], _gradient_of_kernel(inputs, kernel, gradient, strides, pads)


offset_convolution.defvjp(_forward, _backward)


def _gradient_of_kernel(
    inputs: jax.Array, kernel: jax.Array, gradient: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """The windows that the outputs saw, a row each, times the outputs' gradients; some frames at a time."""
    window = kernel.shape[:-2]
    padded = jnp.pad(inputs, ((0, 0), *pads, (0, 0)))
    batch, frames, *rest, out_channels = gradient.shape
    bytes_of_frame = math.prod(rest) * math.prod(kernel.shape[:-1]) * inputs.dtype.itemsize
    clips_of_block, frames_of_block = _block(batch, frames, max(1, _BYTES_OF_WINDOWS // max(1, bytes_of_frame)))
    span = (frames_of_block - 1) * strides[0] + window[0]
    counts = (frames_of_block, *rest)

    def add_block(total: jax.Array, block: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        clip, frame = block
        seen = lax.dynamic_slice_in_dim(padded, clip, clips_of_block, axis=0)
        seen = lax.dynamic_slice_in_dim(seen, frame * strides[0], span, axis=1)
        places = itertools.product(*map(range, window))
        windows = [seen[(slice(None), *map(_seen, place, counts, strides))] for place in places]
        rows = jnp.concatenate(windows, axis=-1).reshape(-1, total.shape[0])
        upstream = lax.dynamic_slice_in_dim(gradient, clip, clips_of_block, axis=0)
        upstream = lax.dynamic_slice_in_dim(upstream, frame, frames_of_block, axis=1).reshape(-1, out_channels)
        return total + jnp.matmul(rows.T, upstream, preferred_element_type=jnp.float32), None

    clips, starts = jnp.meshgrid(
        jnp.arange(0, batch, clips_of_block), jnp.arange(0, frames, frames_of_block), indexing="ij"
    )
    nothing = jnp.zeros((math.prod(kernel.shape[:-1]), out_channels), jnp.float32)
    total, _ = lax.scan(add_block, nothing, (clips.ravel(), starts.ravel()))
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _block(clips: int, frames: int, most: int) -> tuple[int, int]:
    """Clips and frames of the largest block up to `most` frames that divides the batch: parts of one clip, or clips.

    Example:
      >>> _block(4, 16, 10), _block(4, 16, 40)
      ((1, 8), (2, 16))
    """
    if most < frames:
        return 1, _largest_divisor(frames, most)
    return _largest_divisor(clips, most // max(1, frames)), frames


def _largest_divisor(number: int, most: int) -> int:
    return max((divisor for divisor in range(1, most + 1) if number % divisor == 0), default=1)


def _frame_by_frame(
    convolution: Convolution, inputs: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads
) -> jax.Array:
    """The convolution over one axis fewer of every frame of (B, T, *spatial, C)."""
    outputs = convolution(inputs.reshape(-1, *inputs.shape[2:]), kernel, strides, pads)
    return outputs.reshape(*inputs.shape[:2], *outputs.shape[1:])


def _pad_frames(inputs: jax.Array, pads: tuple[int, int]) -> jax.Array:
    return jnp.pad(inputs, ((0, 0), pads, *((0, 0),) * (inputs.ndim - 2)))


def _seen(start: int, count: int, step: int) -> slice:
    """What offset `start` of the kernel sees at `count` outputs."""
    return slice(start, start + (count - 1) * step + 1, step)


def _outputs(size: int, wide: int, step: int, pads: tuple[int, int]) -> int:
    return (size + sum(pads) - wide) // step + 1
