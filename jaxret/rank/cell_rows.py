"""The vectors of an inverted file, those of one cell side by side, and the search of some cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jaxret.errors import IndexFormatError
from jaxret.rank._topk import EUCLIDEAN, TopkSearch, topk_in_cells
from jaxret.rank.search_result import SearchResult, merge_results
from jaxret.rank.simd import simd_code
from jaxret.rank.threads import worthwhile_threads
from jaxret.rank.validation import FloatMatrix

_SHARED_BY = 16  # queries from which on a cell is searched for all of them at once; measured


@dataclass(frozen=True)
class CellRows:
    """Vectors in the order of (cell, id).

    Attributes:
        vectors: float32 (N, D).
        ids: int64 (N,), of each vector; ascending within a cell.
        offsets: int64 (C + 1,): cell c holds the rows `offsets[c]:offsets[c + 1]`.
        first: what is added to `ids` in results.
    """

    vectors: FloatMatrix
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    first: int = 0

    @classmethod
    def grouped(
        cls, blocks: Iterable[FloatMatrix], labels: NDArray[np.int64], first_id: int, cells: int, dimension: int
    ) -> CellRows:
        """New rows, copied once.

        Args:
            blocks: the vectors, a part at a time, float32 (n, D).
            labels: int64 (N,), the cell of each.
            first_id: ids are first_id, first_id + 1, ...
            cells: C.
            dimension: D.
        """
        order = np.argsort(labels, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        vectors = np.empty((len(labels), dimension), np.float32)
        done = 0
        for block in blocks:
            vectors[place[done : done + len(block)]] = block
            done += len(block)
        sizes = np.bincount(labels, minlength=cells)
        return cls(vectors, order + first_id, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    def with_later(self, later: CellRows) -> CellRows:
        """These rows and others, whose ids are all greater, as one."""
        sizes = np.diff(self.offsets), np.diff(later.offsets)
        labels = np.concatenate([np.repeat(np.arange(len(size)), size) for size in sizes])
        joined = CellRows.grouped(
            (self.vectors, later.vectors), labels, 0, len(self.offsets) - 1, self.vectors.shape[1]
        )
        ids = np.concatenate([self.ids + self.first, later.ids + later.first])
        return CellRows(joined.vectors, ids[joined.ids], joined.offsets)

    def nearest_in_cells(self, queries: FloatMatrix, probed: NDArray[np.int64], k: int, threads: int) -> SearchResult:
        """The k nearest rows to each query in its cells, by (distance, id), filled up with id -1, distance inf.

        A cell that many of the queries probe is searched once for all of them; the others each query searches alone.

        Args:
            queries: float32 (Q, D), finite.
            probed: int64 (Q, P), cells, nearest first and different in each row.
            k: at least 1.
            threads: at least 1.

        Raises:
            IndexFormatError: a row is not finite.
        """
        if len(queries) < _SHARED_BY:
            return self._alone(queries, probed, k, threads)
        sizes = np.diff(self.offsets)
        shared = np.bincount(probed.reshape(-1), minlength=len(sizes)) >= _SHARED_BY
        shared &= sizes > 0
        if not shared.any():
            return self._alone(queries, probed, k, threads)
        together = self._together(queries, np.where(shared[probed], probed, -1), k, threads)
        alone = self._alone(queries, np.where(shared[probed], -1, probed), k, threads)
        return merge_results([together, alone], k)

    def _alone(self, queries: FloatMatrix, probed: NDArray[np.int64], k: int, threads: int) -> SearchResult:
        """As `nearest_in_cells`, each query by itself; cell -1 is none."""
        ids, distances, bad_row = topk_in_cells(
            self.vectors, self.ids, self.offsets, queries, probed, k, threads, simd_code()
        )
        _refuse(bad_row)
        return SearchResult(np.where(ids >= 0, ids + self.first, -1) if self.first else ids, distances)

    def _together(self, queries: FloatMatrix, probed: NDArray[np.int64], k: int, threads: int) -> SearchResult:
        """The k nearest rows in each probed cell, side by side (Q, P * k or less), not yet merged; cell -1 is none."""
        count, probes = probed.shape
        sizes = np.diff(self.offsets)
        pairs = np.flatnonzero(probed.reshape(-1) >= 0)  # (query, probe), numbered row by row
        pairs = pairs[np.argsort(probed.reshape(-1)[pairs], kind="stable")]  # cell by cell
        cells = probed.reshape(-1)[pairs]
        width = min(k, int(sizes[cells].max()))
        ids = np.full((count * probes, width), -1, np.int64)
        distances = np.full((count * probes, width), np.inf, np.float32)
        starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
        for group, cell in zip(np.split(pairs, starts[1:]), cells[starts].tolist(), strict=True):
            first, end = self.offsets[cell], self.offsets[cell + 1]
            workers = worthwhile_threads(threads, len(group) * (end - first) * queries.shape[1] / 2e10)
            search = TopkSearch(queries[group // probes], min(k, int(sizes[cell])), EUCLIDEAN, workers, simd_code())
            _refuse(search.add(self.vectors[first:end], first))
            places, near, _ = search.finish()
            # Ids ascend within a cell, so equal distances are in order already.
            ids[group, : near.shape[1]] = self.ids[places] + self.first
            distances[group, : near.shape[1]] = near
        return SearchResult(ids.reshape(count, -1), distances.reshape(count, -1))


def _refuse(bad_row: int) -> None:
    if bad_row >= 0:
        raise IndexFormatError(f"vectors: row {bad_row} is damaged: it is not finite")
