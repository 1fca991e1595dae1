"""The nearest sequences by DTW or Bi-DTW, and all distances between two sets of sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.rank import _dtw
from jaxret.rank.on_device import device_sequences
from jaxret.rank.search_result import SearchResult
from jaxret.rank.sequence_table import SequenceTable
from jaxret.rank.sequence_validation import (
    as_frames,
    as_sequence_list,
    check_dimensions,
    check_reverse,
    check_window,
    prepared,
)
from jaxret.rank.simd import simd_code
from jaxret.rank.threads import check_threads, worthwhile_threads
from jaxret.rank.validation import as_array, check_k

Progress = Callable[[int, int], None]

_PRODUCTS_A_SECOND = 5e10  # of one thread, for deciding whether more are worth their start
_SECONDS_A_BOUND = 1.5e-7


@dataclass(frozen=True)
class DtwPruning:
    """What became of the gallery sequences of each query; the four counts add up to the gallery.

    They depend on the data, not on threads or the instruction set.

    Attributes:
        by_mean: int64 (Q,): ruled out by the mean of their frames, without looking at a frame.
        by_segments: int64 (Q,): ruled out by the means of segments of 8 frames.
        abandoned: int64 (Q,): given up part of the way through the dynamic programming; of a `DeviceSequences`, ruled
            out by that of the devices.
        measured: int64 (Q,): measured to the end.
    """

    by_mean: NDArray[np.int64]
    by_segments: NDArray[np.int64]
    abandoned: NDArray[np.int64]
    measured: NDArray[np.int64]

    def shares(self) -> dict[str, float]:
        """Each count's share of all pairs of query and gallery sequence.

        >>> DtwPruning(*(np.array([n]) for n in (6, 1, 1, 2))).shares()
        {'by_mean': 0.6, 'by_segments': 0.1, 'abandoned': 0.1, 'measured': 0.2}
        """
        counts = {name: int(getattr(self, name).sum()) for name in self.__dataclass_fields__}
        return {name: count / sum(counts.values()) for name, count in counts.items()}


@dataclass(frozen=True)
class DtwResult(SearchResult):
    """A `SearchResult` that also says what pruning did.

    Attributes:
        pruning: counts of gallery sequences for each query.
    """

    pruning: DtwPruning


def dtw_topk(
    query: Any,
    gallery: Any,
    k: int,
    *,
    reverse: str | None = "query",
    window: int | None = None,
    threads: int | None = None,
    prune: bool | None = None,
    progress: Progress | None = None,
) -> DtwResult:
    """The k gallery sequences nearest to each query by Bi-DTW or DTW, exactly.

    Sequences that cannot be among the k nearest are ruled out by lower bounds, or given up half-way; what is left is
    measured from the most promising on. The result is that of measuring all. The bounds need the means of the
    gallery's sequences: a `SequenceTable` finds them once for all searches, a list at every call.

    Args:
        query: (T, D) of any float dtype; or several queries: a sequence of such arrays, (Q, T, D), or a
            `SequenceTable`.
        gallery: sequence of N arrays (T_i, D) of any float dtype, (N, T, D), or a `SequenceTable`; a `DeviceSequences`
            is searched where it lies.
        k: in [1, N].
        reverse: "query" reads the query forwards and backwards (Bi-DTW as meant for retrieval), "both" is Bi-DTW as
            printed, which equals DTW; None is plain DTW. See `bidtw`.
        window: as for `dtw`.
        threads: None uses what affinity and container limits leave.
        prune: None prunes where it pays: not for a single query over a list, which would be read through for the
            bounds and once more for what they leave. False measures everything. The result is the same.
        progress: called now and then with (pairs dealt with, pairs of query and gallery sequence).

    Returns:
        ids int64 (Q, k), distances float32 (Q, k) by (distance, id), the same for any threads; Q is 1 for one query.
        `pruning` counts what each bound ruled out.

    Raises:
        TypeError: a dtype is not a float, gallery no sequence, k, window or threads no integer.
        ValueError: an empty gallery or sequence, differing D, k out of range, a negative window, numbers that are not
            finite in float32 or whose squares would overflow. The message names the sequence.

    >>> gallery = [np.zeros((3, 1)), np.array([[1.0], [2.0]]), np.array([[2.0], [1.0], [1.0]])]
    >>> result = dtw_topk(np.array([[1.0], [1.0], [2.0]]), gallery, 2)
    >>> result.ids, result.distances
    (array([[1, 2]]), array([[0., 0.]], dtype=float32))
    """
    both_ways = check_reverse(reverse, ("query", "both", None))
    width = check_window(window)
    count = check_threads(threads)
    queries, on_devices = as_queries(query), device_sequences(gallery)
    if on_devices is not None:
        from jaxret.rank.device.sequence_search import nearest_sequences_on_devices  # brings JAX
        from jaxret.rank.sequence_ranking import SequenceRanking

        ranking = SequenceRanking("bi-dtw" if both_ways else "dtw", window=width)
        settings: dict[str, Any] = {"prune": prune is not False, "threads": count, "progress": progress}
        return nearest_sequences_on_devices(queries, on_devices, k, ranking, **settings)
    members = as_collection(gallery, "gallery")
    check_dimensions(dimensions_of(queries), dimensions_of(members), "query", "gallery")
    k = check_k(k, len(members))
    query_view = kernel_view(queries, "query", count)
    if prune is None:
        prune = isinstance(members, SequenceTable) or len(queries) > 1
    gallery_view = kernel_view(members, "gallery", count, with_means=prune)
    count = worthwhile_threads(count, _seconds(query_view, gallery_view, dimensions_of(members)))
    found = _dtw.search(query_view, gallery_view, k, width, both_ways, prune, count, simd_code(), progress)
    ids, distances, pruning = found
    return DtwResult(ids, distances, DtwPruning(*np.ascontiguousarray(pruning.T)))


def dtw_cdist(
    queries: Any,
    gallery: Any,
    *,
    reverse: str | None = None,
    window: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """All distances between two sets of sequences, float32 (Q, N); plain DTW unless `reverse` says otherwise.

    Args:
        queries: as `query` of `dtw_topk`.
        gallery, window, threads, progress: as for `dtw_topk`, but no `DeviceSequences`.
        reverse: None or "both" is DTW, "query" is Bi-DTW that reads the queries forwards and backwards.

    Raises:
        TypeError, ValueError: as for `dtw_topk`.

    >>> dtw_cdist([np.zeros((2, 1)), np.ones((3, 1))], [np.ones((1, 1)), np.zeros((4, 1))])
    array([[2., 0.],
           [0., 4.]], dtype=float32)
    """
    both_ways = check_reverse(reverse, ("query", "both", None))
    width = check_window(window)
    count = check_threads(threads)
    rows, members = as_queries(queries, "queries"), as_collection(gallery, "gallery")
    check_dimensions(dimensions_of(rows), dimensions_of(members), "queries", "gallery")
    row_view, gallery_view = kernel_view(rows, "queries", count), kernel_view(members, "gallery", count)
    count = worthwhile_threads(count, _seconds(row_view, gallery_view, dimensions_of(members)))
    return _dtw.distances(row_view, gallery_view, width, both_ways, count, simd_code(), progress)


Collection = SequenceTable | list[NDArray[np.float32]]


def as_queries(query: Any, name: str = "query") -> Collection:
    """One (T, D) array, or a collection of them, as a collection.

    Raises:
        TypeError, ValueError: it is neither.
    """
    if isinstance(query, (list, tuple)) and len(query) and np.ndim(query[0]) != 1:
        return as_collection(query, name)
    if isinstance(query, SequenceTable) or device_sequences(query) is not None:
        return as_collection(query, name)
    array = as_array(query, name)
    return as_collection(array, name) if array.ndim == 3 else [as_frames(array, name)]


def as_collection(sequences: Any, name: str) -> Collection:
    """A `SequenceTable` as it is, anything else as a list of float32 (T_i, D).

    Raises:
        TypeError, ValueError: as `as_sequence_list`; TypeError also at a `DeviceSequences`, which would come back from
            the devices one sequence at a time.
    """
    if device_sequences(sequences) is not None:
        raise TypeError(
            f"{name} must be sequences in this machine's memory, got a DeviceSequences: dtw_topk and rank_sequences "
            "search it as their gallery; others need the sequences, which its [:] reads back"
        )
    return sequences if isinstance(sequences, SequenceTable) else as_sequence_list(sequences, name)


def kernel_view(sequences: Collection, name: str, threads: int, *, with_means: bool = False) -> _dtw.Sequences:
    """The sequences as the kernels want them, checked number by number.

    Raises:
        ValueError: a number is not finite, or so large that distances would overflow.
    """
    if isinstance(sequences, SequenceTable):
        return sequences.kernel_view(threads)
    values = sum(member.size for member in sequences)
    return prepared(sequences, name, worthwhile_threads(threads, values / 1e9), with_means=with_means)


def dimensions_of(sequences: Collection) -> int:
    """D."""
    return sequences.dimensions if isinstance(sequences, SequenceTable) else sequences[0].shape[1]


def _seconds(queries: _dtw.Sequences, gallery: _dtw.Sequences, dimensions: int) -> float:
    """About how long measuring everything takes on one thread, with the bounds of several queries, which threads share;
    those of a single one take too little time to start threads for."""
    count = len(queries.offsets) - 1
    products = float(queries.offsets[-1]) * float(gallery.offsets[-1]) * dimensions
    bounds = (count if count > 1 else 0) * float(len(gallery.offsets) - 1)
    return products / _PRODUCTS_A_SECOND + bounds * _SECONDS_A_BOUND
