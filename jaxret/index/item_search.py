"""Search for the k nearest *distinct items*, when an item has many rows; exact, save where only some cells are probed.

Each segment is searched by `jaxret.rank` for its nearest rows, the best row of each item is kept, and the
segments' results are merged. Where the rows of few items crowd the others out, the segment is searched
deeper, until no unseen row can belong to the answer. Rows are numbered through all segments; because rows lie
in the order of their items, (distance, row) of best rows orders items exactly as (distance, id) does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import jaxret.rank as rank
from jaxret.data.rows import Rows
from jaxret.errors import IndexFormatError
from jaxret.index.snapshot import BLOCK_ROWS, Snapshot

__all__ = ["Gallery", "gallery_of"]

MAX_CELLS = 1 << 22
"""Results held at once for a segment: queries go in groups so that group x depth stays below this."""


_SCANNED_SHARE = 0.1  # of a file's rows that take part, from which on the whole file is scanned

Way = Literal["scan", "hash tables", "cells"]


def gallery_of(snapshot: Snapshot, space: str, kinds: frozenset[str] | None, way: Way = "scan") -> Gallery:
    """The searchable rows of a space, prepared once for each choice of kinds and each way to search them."""
    key = (space, kinds, way)
    if key not in snapshot.galleries:
        snapshot.galleries[key] = Gallery(snapshot, space, kinds, way)
    return snapshot.galleries[key]


class Gallery:
    """The rows of one space over all segments of a snapshot, and which items may be found.

    Rows are numbered through all segments that have any, removed items' rows included.
    """

    def __init__(self, snapshot: Snapshot, space: str, kinds: frozenset[str] | None, way: Way):
        """Prepare the rows of items of these kinds (None for all)."""
        make_shard = {"scan": _scanned_shard, "hash tables": _HashedShard, "cells": _CelledShard}[way]
        self._shards: list[_Shard] = []
        first = 0
        wanted = snapshot.of_kinds(kinds)
        for number, rows in snapshot.segment_rows(space):
            self._shards.append(make_shard(snapshot, number, space, rows, first, wanted))
            first += len(rows.items)
        self._searched = [shard for shard in self._shards if len(shard.found_ids)]
        self.searchable: NDArray[np.bool_] = np.zeros(len(snapshot.items), bool)
        """bool (n,), the live items that may be found: of these kinds, and with rows."""
        for shard in self._searched:
            self.searchable[shard.found_ids] = True
        self._n_items = int(self.searchable.sum())
        self._items_of_source = np.bincount(
            snapshot.item_sources[self.searchable], minlength=max(1, len(snapshot.source_codes))
        )

    def split(
        self, row_numbers: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], Rows]]:
        """For each segment: which of the numbers lie in it, their local numbers, item ids, and its rows."""
        for shard in self._shards:
            inside = (row_numbers >= shard.first) & (row_numbers < shard.first + len(shard.ids))
            local = row_numbers[inside] - shard.first
            yield inside, local, shard.ids[local], shard.rows

    def nearest_items(
        self,
        queries: NDArray[Any],
        k: int,
        metric: str,
        excluded_sources: NDArray[np.int64] | None,
        threads: int | None,
        probes: int | None = None,
    ) -> rank.SearchResult:
        """The best row of each of the k nearest items.

        Args:
          queries: float32 (Q, D), finite, or codes uint8 (Q, bytes).
          k: items a query, at least 1.
          metric: a name in `jaxret.rank.METRICS` that fits them.
          excluded_sources: int64 (Q,), the number of the source a query leaves out, or -1; None for none.
          threads: passed on.
          probes: of the way "cells", at least 1: cells of each segment to look into.

        Returns:
          `SearchResult` whose ids are row numbers, one row an item, padded with -1.

        Raises:
          IndexFormatError: stored rows are not finite.
        """
        possible = np.full(len(queries), self._n_items)
        if excluded_sources is not None:
            possible -= np.where(excluded_sources >= 0, self._items_of_source[excluded_sources], 0)
        answer = _missing(len(queries), k)
        if not self._searched:
            return answer
        width = min(k, self._n_items)
        group = max(1, MAX_CELLS // max(shard.first_depth(width) for shard in self._searched))
        for start in range(0, len(queries), group):
            block = slice(start, start + group)
            sources = None if excluded_sources is None else excluded_sources[block]
            wanted = np.minimum(possible[block], width)
            found = self._search_group(queries[block], width, wanted, metric, sources, threads, probes)
            answer.ids[block, :width] = found.ids
            answer.distances[block, :width] = found.distances
        return answer

    def _search_group(
        self,
        queries: NDArray[Any],
        k: int,
        wanted: NDArray[np.int64],
        metric: str,
        sources: NDArray[np.int64] | None,
        threads: int | None,
        probes: int | None,
    ) -> rank.SearchResult:
        """Search every shard, then deeper where an unseen row could come before the last result."""
        shards = self._searched
        results = [_missing(len(queries), k) for _ in shards]
        last = [_missing(len(queries), 1) for _ in shards]  # the last row seen, -1 once there are no more
        depths = [shard.first_depth(k) for shard in shards]
        pending = [np.flatnonzero(wanted > 0) for _ in shards]
        merged = _missing(len(queries), k)
        while any(len(left) for left in pending):
            for shard, result, seen, depth, left in zip(shards, results, last, depths, pending, strict=True):
                step = max(1, MAX_CELLS // depth)
                for start in range(0, len(left), step):
                    some = left[start : start + step]
                    rows = shard.nearest_rows(queries[some], depth, metric, threads, probes)
                    best = shard.best_rows(rows, k, None if sources is None else sources[some])
                    result.ids[some], result.distances[some] = best.ids, best.distances
                    seen.ids[some, 0] = rows.ids[:, -1] if depth < shard.n_rows else -1
                    seen.distances[some, 0] = rows.distances[:, -1]
            merged = rank.merge_results(results, k)
            at = np.maximum(wanted - 1, 0)[:, None]
            kth = np.take_along_axis(merged.ids, at, axis=1)[:, 0]
            kth_distance = np.take_along_axis(merged.distances, at, axis=1)[:, 0]
            for s, (shard, seen) in enumerate(zip(shards, last, strict=True)):
                row, distance = seen.ids[:, 0], seen.distances[:, 0]
                ahead = (distance < kth_distance) | ((distance == kth_distance) & (row < kth))
                pending[s] = np.flatnonzero((wanted > 0) & (row >= 0) & ((kth < 0) | ahead))
                depths[s] = min(shard.n_rows, 4 * depths[s])
        return merged


class _Shard:
    """The searchable rows of one segment.

    Attributes:
      rows: all rows of the segment.
      first: the number of its first row.
      ids: int64 (N,), the item id of each row, -1 for removed items.
      n_rows: rows that are searched, the greatest depth.
      found_ids: the ids of the items that take part, ascending.
    """

    def __init__(self, snapshot: Snapshot, number: int, space: str, rows: Rows, first: int, wanted: NDArray[np.bool_]):
        self.rows, self.first = rows, first
        self._segment, self._space = snapshot.segments[number], space
        self.ids = snapshot.positions[number][rows.items]
        self._item_sources = snapshot.item_sources
        takes_part = (self.ids >= 0) & (wanted[self.ids] if len(wanted) else False)
        # None: all rows take part, and the mapped file is searched as it lies.
        self._chosen = None if takes_part.all() else np.flatnonzero(takes_part)
        chosen_ids = self.ids[takes_part]
        self.n_rows = len(chosen_ids)
        new = np.ones(self.n_rows, bool)
        new[1:] = chosen_ids[1:] != chosen_ids[:-1]
        self.found_ids = chosen_ids[new]

    def first_depth(self, k: int) -> int:
        """Rows to look at first: enough for k items where rows of one item do not crowd too much."""
        if k >= len(self.found_ids):
            return self.n_rows
        return min(self.n_rows, k if self.n_rows == len(self.found_ids) else 2 * k + 16)

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
        items = np.where(rows.ids >= 0, self.ids[np.maximum(rows.ids - self.first, 0)], -1)  # (Q, depth)
        keep = rank.first_of_each(items)
        keep &= items >= 0
        if excluded is not None:
            keep &= self._item_sources[items] != excluded[:, None]
        packed = np.argsort(~keep, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(keep, packed, axis=1)
        best = _missing(len(items), k)
        n = packed.shape[1]
        best.ids[:, :n] = np.where(kept, np.take_along_axis(rows.ids, packed, axis=1), -1)
        best.distances[:, :n] = np.where(kept, np.take_along_axis(rows.distances, packed, axis=1), np.inf)
        return best

    def _topk(
        self,
        queries: NDArray[Any],
        gallery: NDArray[Any],
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


class _WholeShard(_Shard):
    """A shard all of whose rows are searched, as they lie in the file.

    Rows that take no part are found and dropped, and the search goes deeper for them. That is quicker than copying
    the others out, where there are not far more that take no part; and an index of all rows outlives removals and
    serves every choice of kinds.
    """

    def __init__(self, snapshot: Snapshot, number: int, space: str, rows: Rows, first: int, wanted: NDArray[np.bool_]):
        super().__init__(snapshot, number, space, rows, first, wanted)
        self._n_wanted = self.n_rows
        if self._chosen is not None:
            taking_part = np.full(len(self.ids), -1, np.int64)
            taking_part[self._chosen] = self.ids[self._chosen]
            self.ids = taking_part
        self.n_rows = len(self.ids)

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows by (distance, row number), those that take no part among them."""
        found = self._topk(queries, self.rows.vectors, depth, metric, threads)
        return rank.SearchResult(found.ids + self.first, found.distances)

    def first_depth(self, k: int) -> int:
        """As of a plain shard, and more by the share of rows that take no part."""
        if k >= len(self.found_ids):
            return self.n_rows
        wanted = k if self._n_wanted == len(self.found_ids) else 2 * k + 16
        return min(self.n_rows, -(-wanted * self.n_rows // self._n_wanted))


class _HashedShard(_WholeShard):
    """A shard of codes in hash tables."""

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows by (distance, row number), those that take no part among them."""
        found = self._segment.hash_tables(self._space).topk(queries, depth, threads=threads)
        return rank.SearchResult(found.ids + self.first, found.distances)


class _CelledShard(_WholeShard):
    """A shard of vectors in cells around centroids."""

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows of the `probes` nearest cells, those that take no part among them."""
        cells = self._segment.cells(self._space)
        assert probes is not None
        found = cells.topk(queries, depth, probes=min(probes, cells.cells), threads=threads)
        return rank.SearchResult(np.where(found.ids >= 0, found.ids + self.first, -1), found.distances)


def _scanned_shard(
    snapshot: Snapshot, number: int, space: str, rows: Rows, first: int, wanted: NDArray[np.bool_]
) -> _Shard:
    """A shard that is searched by a scan: of its file, or of copies of the few rows that take part."""
    shard = _Shard(snapshot, number, space, rows, first, wanted)
    few = shard.n_rows < _SCANNED_SHARE * len(shard.ids)
    return shard if few or shard.n_rows == len(shard.ids) else _WholeShard(snapshot, number, space, rows, first, wanted)


def _missing(n_queries: int, k: int) -> rank.SearchResult:
    shape = (n_queries, k)
    return rank.SearchResult(np.full(shape, -1, np.int64), np.full(shape, np.inf, np.float32))
