"""The vectors of an inverted file, those of one cell side by side, and the search of some cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jaxret.errors import IndexFormatError
from jaxret.rank._topk import topk_in_cells
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
        """The k nearest rows to each query in its cells, by (distance, id), filled up with id -1, distance inf.

        Args:
            queries: float32 (Q, D), finite.
            probed: int64 (Q, P), cells, nearest first and different in each row.
            k: at least 1.
            threads: queries are shared among them.

        Raises:
            IndexFormatError: a row is not finite.
        """
        ids, distances, bad_row = topk_in_cells(
            self.vectors, self.ids, self.offsets, queries, probed, k, threads, simd_code()
        )
        if bad_row >= 0:
            raise IndexFormatError(f"vectors: row {bad_row} is damaged: it is not finite")
        return SearchResult(ids, distances)
