"""The rows of one segment as `item_search` searches them: by a scan, by hash tables, by cells around centroids, or
on an accelerator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import jaxret.rank as rank
from jaxret.data.rows import Rows
from jaxret.errors import IndexFormatError
from jaxret.index.snapshot import BLOCK_ROWS, Snapshot

__all__ = [
    "CelledShard",
    "HashedShard",
    "Shard",
    "WholeShard",
    "missing_results",
    "scanned_shard",
    "sent_shard",
]

_SCANNED_SHARE = 0.1  # of a file's rows that take part, from which on the whole file is scanned


class Shard:
    """The searchable rows of one segment.

    Attributes:
      rows: all rows of the segment.
      number: of the segment.
      first: the number of its first row.
      n_rows: rows that are searched, the greatest depth.
      n_wanted: those of them that take part.
      n_items: items that these belong to.
    """

    def __init__(self, snapshot: Snapshot, number: int, space: str, rows: Rows, first: int, wanted: NDArray[np.bool_]):
        """Prepare the rows of the wanted items; `wanted` is bool (n_items,) of the segment."""
        self.rows, self.first = rows, first
        self.number = number
        self._segment, self._space = snapshot.segments[number], space
        self._positions = snapshot.positions[number]
        self._snapshot = snapshot
        self._wanted = wanted
        # None: all rows take part, and the mapped file is searched as it lies.
        self._chosen = None if wanted.all() else _rows_of(rows.items, wanted)
        if self._chosen is None:
            self.n_rows, self.n_items = len(rows), self._segment.count_items(space)
        else:
            self.n_rows, self.n_items = len(self._chosen), _count_distinct(rows.items[self._chosen])
        self.n_wanted = self.n_rows

    @property
    def has_few_rows(self) -> bool:
        """Whether so few rows take part that copies of them are quicker to search than the whole file."""
        return self.n_rows < _SCANNED_SHARE * len(self.rows)

    @property
    def scans_whole_file(self) -> bool:
        """Whether a search reads the rows of the segment's file as they lie, one after the other."""
        return self._chosen is None

    @property
    def found_ids(self) -> NDArray[np.int64]:
        """The ids of the items that take part, ascending."""
        items = self.rows.items if self._chosen is None else self.rows.items[self._chosen]
        return self._positions[np.unique(items)]

    def ids_of(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        """The item ids of some rows, by their numbers in the segment."""
        return self._positions[self.rows.items[local]]

    def first_depth(self, k: int) -> int:
        """Rows to look at first: enough for k items where rows of one item do not crowd too much."""
        if k >= self.n_items:
            return self.n_rows
        return min(self.n_rows, k if self.n_rows == self.n_items else 2 * k + 16)

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows by (distance, row number), depth at most n_rows; id -1 where there are fewer."""
        if self._chosen is None:
            found = self._topk(queries, self.rows.vectors, depth, metric, threads)
            return rank.SearchResult(found.ids + self.first, found.distances)
        parts: list[rank.SearchResult] = []
        for start in range(0, self.n_rows, BLOCK_ROWS):
            numbers = self._chosen[start : start + BLOCK_ROWS]
            block = self.rows.vectors[numbers]
            found = self._topk(queries, block, min(depth, len(block)), metric, threads)
            parts.append(rank.SearchResult(numbers[found.ids] + self.first, found.distances))
            # Merging seldom keeps the cost linear in the blocks, the memory within a few times the answer.
            if sum(part.ids.shape[1] for part in parts) > 8 * depth:
                parts = [rank.merge_results(parts, depth)]
        return rank.merge_results(parts, depth)

    def best_rows(self, rows: rank.SearchResult, k: int, excluded: NDArray[np.int64] | None) -> rank.SearchResult:
        """The first row of each distinct item in a ranking of rows, up to k of them, padded."""
        items = np.where(rows.ids >= 0, self.ids_of(np.maximum(rows.ids - self.first, 0)), -1)  # (Q, depth)
        keep = rank.first_of_each(items)
        keep &= items >= 0
        if excluded is not None:
            keep &= self._snapshot.item_sources[items] != excluded[:, None]
        packed = np.argsort(~keep, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(keep, packed, axis=1)
        best = missing_results(len(items), k)
        n = packed.shape[1]
        best.ids[:, :n] = np.where(kept, np.take_along_axis(rows.ids, packed, axis=1), -1)
        best.distances[:, :n] = np.where(kept, np.take_along_axis(rows.distances, packed, axis=1), np.inf)
        return best

    def _topk(
        self,
        queries: NDArray[Any],
        gallery: Any,
        depth: int,
        metric: str,
        threads: int | None,
    ) -> rank.SearchResult:
        try:
            return rank.METRICS[metric].topk(queries, gallery, depth, threads=threads)
        except ValueError as error:
            if not str(error).startswith("gallery"):
                raise
            # What was read from disk is refused.
            raise IndexFormatError(
                f"{self._segment.vectors_file(self._space)}: {error}; `verify()` checks all"
            ) from error


class WholeShard(Shard):
    """A shard all of whose rows are searched, as they lie in the file.

    Rows that take no part are found and dropped, and the search goes deeper for them. That is quicker than copying
    the others out, where there are not far more that take no part; and an index of all rows outlives removals and
    serves every choice of kinds.
    """

    def __init__(self, snapshot: Snapshot, number: int, space: str, rows: Rows, first: int, wanted: NDArray[np.bool_]):
        super().__init__(snapshot, number, space, rows, first, wanted)
        self.n_rows = len(rows)

    @property
    def scans_whole_file(self) -> bool:
        """See `Shard.scans_whole_file`; what searches in another way is no scan."""
        return type(self) is WholeShard

    def ids_of(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        """The item ids of some rows, -1 where they take no part."""
        items = self.rows.items[local]
        return np.where(self._wanted[items], self._positions[items], -1)

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows by (distance, row number), those that take no part among them."""
        found = self._topk(queries, self.rows.vectors, depth, metric, threads)
        return rank.SearchResult(found.ids + self.first, found.distances)

    def first_depth(self, k: int) -> int:
        """As of a plain shard, and more by the share of rows that take no part."""
        if k >= self.n_items:
            return self.n_rows
        wanted = k if self.n_wanted == self.n_items else 2 * k + 16
        return min(self.n_rows, -(-wanted * self.n_rows // self.n_wanted))


class HashedShard(WholeShard):
    """A shard of codes in hash tables."""

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows by (distance, row number), those that take no part among them."""
        found = self._segment.hash_tables(self._space).topk(queries, depth, threads=threads)
        return rank.SearchResult(found.ids + self.first, found.distances)


class CelledShard(WholeShard):
    """A shard of vectors in cells around centroids."""

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows of the `probes` nearest cells, those that take no part among them."""
        cells = self._snapshot.cells(self.number, self._space)
        assert probes is not None
        found = cells.topk(queries, depth, probes=min(probes, cells.cells), threads=threads)
        return rank.SearchResult(np.where(found.ids >= 0, found.ids + self.first, -1), found.distances)


class SentShard(WholeShard):
    """A shard whose rows were sent to accelerators."""

    def __init__(
        self,
        device: str,
        snapshot: Snapshot,
        number: int,
        space: str,
        rows: Rows,
        first: int,
        wanted: NDArray[np.bool_],
    ):
        super().__init__(snapshot, number, space, rows, first, wanted)
        self._device = device

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows by (distance, row number), those that take no part among them."""
        gallery = self._segment.on_device(self._space, self._device)
        found = self._topk(queries, gallery, depth, metric, threads)
        return rank.SearchResult(found.ids + self.first, found.distances)


def scanned_shard(
    snapshot: Snapshot, number: int, space: str, rows: Rows, first: int, wanted: NDArray[np.bool_]
) -> Shard:
    """A shard that is searched by a scan: of its file, or of copies of the few rows that take part."""
    shard = Shard(snapshot, number, space, rows, first, wanted)
    if shard.n_rows == len(rows) or shard.has_few_rows:
        return shard
    return WholeShard(snapshot, number, space, rows, first, wanted)


def sent_shard(
    device: str, snapshot: Snapshot, number: int, space: str, rows: Rows, first: int, wanted: NDArray[np.bool_]
) -> Shard:
    """A shard that is searched on a kind of device; where few rows take part, copies of these by the CPU."""
    shard = Shard(snapshot, number, space, rows, first, wanted)
    return shard if shard.has_few_rows else SentShard(device, snapshot, number, space, rows, first, wanted)


def _rows_of(items: NDArray[np.int64], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The numbers of the rows whose items are wanted; `items` does not decrease."""
    if np.count_nonzero(wanted) > _SCANNED_SHARE * len(wanted):
        return np.flatnonzero(wanted[items])
    few = np.flatnonzero(wanted)  # each is looked for: not even the items of all rows are read
    begins = np.searchsorted(items, few)
    counts = np.searchsorted(items, few, side="right") - begins
    return np.repeat(begins - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())


def _count_distinct(items: NDArray[np.int64]) -> int:
    """How many numbers are in an array that does not decrease."""
    return int(np.count_nonzero(np.diff(items))) + (len(items) > 0)


def missing_results(n_queries: int, k: int) -> rank.SearchResult:
    """No results: ids -1, distances infinite."""
    shape = (n_queries, k)
    return rank.SearchResult(np.full(shape, -1, np.int64), np.full(shape, np.inf, np.float32))
