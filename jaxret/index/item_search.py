"""Exact search for the k nearest *distinct items*, when an item has many rows.

Each segment is searched by `jaxret.rank` for its nearest rows, the best row of each item is kept, and the
segments' results are merged. Where the rows of few items crowd the others out, the segment is searched
deeper, until no unseen row can belong to the answer. Rows are numbered through all segments; because rows
lie in the order of their items, (distance, row) of best rows orders items exactly as (distance, id) does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import jaxret.rank as rank
from jaxret.errors import IndexFormatError
from jaxret.index.segment import SegmentRows
from jaxret.index.snapshot import BLOCK_ROWS, Snapshot

__all__ = ["GalleryRows", "nearest_items"]

MAX_CELLS = 1 << 22
"""Results held at once for a segment: queries go in groups so that group x depth stays below this."""


@dataclasses.dataclass(frozen=True)
class GalleryRows:
    """The rows of one space over all segments of a snapshot, as numbered here.

    Attributes:
      parts: for each segment with rows: (segment number, its rows, number of its first row).
      n_rows: rows in all, removed items' included.
    """

    parts: tuple[tuple[int, SegmentRows, int], ...]
    n_rows: int

    @classmethod
    def of(cls, snapshot: Snapshot, space: str) -> GalleryRows:
        """Number the rows of a space."""
        parts, first = [], 0
        for number, rows in snapshot.segment_rows(space):
            parts.append((number, rows, first))
            first += len(rows.items)
        return cls(tuple(parts), first)

    def split(
        self, row_ids: NDArray[np.int64]
    ) -> Iterator[tuple[int, SegmentRows, NDArray[np.bool_], NDArray[np.int64]]]:
        """For each segment: number, rows, which of `row_ids` (any shape) lie in it, their local numbers."""
        for number, rows, first in self.parts:
            inside = (row_ids >= first) & (row_ids < first + len(rows.items))
            yield number, rows, inside, row_ids[inside] - first


def nearest_items(
    snapshot: Snapshot,
    gallery: GalleryRows,
    queries: NDArray[np.float32],
    k: int,
    metric: str,
    allowed: NDArray[np.bool_],
    excluded_sources: NDArray[np.int64] | None,
    threads: int | None,
) -> rank.SearchResult:
    """The best row of each of the k nearest allowed items.

    Args:
      snapshot, gallery: what is searched.
      queries: float32 (Q, D), finite.
      k: items a query, at least 1.
      metric: "euclidean" or "cosine".
      allowed: bool (n,), the items that may be found; each has rows.
      excluded_sources: int64 (Q,), the number of the source that a query leaves out, or -1; None for none
        at all.
      threads: passed on.

    Returns:
      `SearchResult` whose ids are row numbers of `gallery`, one row an item, padded with -1.

    Raises:
      IndexFormatError: stored rows are not finite.
    """
    n_allowed = int(allowed.sum())
    possible = np.full(len(queries), n_allowed)
    if excluded_sources is not None and n_allowed:
        per_source = np.bincount(snapshot.item_sources[allowed], minlength=len(snapshot.source_codes))
        possible -= np.where(excluded_sources >= 0, per_source[excluded_sources], 0)
    shards = [
        shard
        for number, rows, first in gallery.parts
        if (shard := _Shard(snapshot, number, rows, first, metric, allowed, threads)).n_rows
    ]
    answer = _missing(len(queries), k)
    width = max(1, min(k, n_allowed))
    if not shards:
        return answer
    group = max(1, MAX_CELLS // max(shard.first_depth(width) for shard in shards))
    for start in range(0, len(queries), group):
        block = slice(start, start + group)
        sources = None if excluded_sources is None else excluded_sources[block]
        found = _search_group(shards, queries[block], width, np.minimum(possible[block], width), sources)
        answer.ids[block, :width] = found.ids
        answer.distances[block, :width] = found.distances
    return answer


def _search_group(
    shards: list[_Shard],
    queries: NDArray[np.float32],
    k: int,
    wanted: NDArray[np.int64],
    sources: NDArray[np.int64] | None,
) -> rank.SearchResult:
    """Search every shard, then deeper where an unseen row could still come before a query's last result."""
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
                rows = shard.nearest_rows(queries[some], depth)
                best = shard.best_rows(rows, k, None if sources is None else sources[some])
                result.ids[some], result.distances[some] = best.ids, best.distances
                more = depth < shard.n_rows
                seen.ids[some, 0] = rows.ids[:, -1] if more else -1
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
    """The searchable rows of one segment."""

    def __init__(
        self,
        snapshot: Snapshot,
        number: int,
        rows: SegmentRows,
        first: int,
        metric: str,
        allowed: NDArray[np.bool_],
        threads: int | None,
    ):
        self._rows, self._first, self._metric, self._threads = rows, first, metric, threads
        self._ids = snapshot.positions[number][rows.items]
        self._item_sources = snapshot.item_sources
        open_to_search = (self._ids >= 0) & allowed[self._ids]
        # None: all rows take part, and the mapped file is searched as it lies.
        self._chosen = None if open_to_search.all() else np.flatnonzero(open_to_search)
        self.n_rows = len(self._ids) if self._chosen is None else len(self._chosen)
        self._n_items = len(np.unique(self._ids[open_to_search]))

    def first_depth(self, k: int) -> int:
        """Rows to look at first: enough for k items where rows of one item do not crowd too much."""
        if k >= self._n_items:
            return max(1, self.n_rows)
        return min(self.n_rows, k if self.n_rows == self._n_items else 2 * k + 16)

    def nearest_rows(self, queries: NDArray[np.float32], depth: int) -> rank.SearchResult:
        """The `depth` nearest rows by (distance, row number), depth at most n_rows."""
        if self._chosen is None:
            found = self._topk(queries, self._rows.vectors, depth)
            return rank.SearchResult(found.ids + self._first, found.distances)
        parts: list[rank.SearchResult] = []
        for start in range(0, self.n_rows, BLOCK_ROWS):
            numbers = self._chosen[start : start + BLOCK_ROWS]
            block = self._rows.vectors[numbers]
            found = self._topk(queries, block, min(depth, len(block)))
            parts.append(rank.SearchResult(numbers[found.ids] + self._first, found.distances))
            # Merging seldom keeps the cost linear in the blocks, and the memory within a few times the
            # answer.
            if sum(part.ids.shape[1] for part in parts) > 8 * depth:
                parts = [rank.merge_results(parts, depth)]
        return rank.merge_results(parts, depth)

    def best_rows(
        self, rows: rank.SearchResult, k: int, excluded: NDArray[np.int64] | None
    ) -> rank.SearchResult:
        """The first row of each distinct item in a ranking of rows, up to k of them, padded."""
        items = self._ids[rows.ids - self._first]  # (Q, depth)
        order = np.argsort(items, axis=1, kind="stable")
        in_order = np.take_along_axis(items, order, axis=1)
        new = np.ones(items.shape, bool)
        new[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
        keep = np.zeros(items.shape, bool)
        np.put_along_axis(keep, order, new, axis=1)
        if excluded is not None:
            keep &= self._item_sources[items] != excluded[:, None]
        packed = np.argsort(~keep, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(keep, packed, axis=1)
        best = _missing(len(items), k)
        n = packed.shape[1]
        best.ids[:, :n] = np.where(kept, np.take_along_axis(rows.ids, packed, axis=1), -1)
        best.distances[:, :n] = np.where(kept, np.take_along_axis(rows.distances, packed, axis=1), np.inf)
        return best

    def _topk(self, queries: NDArray[np.float32], gallery: NDArray[Any], depth: int) -> rank.SearchResult:
        search = rank.euclidean_topk if self._metric == "euclidean" else rank.cosine_topk
        try:
            return search(queries, gallery, depth, threads=self._threads)
        except ValueError as error:
            if not str(error).startswith("gallery"):
                raise
            # What was read from disk is refused.
            raise IndexFormatError(f"{self._rows.file}: {error}; `verify()` checks all") from error


def _missing(n_queries: int, k: int) -> rank.SearchResult:
    shape = (n_queries, k)
    return rank.SearchResult(np.full(shape, -1, np.int64), np.full(shape, np.inf, np.float32))
