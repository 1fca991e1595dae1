"""The k nearest vectors of a gallery on devices: bounds there, exact distances of what they leave on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.rank._topk import COSINE, EUCLIDEAN, PAR, topk_in_cells
from jaxret.rank.device.bounds import lower_bounds, prepared_queries, proven
from jaxret.rank.device.gallery import DeviceGallery
from jaxret.rank.device.in_groups import filled_up, groups_of, one_ahead, rounded_up
from jaxret.rank.device.scan import nearest_rows
from jaxret.rank.search_result import SearchResult, merge_results
from jaxret.rank.simd import simd_code
from jaxret.rank.topk import Nearest, nearest_vectors
from jaxret.rank.validation import to_float32

__all__ = ["nearest_on_devices"]

Progress = Callable[[int, int], None]
Numbers = NDArray[np.int64]
Finalists = tuple[Numbers, Any, Any, Any]
"""Numbers of queries; of each the bounds (Q, width), ids and vectors of the rows that may be among the nearest."""

_READ_BACK_SHARE = 0.5  # of the gallery that would be measured, from which on it is read back as a whole
_MOST_KEPT = 1 << 14  # rows kept for a query; where no more than these tie, it is not read back


def nearest_on_devices(
    queries: NDArray[np.float32],
    gallery: DeviceGallery,
    k: int,
    metric: int,
    threads: int,
    progress: Progress | None,
) -> Nearest:
    """As `jaxret.rank.topk.nearest_vectors`, with the same results; queries, k and threads are checked.

    Rows are kept by their bounds, and measured; if the last bound lies above the k-th distance, none of the others can
    be nearer. Queries for which it does not are searched again, with more rows kept.
    """
    answer = _Answer(queries, k, metric)
    pending = np.arange(len(queries))
    if metric == COSINE:  # a vector of length 0 is at distance 1 from everything
        empty = ~queries.any(axis=1)
        answer.ids[empty], answer.distances[empty] = np.arange(k), 1
        pending = np.flatnonzero(~empty)
    settled = len(queries) - len(pending)
    width = min(rounded_up(k + max(16, k // 4)), len(gallery))
    while len(pending) and width <= min(_READ_BACK_SHARE * len(gallery), max(_MOST_KEPT, 2 * k)):
        unproven = []
        for some, bounds, ids, rows in one_ahead(_finalists(queries, pending, gallery, width, metric)):
            last = np.asarray(bounds)[: len(some), -1]
            answer.measure(some, np.asarray(ids)[: len(some)], np.asarray(rows)[: len(some)], threads)
            kth = answer.distances[some, -1]
            unproven.append(some[~proven(last, kth, gallery.shape[1], unit=metric == COSINE)])
            settled += len(some) - len(unproven[-1])
            if progress is not None:
                progress(len(gallery) * settled // len(queries), len(gallery))
        pending = np.concatenate(unproven)
        width = min(4 * width, len(gallery))
    if len(pending):
        answer.read_back(pending, gallery, threads)
        if progress is not None:
            progress(len(gallery), len(gallery))
    return answer.ids, answer.distances, answer.cosines


def _finalists(
    queries: NDArray[np.float32], pending: Numbers, gallery: DeviceGallery, width: int, metric: int
) -> Iterator[Finalists]:
    """Starts the search of one group of queries after the other."""
    unit = metric == COSINE
    rows, centre = gallery.bounded_rows(unit=unit)
    size = gallery.queries_at_once(len(pending), width)
    for some in groups_of(pending, size):
        prepared = prepared_queries(filled_up(queries[some], size), centre, gallery.mesh, unit=unit)
        chunk = gallery.chunk(size)
        yield (
            some,
            *nearest_rows(
                prepared,
                rows,
                score=lower_bounds,
                mesh=gallery.mesh,
                size=len(gallery),
                chunk=chunk,
                width=width,
                with_rows=True,
            ),
        )


class _Answer:
    """Results as they come to be known: ids, distances and, for PAR, cosines (Q, k)."""

    def __init__(self, queries: NDArray[np.float32], k: int, metric: int):
        self._queries, self._k, self._metric = queries, k, metric
        self.ids = np.full((len(queries), k), -1, np.int64)
        self.distances = np.full((len(queries), k), np.inf, np.float32)
        self.cosines = np.full((len(queries), k), -np.inf, np.float32) if metric == PAR else None

    def measure(self, numbers: Numbers, ids: NDArray[Any], rows: NDArray[Any], threads: int) -> None:
        """Takes the k nearest of some rows for some queries.

        Args:
            numbers: of Q queries.
            ids: (Q, M), of rows, ascending, M at least k.
            rows: (Q, M, D).
            threads: at least 1.
        """
        if self._metric == EUCLIDEAN:
            self._measure_together(numbers, ids, rows, threads)
            return
        for number, its_ids, its_rows in zip(numbers.tolist(), ids, rows, strict=True):
            query = self._queries[number : number + 1]
            places, distances, cosines = nearest_vectors(query, its_rows, self._k, self._metric, 1, None)
            self.ids[number], self.distances[number] = its_ids[places[0]], distances[0]
            if self.cosines is not None and cosines is not None:
                self.cosines[number] = cosines[0]

    def _measure_together(self, numbers: Numbers, ids: NDArray[Any], rows: NDArray[Any], threads: int) -> None:
        """The same by one call, for each query's rows are a cell that it alone looks into."""
        count, width, dimensions = rows.shape
        vectors = to_float32(rows.reshape(count * width, dimensions))
        offsets, probed = np.arange(count + 1) * width, np.arange(count)[:, None]
        all_ids, queries = ids.reshape(-1).astype(np.int64), self._queries[numbers]
        found = topk_in_cells(vectors, all_ids, offsets, queries, probed, self._k, threads, simd_code())
        self.ids[numbers], self.distances[numbers] = found[:2]

    def read_back(self, pending: Numbers, gallery: DeviceGallery, threads: int) -> None:
        """Searches the whole gallery on the CPU."""
        metric = EUCLIDEAN if self._metric == PAR else self._metric
        parts: list[SearchResult] = []
        for start, block in gallery.blocks():
            k = min(self._k, len(block))
            ids, distances, _ = nearest_vectors(self._queries[pending], block, k, metric, threads, None)
            parts = [merge_results([*parts, SearchResult(ids + start, distances)], self._k)]
        self.ids[pending], self.distances[pending] = parts[0].ids, parts[0].distances
        if self.cosines is not None:
            for some in groups_of(pending, 1):
                ids = np.sort(self.ids[some], axis=1)
                self.measure(some, ids, gallery.vectors(ids[0])[None], threads)
