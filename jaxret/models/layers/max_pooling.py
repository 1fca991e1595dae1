"""Max pooling over blocks of places, with a gradient that is fast on a CPU."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.layers.dispatch import runs_on_cpu

__all__ = ["max_pool"]


def max_pool(maps: jax.Array, window: Sequence[int]) -> jax.Array:
    """The largest value of every block, channel by channel; blocks do not overlap.

    An axis whose size is no multiple of the window ends in a smaller block, so ceil(size / window) blocks are left
    (Caffe's rule). In the gradient the first of equal values takes all, as in `lax.reduce_window`.

    Args:
      maps: (B, *spatial, C), floating.
      window: size of a block along each spatial axis.

    Returns:
      (B, *spatial', C).

    Example:
      >>> max_pool(jnp.arange(5.0)[None, :, None], (2,))[0, :, 0]
      Array([1., 3., 4.], dtype=float32)
    """
    return (_max_pool if runs_on_cpu() else _library_max_pool)(maps, tuple(window))


def _library_max_pool(maps: jax.Array, window: tuple[int, ...]) -> jax.Array:
    """XLA's own."""
    sizes = (1, *window, 1)
    ends = [(0, -size % wide) for size, wide in zip(maps.shape, sizes, strict=True)]
    return lax.reduce_window(maps, -jnp.inf, lax.max, sizes, sizes, ends)


# XLA's gradient on the CPU takes some five times as long as this one.
@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(maps: jax.Array, window: tuple[int, ...]) -> jax.Array:
    return _library_max_pool(maps, window)


def _forward(maps: jax.Array, window: tuple[int, ...]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    largest = _library_max_pool(maps, window)
    return largest, (maps, largest)


def _backward(window: tuple[int, ...], saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
    """Each block's gradient at the first place that holds its largest value."""
    maps, largest = saved
    ends = [(0, -size % wide, 0) for size, wide in zip(maps.shape[1:-1], window, strict=True)]
    padded = lax.pad(maps, jnp.array(-jnp.inf, maps.dtype), [(0, 0, 0), *ends, (0, 0, 0)])
    untaken = jnp.ones(gradient.shape, bool)
    shares = {}
    for place in itertools.product(*map(range, window)):
        steps = (slice(start, None, wide) for start, wide in zip(place, window, strict=True))
        taken = untaken & (padded[(slice(None), *steps)] == largest)
        untaken &= ~taken
        shares[place] = jnp.where(taken, gradient, 0)
    whole = _interleave(shares, window)
    return (whole[tuple(map(slice, maps.shape))],)


_max_pool.defvjp(_forward, _backward)


def _interleave(parts: dict[tuple[int, ...], jax.Array], window: tuple[int, ...]) -> jax.Array:
    """The array of which `parts[place]` is every window-th entry from that place on, along the spatial axes."""

    def along(axis: int, place: tuple[int, ...]) -> jax.Array:
        if axis == len(window):
            return parts[place]
        stacked = jnp.stack([along(axis + 1, (*place, start)) for start in range(window[axis])], axis + 2)
        return stacked.reshape(*stacked.shape[: axis + 1], -1, *stacked.shape[axis + 3 :])

    return along(0, ())
