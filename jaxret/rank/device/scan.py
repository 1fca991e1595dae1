"""A scan of a gallery that lies on the devices of a mesh: each searches its own rows, chunk by chunk."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxret.rank.device.placement import SHARDS, as_bits
from jaxret.rank.device.selection import NO_ID, merged, smallest

Score = Callable[[Any, Any], jax.Array]
"""(what is known of the queries, of C rows) -> keys (Q, C), float32 or int32, the nearest rows' the smallest."""


@functools.partial(jax.jit, static_argnames=("score", "mesh", "size", "chunk", "width", "with_rows"))
def nearest_rows(
    queries: Any, rows: Any, *, score: Score, mesh: Mesh, size: int, chunk: int, width: int, with_rows: bool = False
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """The `width` rows with the smallest keys, the first by (key, id).

    Args:
        queries: arrays that `score` takes first, on all devices.
        rows: arrays (shards * R, ...) that `score` takes second, those of some rows; the first is the gallery itself.
        score: see `Score`.
        mesh: over whose devices the rows lie.
        size: N, the rows that there are; those behind are padding.
        chunk: rows scored at once, at most R; for whole keys up to K at most 2^31 / (K + 2).
        width: results a query.
        with_rows: whether to fetch the rows that were found, too.

    Returns:
        keys (Q, width), ascending; ids int32 (Q, width), in their order, `NO_ID` where there are fewer; None. With rows
            the ids are ascending themselves, and the third are the rows (Q, width, D) in the order of the ids.
    """
    search = functools.partial(_on_shard, score=score, size=size, chunk=chunk, width=width, with_rows=with_rows)
    sharded = jax.shard_map(search, mesh=mesh, in_specs=(P(), P(SHARDS)), out_specs=P(), check_vma=False)
    return sharded(queries, rows)


def _on_shard(
    queries: Any, rows: Any, *, score: Score, size: int, chunk: int, width: int, with_rows: bool
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    gallery = jax.tree.leaves(rows)[0]
    here = gallery.shape[0]
    first = jax.lax.axis_index(SHARDS) * jnp.int32(here)

    def step(best: tuple[jax.Array, jax.Array], number: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        begin = number * jnp.int32(chunk)
        start = jnp.minimum(begin, jnp.int32(here - chunk))  # the last chunk looks at rows of the one before again
        some = jax.tree.map(lambda array: jax.lax.dynamic_slice_in_dim(array, start, chunk), rows)
        keys = score(queries, some)  # (Q, chunk)
        places = start + jnp.arange(chunk, dtype=jnp.int32)
        new = (places >= begin) & (first + places < size)
        found, at = smallest(jnp.where(new[None], keys, _missing(keys.dtype, chunk)), min(width, chunk))
        ids = jnp.where(found == _missing(keys.dtype, chunk), jnp.int32(NO_ID), first + start + at)
        return merged(jnp.append(best[0], found, axis=1), jnp.append(best[1], ids, axis=1), width), None

    kind = jax.eval_shape(score, queries, jax.tree.map(lambda array: array[:chunk], rows))
    shape = (kind.shape[0], width)
    nothing = jnp.full(shape, _missing(kind.dtype, chunk), kind.dtype), jnp.full(shape, NO_ID, jnp.int32)
    best, _ = jax.lax.scan(step, nothing, jnp.arange(-(-here // chunk), dtype=jnp.int32))
    keys, ids = (jax.lax.all_gather(part, SHARDS, axis=1, tiled=True) for part in best)  # (Q, shards * width)
    keys, ids = merged(keys, ids, width)
    if not with_rows:
        return keys, ids, None
    ids = jnp.sort(ids, axis=1)
    return keys, ids, _rows_of(gallery, ids, first)


def by_chunks(of_row: Callable[[Any], Any], rows: Any, chunk: int) -> Any:
    """What a function gives for each row, of arrays with a leading axis of rows; at most `chunk` of them at once.

    Unlike `jax.lax.map`, it copies no more than a chunk of the rows.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    chunk = min(chunk, count)
    results = jax.tree.map(
        lambda one: jnp.zeros((count, *one.shape), one.dtype),
        jax.eval_shape(of_row, jax.tree.map(lambda array: array[0], rows)),
    )

    def step(number: jax.Array, results: Any) -> Any:
        start = jnp.minimum(number * jnp.int32(chunk), jnp.int32(count - chunk))
        some = jax.tree.map(lambda array: jax.lax.dynamic_slice_in_dim(array, start, chunk), rows)
        return jax.tree.map(
            lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, start, 0),
            results,
            jax.vmap(of_row)(some),
        )

    return jax.lax.fori_loop(0, -(-count // chunk), step, results)


def _missing(dtype: Any, chunk: int) -> jax.Array:
    """The key of a row that is not there, above all others, and for `smallest` not too large."""
    return jnp.array(jnp.inf if dtype == jnp.float32 else (2**31 - 1) // chunk - 1, dtype)


def _rows_of(gallery: jax.Array, ids: jax.Array, first: jax.Array) -> jax.Array:
    """Rows by their ids (Q, width), on all devices: each adds its own, and the others zeros.

    What is added are whole numbers of the same bits: floats would lose signs of zeros, and on some devices subnormals.
    """
    local = ids - first
    mine = (local >= 0) & (local < gallery.shape[0])
    found = as_bits(gallery[jnp.clip(local, 0, gallery.shape[0] - 1)])  # (Q, width, D)
    found = jax.lax.psum(jnp.where(mine[:, :, None], found, jnp.zeros((), found.dtype)), SHARDS)
    return jax.lax.bitcast_convert_type(found, gallery.dtype)


@functools.partial(jax.jit, static_argnames=("mesh",))
def rows_of(gallery: jax.Array, ids: jax.Array, *, mesh: Mesh) -> jax.Array:
    """Rows (Q, K, D) by their ids, int32 (Q, K)."""

    def on_shard(part: jax.Array, ids: jax.Array) -> jax.Array:
        return _rows_of(part, ids, jax.lax.axis_index(SHARDS) * jnp.int32(part.shape[0]))

    return jax.shard_map(on_shard, mesh=mesh, in_specs=(P(SHARDS), P()), out_specs=P(), check_vma=False)(gallery, ids)
