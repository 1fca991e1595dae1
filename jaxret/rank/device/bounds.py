"""Lower bounds on the distances of vectors from float32 products: which rows a device need not measure.

What a device computes cannot order near neighbours: a product is rounded, and on each device otherwise. So it computes
for each pair a number that is proven to lie below the squared distance, and keeps the rows with the smallest. Those are
measured again by the kernels of the CPU; if the k-th of them lies below all bounds that were not kept, the k nearest
are among them, with their exact distances. As in csrc/topk.c, which does so within one machine, vectors are taken less
a centre, so that bounds stay tight far from the origin, and, for the cosine, at length 1.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from jaxret.rank.device.placement import SHARDS, as_bits
from jaxret.rank.device.scan import by_chunks

MOST_DIMENSIONS = 1 << 18
"""Above it the error of a float32 product is no longer bounded well."""

ROUNDING = 2.0**-23  # of an operation: twice float32's, which covers products of three bfloat16 parts, too
TINY = 2.0**-100
"""More than a device may lose of a product by flushing to zero. Where a subnormal number meets one above 2^26 it may
lose more, but less than the slack of the square of that one."""

_LARGE = 1e30  # squared norms above it, or for the cosine below its inverse, are not bounded


def slack(dimensions: int) -> float:
    """By which share of both squared norms a computed squared distance may be wrong.

    A float32 sum of d products, in any order, is off by g = d u / (1 - d u) of the product of the norms, and both norms
    likewise; subtracting the centre, and the last additions, take some u.
    """
    error = dimensions * ROUNDING
    return 2 * error / (1 - error) + 16 * ROUNDING


class Rows(NamedTuple):
    """A gallery, and what the bounds need of each row: arrays of N rows.

    Attributes:
        vectors: (N, D), float32 or narrower.
        biases: float32 (N,): squared length less the slack; -inf where there is no bound.
        scales: float32 (N,), to length 1; None for the Euclidean distance.
    """

    vectors: jax.Array
    biases: jax.Array
    scales: jax.Array | None


class Queries(NamedTuple):
    """Queries as the bounds need them.

    Attributes:
        vectors: float32 (Q, D), less the centre.
        biases: float32 (Q,), as those of rows.
        centre: float32 (D,).
    """

    vectors: jax.Array
    biases: jax.Array
    centre: jax.Array


def lower_bounds(queries: Queries, rows: Rows) -> jax.Array:
    """Bounds (Q, N) on squared distances; -inf where float32 overflows."""
    scales = None if rows.scales is None else rows.scales[:, None]
    vectors = _centred(rows.vectors, scales, queries.centre[None])
    contracted = (((1,), (1,)), ((), ()))
    products = jax.lax.dot_general(queries.vectors, vectors, contracted, precision=jax.lax.Precision.HIGHEST)
    bounds = queries.biases[:, None] + rows.biases[None] - 2.0 * products
    return jnp.where(jnp.isfinite(bounds), bounds, -jnp.inf)


def _centred(vectors: jax.Array, scales: jax.Array | None, centre: jax.Array) -> jax.Array:
    whole = vectors.astype(jnp.float32)
    return (whole if scales is None else whole * scales) - centre


def prepared_rows(vectors: jax.Array, centre: NDArray[np.float32], mesh: Mesh, chunk: int, *, unit: bool) -> Rows:
    """What bounds need of a gallery (shards * R, D) on the devices of a mesh; `unit` for the cosine."""
    biases, scales = _biases_and_scales(vectors, jnp.asarray(centre), mesh=mesh, chunk=chunk, unit=unit)
    return Rows(vectors, biases, scales)


@functools.partial(jax.jit, static_argnames=("mesh", "chunk", "unit"))
def _biases_and_scales(
    vectors: jax.Array, centre: jax.Array, *, mesh: Mesh, chunk: int, unit: bool
) -> tuple[jax.Array, jax.Array | None]:
    share = 1 - slack(vectors.shape[1])

    def on_shard(part: jax.Array, centre: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        def of_row(row: jax.Array) -> tuple[jax.Array, jax.Array | None]:
            scale, bounded, extra, moved = None, jnp.array(True), jnp.float32(0), 0.0
            if unit:
                square = jnp.square(row.astype(jnp.float32)).sum()
                empty = ~(as_bits(row) << 1).any()  # a device may take subnormals for zeros, but not shifts of bits
                bounded = empty | ((square > 1 / _LARGE) & (square < _LARGE))
                scale = jnp.where(bounded & ~empty, jax.lax.rsqrt(square), 0.0)
                extra = empty.astype(jnp.float32)  # cosine 0 to everything: as far as sqrt(2) from length 1
                moved = 2 * ROUNDING  # in `lower_bounds`, where a compiler may round what is scaled otherwise than here
            length = jnp.sqrt(jnp.square(_centred(row, scale, centre)).sum())
            square = jnp.square(jnp.maximum(length - moved, 0.0)) + extra
            return jnp.where(bounded & (square < _LARGE), square * share - TINY, -jnp.inf), scale

        return by_chunks(of_row, part, chunk)

    specs = P(SHARDS), P()
    return jax.shard_map(on_shard, mesh=mesh, in_specs=specs, out_specs=P(SHARDS), check_vma=False)(vectors, centre)


@functools.partial(jax.jit, static_argnames=("mesh", "chunk"))
def finite_rows(vectors: jax.Array, *, mesh: Mesh, chunk: int) -> jax.Array:
    """bool (shards * R,): which rows are finite."""

    def on_shard(part: jax.Array) -> jax.Array:
        return by_chunks(lambda row: jnp.isfinite(row).all(), part, chunk)

    sharded = jax.shard_map(on_shard, mesh=mesh, in_specs=P(SHARDS), out_specs=P(SHARDS), check_vma=False)
    return sharded(vectors)


def prepared_queries(queries: NDArray[np.float32], centre: NDArray[np.float32], mesh: Mesh, *, unit: bool) -> Queries:
    """Queries (Q, D) on all devices of a mesh; those of length 0 have no cosine and come out as if of any."""
    exact = queries.astype(np.float64)
    if unit:
        norms = np.linalg.norm(exact, axis=1, keepdims=True)
        exact = np.divide(exact, norms, out=np.zeros_like(exact), where=norms > 0)
    shifted = exact.astype(np.float32) - centre
    squares = np.square(shifted.astype(np.float64)).sum(axis=1)
    biases = np.where(squares < _LARGE, squares * (1 - slack(queries.shape[1])) - TINY, -np.inf)
    everywhere = NamedSharding(mesh, P())
    parts = (shifted, biases.astype(np.float32), centre)
    return Queries(*(jax.device_put(part, everywhere) for part in parts))


def sample_centre(sample: NDArray[np.float32], *, unit: bool) -> NDArray[np.float32]:
    """The mean of some rows, at length 1 for the cosine. Any finite centre is right; a good one makes bounds tight."""
    exact = sample.astype(np.float64)
    if unit:
        norms = np.linalg.norm(exact, axis=1, keepdims=True)
        exact = np.divide(exact, norms, out=np.zeros_like(exact), where=norms > 0)
    with np.errstate(over="ignore"):
        centre = exact.mean(axis=0).astype(np.float32)
    return np.where(np.isfinite(centre), centre, np.float32(0))


def proven(bounds: Any, distances: NDArray[np.float32], dimensions: int, *, unit: bool) -> NDArray[np.bool_]:
    """bool (Q,): whether no row whose bound is at least `bounds` comes before the `distances`, or as near.

    Args:
        bounds: float32 (Q,), the largest bounds that were kept; inf where everything was.
        distances: float32 (Q,), exact, of the k-th of those kept.
        dimensions: D.
        unit: whether the distances are 1 - cosine, half the squared distance D^2 of vectors of length 1. A row's on
            the device is longer or shorter by at most the slack e, and at d^2 = (1 + e) D^2 + e^2 then; and rounding
            its numbers, and those of the query, moves the two by less than two roundings.
    """
    exact = distances.astype(np.float64)
    if unit:
        error = slack(dimensions)
        squared = 2 * (exact * (1 + 2.0**-22) + 2.0**-38)
        needed = (np.sqrt((1 + error) * squared + error**2) + 2 * ROUNDING) ** 2
    else:
        needed = exact**2 * (1 + 2.0**-21)
    return np.asarray(np.asarray(bounds, np.float64) > needed, np.bool_)
