"""The smallest of many keys, and the smallest of two rankings, on a device."""

from __future__ import annotations

import jax
import jax.numpy as jnp

NO_ID = 2**31 - 1
"""Stands where there are fewer results than places."""


def smallest(keys: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
    """The smallest keys of each row, and where they stand.

    A sort of all keys, which is what XLA makes of `top_k`, would take far longer than computing them. So the keys are
    cut into groups, the groups with the smallest least keys chosen, and only these looked at: each of the `width`
    smallest keys lies in one of the `width` first groups. All of it is exact.

    Args:
        keys: float32 (Q, C), or int32 (Q, C) from 0 to 2^31 / C - 2.
        width: in [1, C].

    Returns:
        keys (Q, width), ascending, and their places, int32; equal whole numbers in the order of their places, equal
            floats in any.
    """
    count = keys.shape[1]
    if keys.dtype == jnp.int32:  # made different, so that no sort has to be stable
        best, _ = _smallest(keys * jnp.int32(count) + jnp.arange(count, dtype=jnp.int32)[None], width)
        return best // jnp.int32(count), best % jnp.int32(count)
    return _smallest(keys, width)


def _smallest(keys: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
    rows, count = keys.shape
    size = 1 << max(0, (count // width).bit_length() // 2)  # some count / size groups and width * size of their keys
    groups = -(-count // size)
    if size == 1 or groups <= width:
        return _first(keys, width)
    largest = jnp.inf if keys.dtype == jnp.float32 else jnp.iinfo(keys.dtype).max
    grouped = jnp.pad(keys, ((0, 0), (0, groups * size - count)), constant_values=largest).reshape(rows, groups, size)
    _, chosen = _first(grouped.min(axis=2), width)  # (Q, width)
    members = jnp.take_along_axis(grouped, chosen[:, :, None], axis=1).reshape(rows, width * size)
    best, at = _first(members, width)
    group = jnp.take_along_axis(chosen, at // jnp.int32(size), axis=1)
    return best, group * jnp.int32(size) + at % jnp.int32(size)


def _first(keys: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
    largest, places = jax.lax.top_k(-keys, width)
    return -largest, places


def merged(keys: jax.Array, ids: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
    """The first `width` of results (Q, M) by (key, id)."""
    keys, ids = jax.lax.sort((keys, ids), dimension=1, num_keys=2)
    return keys[:, :width], ids[:, :width]
