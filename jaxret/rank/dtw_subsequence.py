"""Subsequence DTW: where in a longer sequence a query lies.

M. Müller, "Information Retrieval for Music and Motion" (2007), section 4.4: dynamic time warping in which the query
is matched as a whole and the longer sequence from any frame to any frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank import _dtw
from jaxret.rank.dtw_search import as_collection, kernel_view
from jaxret.rank.search_result import SearchResult
from jaxret.rank.sequence_table import SequenceTable
from jaxret.rank.sequence_validation import as_frames, check_dimensions, prepared
from jaxret.rank.simd import simd_code
from jaxret.rank.threads import check_threads, worthwhile_threads
from jaxret.rank.validation import check_count

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SubsequenceMatch:
    """Frames [start, end) of the longer sequence, and their DTW distance to the query."""

    start: int
    end: int
    distance: float


@dataclass(frozen=True)
class SubsequenceResult(SearchResult):
    """A `SearchResult` that also says where in each sequence the query lies.

    Attributes:
        starts, ends: int64 (1, k): frames [start, end) of sequence `ids`; -1 where `ids` is -1.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def dtw_subsequence(query: ArrayLike, long_sequence: ArrayLike, n: int = 1) -> list[SubsequenceMatch]:
    """The n disjoint spans of a longer sequence that are nearest to the query by DTW, nearest first.

    The first is the nearest of all spans; each next one is the nearest of those that share no frame with the ones
    before. Of equally near spans the one that ends earlier comes first, then the shorter one. A span's distance is
    `dtw(query, long_sequence[start:end])`, which grows with the length of the query.

    Args:
        query: (T, D), any float dtype.
        long_sequence: (L, D), any float dtype; L may be below T.
        n: at least 1.

    Returns:
        At most n matches; fewer where no frames are left.

    Raises:
        TypeError: a dtype is not a float, n no integer.
        ValueError: an empty sequence, differing D, n below 1, or numbers that are not finite in float32 or whose
            squares would overflow.

    >>> long = np.array([[9.0], [1.0], [2.0], [9.0], [9.0], [1.0], [2.5]])
    >>> dtw_subsequence(np.array([[1.0], [2.0]]), long, 2)
    [SubsequenceMatch(start=1, end=3, distance=0.0), SubsequenceMatch(start=5, end=7, distance=0.25)]
    """
    n = check_count(n, "n")
    frames, long_frames = as_frames(query, "query"), as_frames(long_sequence, "long_sequence")
    check_dimensions(frames.shape[1], long_frames.shape[1], "query", "long_sequence")
    views = prepared([frames], "query", 1), prepared([long_frames], "long_sequence", 1)
    spans = _dtw.subsequence(*views, min(n, len(long_frames)), 1, simd_code())[0]
    return [SubsequenceMatch(*span) for span in spans[spans["start"] >= 0].tolist()]


def dtw_subsequence_topk(
    query: ArrayLike,
    gallery: Any,
    k: int,
    *,
    spans_each: int = 1,
    threads: int | None = None,
    progress: Progress | None = None,
) -> SubsequenceResult:
    """The k spans nearest to the query among the spans of many sequences.

    Args:
        query: (T, D), any float dtype.
        gallery: N sequences as for `dtw_topk`, but no `DeviceSequences`.
        k: in [1, N * spans_each].
        spans_each: how many disjoint spans of one sequence may be found, as by `dtw_subsequence`.
        threads: None uses what affinity and container limits leave.
        progress: called now and then with (sequences done, N).

    Returns:
        ids, starts, ends int64 (1, k) and distances float32 (1, k), by (distance, id), then in the order of
        `dtw_subsequence`; short sequences may leave places empty: id, start, end -1, distance inf.

    Raises:
        TypeError, ValueError: as for `dtw_topk`, and for spans_each.

    >>> gallery = [np.array([[5.0], [1.0], [2.0]]), np.array([[1.0], [1.5], [7.0]])]
    >>> found = dtw_subsequence_topk(np.array([[1.0], [2.0]]), gallery, 2)
    >>> found.ids, found.starts, found.ends, found.distances
    (array([[0, 1]]), array([[1, 0]]), array([[3, 2]]), array([[0.  , 0.25]], dtype=float32))
    """
    count = check_threads(threads)
    each = check_count(spans_each, "spans_each")
    frames, members = as_frames(query, "query"), as_collection(gallery, "gallery")
    dimensions = members.dimensions if isinstance(members, SequenceTable) else members[0].shape[1]
    check_dimensions(frames.shape[1], dimensions, "query", "gallery")
    k = check_count(k, "k")
    if k > len(members) * each:
        raise ValueError(f"k must be at most the {len(members) * each} spans of {len(members)} sequences, got {k}")
    query_view, gallery_view = prepared([frames], "query", 1), kernel_view(members, "gallery", count)
    count = worthwhile_threads(count, float(gallery_view.offsets[-1]) * len(frames) * 5e-9)
    spans = _dtw.subsequence(query_view, gallery_view, each, count, simd_code(), progress)
    ids = np.repeat(np.arange(len(members), dtype=np.int64), each)
    flat = spans.reshape(-1)
    order = np.lexsort((ids, flat["distance"]))[:k]
    chosen = flat[order][None]
    found = np.where(chosen["start"] < 0, -1, ids[order][None])
    return SubsequenceResult(found, *(chosen[name].copy() for name in ("distance", "start", "end")))
