"""Search for the k nearest *distinct items*, when an item has many rows; exact, save where only some cells are probed.

Each segment is searched by `jaxret.rank` for its nearest rows, the best row of each item is kept, and the
segments' results are merged. Where the rows of few items crowd the others out, the segment is searched
deeper, until no unseen row can belong to the answer. Rows are numbered through all segments; because rows lie
in the order of their items, (distance, row) of best rows orders items exactly as (distance, id) does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import jaxret.rank as rank
from jaxret.data.rows import Rows
from jaxret.index.search.joined_shards import KeptCells, joined_scans
from jaxret.index.search.shards import CelledShard, HashedShard, Shard, missing_results, scanned_shard, sent_shard
from jaxret.index.snapshot import Snapshot

__all__ = ["Gallery", "gallery_of"]

MAX_CELLS = 1 << 22
"""Results held at once for a segment: queries go in groups so that group x depth stays below this."""

_KEPT_GALLERIES = 8  # of the last filters


Way = Literal["scan", "hash tables", "cells"]
_SHARDS: dict[Way, Callable[..., Shard]] = {"scan": scanned_shard, "hash tables": HashedShard, "cells": CelledShard}


def gallery_of(
    snapshot: Snapshot,
    space: str,
    kinds: frozenset[str] | None,
    where: str | None,
    way: Way = "scan",
    device: str | None = None,
) -> Gallery:
    """The searchable rows of a space, prepared once for each choice of items and each way to search them.

    Raises:
      FilterError: `where` is malformed, or does not fit the columns.
    """
    key = (space, kinds, where, way, device)
    if key not in snapshot.galleries:
        make_shard = _SHARDS[way] if device is None else functools.partial(sent_shard, device)
        snapshot.galleries[key] = Gallery(snapshot, space, snapshot.passing(kinds, where), make_shard)
        filtered = [known for known in snapshot.galleries if known[2] is not None]
        if len(filtered) > _KEPT_GALLERIES:
            del snapshot.galleries[filtered[0]]
    return snapshot.galleries[key]


class Gallery:
    """The rows of one space over all segments of a snapshot, and which items may be found.

    Rows are numbered through all segments that have any, removed items' rows included.
    """

    def __init__(
        self, snapshot: Snapshot, space: str, wanted: Sequence[NDArray[np.bool_]], make_shard: Callable[..., Shard]
    ):
        """Prepare the rows of some items, see `Snapshot.passing`; `make_shard` as the constructor of `Shard`."""
        self._snapshot = snapshot
        self._shards: list[Shard] = []
        first = 0
        for number, rows in snapshot.segment_rows(space):
            self._shards.append(make_shard(snapshot, number, space, rows, first, wanted[number]))
            first += len(rows)
        self._searched = [shard for shard in self._shards if shard.n_items]
        celled = [shard for shard in self._shards if isinstance(shard, CelledShard)]
        if celled and self._searched and space in snapshot.centroids:
            self._searched = [KeptCells(snapshot, space, celled)]
        self._searched = joined_scans(snapshot, self._searched)
        self._n_items = sum(shard.n_items for shard in self._searched)

    @functools.cached_property
    def searchable(self) -> NDArray[np.bool_]:
        """bool (n,), the live items that may be found: those wanted that have rows."""
        searchable = np.zeros(len(self._snapshot.items), bool)
        for shard in self._searched:
            searchable[shard.found_ids] = True
        return searchable

    @functools.cached_property
    def _items_of_source(self) -> NDArray[np.int64]:
        """int64 (sources,), how many items that may be found each source has."""
        sources = self._snapshot.item_sources[self.searchable]
        return np.bincount(sources, minlength=max(1, len(self._snapshot.source_codes)))

    def split(
        self, row_numbers: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], Rows]]:
        """For each segment: which of the numbers lie in it, their local numbers, item ids, and its rows."""
        for shard in self._shards:
            inside = (row_numbers >= shard.first) & (row_numbers < shard.first + len(shard.rows))
            local = row_numbers[inside] - shard.first
            yield inside, local, shard.ids_of(local), shard.rows

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
        answer = missing_results(len(queries), k)
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
        results = [missing_results(len(queries), k) for _ in shards]
        last = [missing_results(len(queries), 1) for _ in shards]  # the last row seen, -1 once there are no more
        depths = [shard.first_depth(k) for shard in shards]
        pending = [np.flatnonzero(wanted > 0) for _ in shards]
        merged = missing_results(len(queries), k)
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
