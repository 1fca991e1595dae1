"""The vectors of an inverted file, those of one cell side by side, and the search of some cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jaxret.errors import IndexFormatError
from jaxret.rank._topk import EUCLIDEAN, TopkSearch
from jaxret.rank.search_result import SearchResult
from jaxret.rank.simd import simd_code
from jaxret.rank.validation import FloatMatrix


@dataclass(frozen=True)
class CellRows:
    """Vectors in the order of (cell, id).

    Attributes:
        vectors: float32 (N, D).
        ids: int64 (N,), of each vector; ascending within a cell.
        offsets: int64 (C + 1,): cell c holds the rows `offsets[c]:offsets[c + 1]`.
    """

    vectors: FloatMatrix
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]

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
        return CellRows(joined.vectors, np.concatenate([self.ids, later.ids])[joined.ids], joined.offsets)

    def nearest_in_cells(self, queries: FloatMatrix, probed: NDArray[np.int64], k: int, threads: int) -> SearchResult:
        """The up to k nearest rows of each probed cell, side by side and not yet merged.

        A cell is searched once, for all queries that probe it.

        Args:
            queries: float32 (Q, D), finite.
            probed: int64 (Q, P), cells, different in each row.
            k: rows wanted of a cell.
            threads: cells are shared among them.

        Returns:
            (Q, P * width), width the smaller of k and the largest probed cell; missing ones have id -1, distance inf.

        Raises:
            IndexFormatError: a row is not finite.
        """
        count, probes = probed.shape
        sizes = np.diff(self.offsets)
        width = min(k, int(sizes[probed].max()))
        ids = np.full((count * probes, width), -1, np.int64)
        distances = np.full((count * probes, width), np.inf, np.float32)
        pairs = np.argsort(probed, axis=None, kind="stable")  # (query, probe) numbered row by row, cell by cell
        cells = probed.reshape(-1)[pairs]
        starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
        groups = [group for group in np.split(pairs, starts[1:]) if sizes[probed.flat[group[0]]]]

        def search(some: Sequence[NDArray[np.int64]]) -> None:
            for group in some:
                cell = probed.flat[group[0]]
                rows = slice(self.offsets[cell], self.offsets[cell + 1])
                found = TopkSearch(queries[group // probes], min(k, int(sizes[cell])), EUCLIDEAN, 1, simd_code())
                bad_row = found.add(self.vectors[rows], 0)
                if bad_row >= 0:
                    raise IndexFormatError(f"vectors: row {rows.start + bad_row} is damaged: it is not finite")
                places, near, _ = found.finish()
                ids[group, : near.shape[1]] = self.ids[rows][places]
                distances[group, : near.shape[1]] = near

        if threads == 1 or len(groups) == 1:
            search(groups)
        else:
            # Every n-th cell each: neighbours in number are no neighbours in size.
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(search, [groups[first::threads] for first in range(min(threads, len(groups)))]))
        return SearchResult(ids.reshape(count, -1), distances.reshape(count, -1))
