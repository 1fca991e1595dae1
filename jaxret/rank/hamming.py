"""Packed binary codes: packing, and exact search by Hamming distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank import _hamming
from jaxret.rank._hamming import MAX_CODE_BYTES
from jaxret.rank.on_device import device_gallery
from jaxret.rank.search_result import RadiusResult, SearchResult
from jaxret.rank.simd import SIMD_LEVELS, simd_level
from jaxret.rank.threads import check_threads, worthwhile_threads
from jaxret.rank.validation import (
    CodeMatrix,
    as_array,
    as_codes,
    check_count,
    check_k,
    check_radius,
    check_real,
    check_same_width,
)

if TYPE_CHECKING:
    from jaxret.rank.device import DeviceGallery

Progress = Callable[[int, int], None]

_TIMES_SLOWER = {"portable": 5.0, "sse4": 2.5, "neon": 2.5, "avx2": 1.5}  # than with AVX-512, roughly


def pack_bits(activations: ArrayLike, threshold: float = 0.5) -> CodeMatrix:
    """Binary codes of activations: bit i is 1 where activation i is at least `threshold`.

    Args:
        activations: (N, bits) or (bits,), any float, integer or bool dtype.
        threshold: 0.5 suits sigmoid outputs, 0 suits tanh.

    Returns:
        uint8 (N, ceil(bits / 8)), bits little-endian within a byte; missing bits of the last byte are 0
        (so they add nothing to a distance). A one-dimensional input gives one row.

    Raises:
        TypeError: the activations are no real numbers.
        ValueError: their shape is no non-empty matrix, or one of them is NaN.

    >>> pack_bits(np.array([[0.9, 0.1, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]))
    array([[5, 1]], dtype=uint8)
    """
    values = as_array(activations, "activations")
    if values.ndim == 1:
        values = values[None, :]
    if values.dtype.kind not in "fiub" and "float" not in values.dtype.name:
        raise TypeError(f"activations must be real numbers, got {values.dtype}")
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"activations must have the shape (N, bits) with both above 0, got {values.shape}")
    if values.dtype.kind not in "iub" and np.isnan(values).any():
        row, bit = (int(i) for i in np.argwhere(np.isnan(values))[0])
        raise ValueError(f"activations must not be NaN, got nan at [{row}, {bit}]")
    # A Python float takes the dtype of the array, so float16 0.5 compares with float16 0.5.
    return np.packbits(values >= check_real(threshold, "threshold"), axis=1, bitorder="little")


def unpack_bits(codes: ArrayLike, bits: int | None = None) -> NDArray[np.bool_]:
    """The bits of packed codes, the inverse of `pack_bits`.

    Args:
        codes: uint8 (N, bytes) or (bytes,).
        bits: how many of each row to give, in [1, 8 * bytes]; None gives all.

    Returns:
        bool (N, bits).

    Raises:
        TypeError: the dtype is not uint8, or bits is no integer.
        ValueError: the shape is no matrix, or bits is out of range.

    >>> unpack_bits(np.array([[5]], np.uint8), 4)
    array([[ True, False,  True, False]])
    """
    packed = as_codes(codes, "codes", single=True)
    width = 8 * packed.shape[1]
    count = width if bits is None else check_count(bits, "bits")
    if count > width:
        raise ValueError(f"bits must be at most the {width} bits of a code, got {count}")
    return np.unpackbits(packed, axis=1, count=count, bitorder="little").astype(bool)


def hamming_topk(
    query_codes: ArrayLike,
    gallery_codes: ArrayLike | DeviceGallery,
    k: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """The k gallery codes that differ from each query in the fewest bits, exactly.

    Args:
        query_codes: uint8 (Q, bytes) or (bytes,), any whole number of bytes up to 2^20.
        gallery_codes: uint8 (N, bytes), N in [1, 2^40]; may be memory-mapped. A `DeviceGallery` of codes, or an array
            of JAX on an accelerator, is searched there.
        k: in [1, N].
        threads: None uses what affinity and container limits leave.
        progress: called now and then with (gallery codes done, gallery codes).

    Returns:
        ids int64 (Q, k) and distances float32 (Q, k) in bits, ordered by (distance, id).

    Raises:
        TypeError: a dtype is not uint8, k or threads no integer.
        ValueError: a shape does not fit or k is out of range.

    >>> hamming_topk(np.array([0], np.uint8), np.array([[7], [1], [2]], np.uint8), 2)
    SearchResult(ids=array([[1, 2]]), distances=array([[1., 1.]], dtype=float32))
    """
    on_device = device_gallery(gallery_codes)
    if on_device is not None:
        check_threads(threads)  # of which there are none here
        return _topk_on_devices(query_codes, on_device, k, progress)
    queries, gallery = check_codes(query_codes, gallery_codes)
    return SearchResult(*nearest_codes(queries, gallery, check_k(k, len(gallery)), threads, progress))


def nearest_codes(
    queries: CodeMatrix, gallery: CodeMatrix, k: int, threads: int | None, progress: Progress | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids and distances as `hamming_topk` finds them, of what is checked already: where codes are few, to check takes
    most of the time."""
    level = simd_level()
    workers = threads_for(queries, gallery, threads, level)
    ids, distances = _hamming.topk(queries, gallery, k, workers, SIMD_LEVELS[level], progress)
    return ids, distances


def _topk_on_devices(query_codes: Any, gallery: DeviceGallery, k: Any, progress: Progress | None) -> SearchResult:
    from jaxret.rank.device.code_search import nearest_codes_on_devices  # brings JAX

    queries = as_codes(query_codes, "query_codes", single=True)
    if not gallery.is_of_codes:
        raise TypeError(f"gallery_codes must have the dtype uint8 (codes from pack_bits), got {gallery.dtype}")
    check_same_width(queries, gallery, "bytes a code")
    return nearest_codes_on_devices(queries, gallery, check_k(k, len(gallery)), progress)


def hamming_within(
    query_codes: ArrayLike,
    gallery_codes: ArrayLike,
    radius: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> RadiusResult:
    """All gallery codes that differ from each query in at most `radius` bits (the radius is inclusive).

    Args:
        query_codes: uint8 (Q, bytes) or (bytes,), any whole number of bytes up to 2^20.
        gallery_codes: uint8 (N, bytes), N in [1, 2^40]; may be memory-mapped.
        radius: in bits, at least 0; 8 * bytes or more finds everything.
        threads: None uses what affinity and container limits leave.
        progress: called now and then with (gallery codes done, gallery codes).

    Returns:
        A `RadiusResult`: as many results as there are, each query's ordered by (distance, id).

    Raises:
        TypeError: a dtype is not uint8, radius or threads no integer.
        ValueError: a shape does not fit or the radius is negative.

    >>> near = hamming_within(np.array([[0], [255]], np.uint8), np.array([[7], [1], [2]], np.uint8), 1)
    >>> near[0]
    (array([1, 2]), array([1., 1.], dtype=float32))
    >>> near.counts
    array([2, 0])
    """
    queries, gallery = check_codes(query_codes, gallery_codes)
    bits = min(check_radius(radius), 8 * gallery.shape[1])
    level = simd_level()
    workers = threads_for(queries, gallery, threads, level)
    return RadiusResult(*_hamming.within(queries, gallery, bits, workers, SIMD_LEVELS[level], progress))


def check_codes(query_codes: Any, gallery_codes: Any) -> tuple[CodeMatrix, CodeMatrix]:
    """Queries and a gallery of one width, within the limits of the kernels.

    Raises:
        TypeError, ValueError: as `hamming_topk`.
    """
    queries = as_codes(query_codes, "query_codes", single=True)
    gallery = as_codes(gallery_codes, "gallery_codes")
    check_same_width(queries, gallery, "bytes a code")
    if gallery.shape[1] > MAX_CODE_BYTES:
        raise ValueError(f"codes must have at most {MAX_CODE_BYTES} bytes, got {gallery.shape[1]}")
    if len(gallery) > _hamming.MAX_CODES:
        raise ValueError(f"gallery_codes must hold at most {_hamming.MAX_CODES} codes, got {len(gallery)}")
    return queries, gallery


def threads_for(queries: CodeMatrix, gallery: CodeMatrix, threads: int | None, level: str) -> int:
    """The threads that a linear search of this size is worth at an instruction set, of those that `threads` allows."""
    allowed = check_threads(threads)
    if allowed == 1:
        return 1
    compared, loaded = len(queries) * gallery.size / 1e11, gallery.size / 8e10
    seconds = _TIMES_SLOWER.get(level, 1.0) * (compared + loaded + len(queries) * 7e-7)
    return worthwhile_threads(allowed, seconds)
