"""Exact nearest vectors: Euclidean, cosine, and PAR (the nearest that also point the same way).

The gallery is read once, block by block, and the N distances of a query are never stored. Distances are
measured in double from the float32 values, so they are right to float32's last place however far from the
origin the vectors lie, and the same for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank._topk import COSINE, EUCLIDEAN, PAR, TopkSearch
from jaxret.rank.on_device import device_gallery
from jaxret.rank.search_result import ParResult, SearchResult
from jaxret.rank.simd import simd_code
from jaxret.rank.threads import check_threads, worthwhile_threads
from jaxret.rank.validation import (
    FloatMatrix,
    as_float32_matrix,
    check_float_matrix,
    check_k,
    check_real,
    check_same_width,
    lies_as_float32,
    raise_if_not_finite,
    to_float32,
)

if TYPE_CHECKING:
    from jaxret.rank.device import DeviceGallery

Progress = Callable[[int, int], None]
Nearest = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32] | None]
"""ids, distances and, for PAR, cosines, each (Q, k)."""

_CONVERTED_BLOCK_BYTES = 32 << 20


def euclidean_topk(
    queries: ArrayLike,
    gallery: ArrayLike | DeviceGallery,
    k: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """The k gallery vectors nearest to each query by Euclidean distance, exactly.

    Args:
        queries: (Q, D) or (D,), any float dtype; computed in float32.
        gallery: (N, D), any float dtype, N at least 1; may be memory-mapped and larger than memory. A `DeviceGallery`,
            or an array of JAX on an accelerator, is searched there.
        k: in [1, N].
        threads: None uses what affinity and container limits leave.
        progress: called now and then with (gallery rows done, gallery rows).

    Returns:
        ids int64 (Q, k) and distances float32 (Q, k), not squared, ordered by (distance, id).

    Raises:
        TypeError: a dtype is not a float, k or threads no integer.
        ValueError: a shape does not fit, k is out of range, or a number is not finite in float32.

    >>> euclidean_topk(np.zeros(2), np.array([[3.0, 4.0], [0.0, 1.0], [1.0, 0.0]]), 2).ids
    array([[1, 2]])
    """
    ids, distances, _ = _search(queries, gallery, k, EUCLIDEAN, threads, progress)
    return SearchResult(ids, distances)


def cosine_topk(
    queries: ArrayLike,
    gallery: ArrayLike | DeviceGallery,
    k: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """The k gallery vectors nearest to each query by 1 - cosine similarity, exactly.

    A zero vector has cosine 0, so distance 1, to everything, itself included. Distances are rounded to a
    multiple of 2^-40 (below float32's own resolution from 2^-16 on), so that scaled copies of one vector tie
    and are ordered by id.

    Args:
        queries: (Q, D) or (D,), any float dtype; computed in float32.
        gallery: (N, D), any float dtype, N at least 1; may be memory-mapped and larger than memory. A `DeviceGallery`,
            or an array of JAX on an accelerator, is searched there.
        k: in [1, N].
        threads: None uses what affinity and container limits leave.
        progress: called now and then with (gallery rows done, gallery rows).

    Returns:
        ids int64 (Q, k) and distances float32 (Q, k) in [0, 2], ordered by (distance, id).

    Raises:
        TypeError, ValueError: as `euclidean_topk`.

    >>> cosine_topk(np.array([2.0, 0.0]), np.array([[0.0, 1.0], [5.0, 0.0], [-1.0, 0.0]]), 3).distances
    array([[0., 1., 2.]], dtype=float32)
    """
    ids, distances, _ = _search(queries, gallery, k, COSINE, threads, progress)
    return SearchResult(ids, distances)


def par(
    queries: ArrayLike,
    gallery: ArrayLike | DeviceGallery,
    k: int,
    min_cosine: float,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ParResult:
    """PAR: the k nearest by Euclidean distance, kept where the cosine to the query exceeds a threshold.

    A query returns between 0 and k items. The cosine must be strictly above `min_cosine`, compared in
    float32; that of a zero vector is 0.

    Args:
        queries: (Q, D) or (D,), any float dtype; computed in float32.
        gallery: (N, D), any float dtype, N at least 1; may be memory-mapped and larger than memory. A `DeviceGallery`,
            or an array of JAX on an accelerator, is searched there.
        k: in [1, N]: how many neighbours are looked at.
        min_cosine: the threshold; -2 keeps all k.
        threads: None uses what affinity and container limits leave.
        progress: called now and then with (gallery rows done, gallery rows).

    Returns:
        ids, distances and cosines (Q, k), nearest first; a row is filled up with id -1,
            distance inf, cosine -inf.

    Raises:
        TypeError, ValueError: as `euclidean_topk`; also where min_cosine is no finite number.

    >>> found = par(np.array([1.0, 0.0]), np.array([[0.0, 0.5], [2.0, 0.1], [1.5, 0.0]]), 3, 0.9)
    >>> found.ids
    array([[ 2,  1, -1]])
    """
    threshold = check_real(min_cosine, "min_cosine")
    ids, distances, cosines = _search(queries, gallery, k, PAR, threads, progress)
    assert cosines is not None
    dropped = cosines <= np.float32(threshold)
    ids[dropped] = -1
    distances[dropped] = np.inf
    cosines[dropped] = -np.inf
    order = np.argsort(dropped, axis=1, kind="stable")  # kept results move to the front in their order
    return ParResult(
        np.take_along_axis(ids, order, axis=1),
        np.take_along_axis(distances, order, axis=1),
        np.take_along_axis(cosines, order, axis=1),
    )


def _search(queries: Any, gallery: Any, k: Any, metric: int, threads: int | None, progress: Progress | None) -> Nearest:
    query_matrix = as_float32_matrix(queries, "queries", single=True)
    on_device = device_gallery(gallery)
    if on_device is None:
        return nearest_vectors(query_matrix, gallery, k, metric, threads, progress)
    from jaxret.rank.device.vector_search import nearest_on_devices  # brings JAX

    if on_device.is_of_codes:
        raise TypeError(f"gallery must have a float dtype, got {on_device.dtype}")
    check_same_width(query_matrix, on_device)
    k, count = check_k(k, len(on_device)), check_threads(threads)
    return nearest_on_devices(query_matrix, on_device, k, metric, count, progress)


def euclidean_topk_in_parts(
    queries: ArrayLike, parts: Sequence[ArrayLike], k: int, *, threads: int | None = None
) -> SearchResult:
    """`euclidean_topk` of a gallery that comes in several arrays of one width, numbered through all of them.

    What one part has found bounds what is looked for in the next, which makes it quicker than to search each.

    >>> euclidean_topk_in_parts(np.zeros(2), [np.array([[3.0, 4.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])], 2).ids
    array([[1, 2]])
    """
    matrix = as_float32_matrix(queries, "queries", single=True)
    ids, distances, _ = _nearest_in_parts(matrix, parts, k, EUCLIDEAN, threads, None)
    return SearchResult(ids, distances)


def cosine_topk_in_parts(
    queries: ArrayLike, parts: Sequence[ArrayLike], k: int, *, threads: int | None = None
) -> SearchResult:
    """`cosine_topk` of a gallery that comes in several arrays, see `euclidean_topk_in_parts`."""
    matrix = as_float32_matrix(queries, "queries", single=True)
    ids, distances, _ = _nearest_in_parts(matrix, parts, k, COSINE, threads, None)
    return SearchResult(ids, distances)


def nearest_vectors(
    query_matrix: FloatMatrix, gallery: Any, k: Any, metric: int, threads: int | None, progress: Progress | None
) -> Nearest:
    """The k nearest by one of the metrics of `jaxret.rank._topk`, by (distance, id), of checked queries (Q, D)."""
    return _nearest_in_parts(query_matrix, [gallery], k, metric, threads, progress)


def _nearest_in_parts(
    query_matrix: FloatMatrix,
    parts: Sequence[Any],
    k: Any,
    metric: int,
    threads: int | None,
    progress: Progress | None,
) -> Nearest:
    matrices = [check_float_matrix(part, "gallery") for part in parts]
    for matrix in matrices:
        check_same_width(query_matrix, matrix)
    size, dimensions = sum(map(len, matrices)), query_matrix.shape[1]
    k = check_k(k, size)
    count = worthwhile_threads(check_threads(threads), shared_seconds(len(query_matrix), size, dimensions, k))
    search = TopkSearch(query_matrix, k, metric, count, simd_code())
    first = 0
    for matrix in matrices:
        whole = lies_as_float32(matrix)
        block = len(matrix) if whole else max(1, _CONVERTED_BLOCK_BYTES // (4 * dimensions))  # never as a whole
        for start in range(0, len(matrix), block):
            rows = to_float32(matrix if whole else matrix[start : start + block])
            bad_row = search.add(rows, first + start, _from_row(progress, first + start, size))
            if bad_row >= 0:
                place = bad_row - first - start
                raise_if_not_finite(rows[place : place + 1], "gallery", bad_row)
        first += len(matrix)
    return search.finish(metric == PAR)


def shared_seconds(queries: int, rows: int, dimensions: int, k: int) -> float:
    """About how long it takes one thread to do what several would share.

    Rows come from memory once, near ones are measured exactly: those of a query by one thread.
    """
    measured = k if queries > 1 else 0
    return rows * dimensions / 2e10 + queries * (rows / 5e10 + measured / 1e10) * dimensions


def _from_row(progress: Progress | None, start: int, size: int) -> Progress | None:
    """`progress` over the whole gallery, told of rows done since `start`."""
    if progress is None:
        return None
    return lambda done, _total: progress(start + done, size)
