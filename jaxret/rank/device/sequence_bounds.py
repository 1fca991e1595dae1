"""Lower bounds on DTW distances on a device: from the means of sequences, and from float32 products of their frames.

As for vectors (`jaxret.rank.device.bounds`), what a device computes is made a proven lower bound, and what is not ruled
out is measured by the kernels of the CPU.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from jaxret.rank.device.bounds import ROUNDING, TINY, slack
from jaxret.rank.device.placement import SHARDS
from jaxret.rank.device.scan import by_chunks
from jaxret.rank.device.warping import warped

_EVERYWHERE = P()


class Query(NamedTuple):
    """A query sequence, all its frames less the centre of the gallery.

    Attributes:
        frames: float32 (A, D), zeros behind the last.
        length: int32 (), frames that there are.
        mean: float32 (D,).
        centre: float32 (D,), of the gallery.
    """

    frames: jax.Array
    length: jax.Array
    mean: jax.Array
    centre: jax.Array


def prepared_query(frames: NDArray[np.float32], rows: int, centre: NDArray[np.float32], mesh: Mesh) -> Query:
    """A query (T, D), filled up to a number of rows, on all devices of a mesh."""
    shifted = frames - centre
    filled = np.zeros((rows, frames.shape[1]), np.float32)
    filled[: len(frames)] = shifted
    parts = filled, np.int32(len(frames)), shifted.mean(axis=0, dtype=np.float64).astype(np.float32), centre
    return Query(*(jax.device_put(part, NamedSharding(mesh, _EVERYWHERE)) for part in parts))


class Summaries(NamedTuple):
    """What is known of N sequences without looking at their frames.

    Attributes:
        means: float32 (N, D), of their frames less the centre.
        radii: float32 (N,), at least the distance of any frame from the mean.
        lengths: int32 (N,), in frames; 0 of padding.
    """

    means: jax.Array
    radii: jax.Array
    lengths: jax.Array


@functools.partial(jax.jit, static_argnames=("mesh", "chunk"))
def summaries(frames: jax.Array, lengths: jax.Array, centre: jax.Array, *, mesh: Mesh, chunk: int) -> Summaries:
    """Of sequences (N, T * D), their lengths (N,), and a centre (D,)."""

    def on_shard(frames: jax.Array, lengths: jax.Array, centre: jax.Array) -> Summaries:
        def of_one(one: tuple[jax.Array, jax.Array]) -> Summaries:
            rows, length = one[0].reshape(-1, len(centre)) - centre[None], one[1]
            real = (jnp.arange(len(rows), dtype=jnp.int32) < length)[:, None]
            mean = jnp.where(real, rows, 0.0).sum(axis=0) / jnp.maximum(length, 1).astype(jnp.float32)
            squares = jnp.square(jnp.where(real, rows - mean[None], 0.0)).sum(axis=1)
            return Summaries(mean, jnp.sqrt(squares.max()) * (1 + slack(len(centre))) + 2.0**-50, length)

        return by_chunks(of_one, (frames, lengths), chunk)

    specs = P(SHARDS), P(SHARDS), _EVERYWHERE
    sharded = jax.shard_map(on_shard, mesh=mesh, in_specs=specs, out_specs=P(SHARDS), check_vma=False)
    return sharded(frames, lengths, centre)


@functools.partial(jax.jit, static_argnames=("mesh", "chunk"))
def mean_bounds(query: Query, gallery: Summaries, *, mesh: Mesh, chunk: int) -> jax.Array:
    """float32 (N,): for each sequence a bound on its distance by DTW, read forwards or backwards; `chunk` at once.

    Every frame of a sequence is matched to one of the query. By Jensen's inequality its n squared distances add up to
    at least n times that of its mean m to a point of the convex hull of the query's frames; how far that is, the
    projection on the line from the query's mean to m tells. And every frame of the query is matched to one in the ball
    around m that holds the sequence. (csrc/dtw_bounds.c bounds in the same way.)
    """

    def on_shard(query: Query, gallery: Summaries) -> jax.Array:
        real = jnp.arange(len(query.frames), dtype=jnp.int32) < query.length
        most = jnp.maximum(query.length, gallery.lengths.max()).astype(jnp.float32)
        rounding = (query.frames.shape[1] + most + 32.0) * ROUNDING
        contracted = (((1,), (0,)), ((), ()))
        exactly = jax.lax.Precision.HIGHEST
        stacked = jnp.concatenate([query.frames, query.mean[None]])
        frame_squares = jnp.square(query.frames).sum(axis=1)
        along_mean = jax.lax.dot_general(query.frames, query.mean, contracted, precision=exactly)

        def of_one(one: Summaries) -> jax.Array:
            products = jax.lax.dot_general(stacked, one.means, contracted, precision=exactly)  # (A + 1,)
            to_frames, to_mean = products[:-1], products[-1]
            square = jnp.square(one.means).sum()
            norms = jnp.sqrt(square) + jnp.sqrt(frame_squares.max())
            error = 8.0 * rounding * jnp.square(norms) + TINY

            least = jnp.where(real, along_mean - to_frames, jnp.inf).min()
            along = square - to_mean + least - error
            length = jnp.sqrt(jnp.abs(square - 2.0 * to_mean + jnp.square(query.mean).sum()) + error)
            by_hull = jnp.square(jnp.maximum(along, 0.0) / length) * one.lengths.astype(jnp.float32)

            distances = jnp.sqrt(jnp.maximum(frame_squares - 2.0 * to_frames + square - error, 0.0))
            outside = jnp.where(real, jnp.maximum(distances - one.radii, 0.0), 0.0)
            return jnp.maximum(by_hull, jnp.square(outside).sum()) * (1 - 2.0 * rounding)

        return by_chunks(of_one, gallery, chunk)

    sharded = jax.shard_map(on_shard, mesh=mesh, in_specs=(P(), P(SHARDS)), out_specs=P(SHARDS), check_vma=False)
    return sharded(query, gallery)


@functools.partial(jax.jit, static_argnames=("mesh", "window", "reverse"))
def warping_bounds(
    query: Query,
    frames: jax.Array,
    lengths: jax.Array,
    places: jax.Array,
    *,
    mesh: Mesh,
    window: int | None,
    reverse: bool,
) -> jax.Array:
    """Bounds, near the distances, of some sequences.

    Args:
        query: the query.
        frames: (shards * R, T * D), float32 or narrower.
        lengths: int32 (shards * R,), at least 1 of those wanted.
        places: int32 (shards, C): of each device the places of some of its sequences.
        mesh: over whose devices they lie.
        window: of Sakoe and Chiba; None for none.
        reverse: whether the query is also read backwards.

    Returns:
        float32 (shards, C).
    """

    def on_shard(query: Query, frames: jax.Array, lengths: jax.Array, places: jax.Array) -> jax.Array:
        return _bounds_of_some(query, frames[places[0]], lengths[places[0]], window, reverse)[None]

    specs = P(), P(SHARDS), P(SHARDS), P(SHARDS)
    sharded = jax.shard_map(on_shard, mesh=mesh, in_specs=specs, out_specs=P(SHARDS), check_vma=False)
    return sharded(query, frames, lengths, places)


def warping_bytes(rows: int, length: int, dimensions: int) -> int:
    """What `warping_bounds` takes for each pair: costs, skewed, of both readings, and frames as they lie and centred.

    So much it is, to about a tenth, where XLA compiles it for a CPU, and less without a second reading.

    Args:
        rows: A, of a query as it is filled up.
        length: T, of a sequence as it is filled up.
        dimensions: D.
    """
    return 12 * (rows * (rows + length) + length * dimensions)


def _bounds_of_some(
    query: Query, frames: jax.Array, lengths: jax.Array, window: int | None, reverse: bool
) -> jax.Array:
    dimensions = len(query.centre)
    gallery = frames.astype(jnp.float32).reshape(len(frames), -1, dimensions) - query.centre[None, None]  # (N, B, D)
    contracted = (((1,), (2,)), ((), ()))
    products = jax.lax.dot_general(query.frames, gallery, contracted, precision=jax.lax.Precision.HIGHEST)  # (A, N, B)
    squares = jnp.square(query.frames).sum(axis=1)[:, None, None] + jnp.square(gallery).sum(axis=2)[None]
    costs = jnp.maximum(squares * (1 - slack(dimensions)) - 2.0 * products - TINY, 0.0)
    costs = jnp.moveaxis(costs, 0, 1)  # (N, A, B)
    rows, columns = costs.shape[1:]
    inside = None if window is None else _band(query.length, lengths, rows, columns, window)

    def within(costs: jax.Array) -> jax.Array:
        return warped(costs if inside is None else jnp.where(inside, costs, jnp.inf), query.length, lengths)

    found = within(costs)
    if reverse:
        numbers = jnp.arange(rows, dtype=jnp.int32)
        backwards = jnp.where(numbers < query.length, query.length - 1 - numbers, numbers)
        found = jnp.minimum(found, within(costs[:, backwards]))
    additions = (query.length + lengths + 16).astype(jnp.float32)
    return found * (1 - additions * ROUNDING)


def _band(query_length: jax.Array, lengths: jax.Array, rows: int, columns: int, window: int) -> jax.Array:
    """bool (N, A, B): the cells at most `window` outside the diagonals through the two corners."""
    difference = query_length - lengths  # (N,)
    low, high = jnp.minimum(difference, 0) - window, jnp.maximum(difference, 0) + window
    off = jnp.arange(rows, dtype=jnp.int32)[:, None] - jnp.arange(columns, dtype=jnp.int32)[None]
    return (off[None] >= low[:, None, None]) & (off[None] <= high[:, None, None])
