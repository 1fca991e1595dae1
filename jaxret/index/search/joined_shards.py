"""Several segments searched as one, so that a query is prepared, and its results are put in order, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import jaxret.rank as rank
from jaxret.errors import IndexFormatError
from jaxret.index.search.shards import CelledShard, Shard, WholeShard
from jaxret.index.snapshot import Snapshot

__all__ = ["JoinedScan", "KeptCells", "joined_scans"]


class JoinedShards(WholeShard):
    """Shards all of whose rows are searched, those that take no part among them, as one.

    Args:
      snapshot: that they are of.
      shards: at least one, in order.

    Attributes:
      first: 0: rows have the numbers that they have in the whole index.
      n_rows, n_items: as of a shard whose rows are those of all.
    """

    def __init__(self, snapshot: Snapshot, shards: Sequence[Shard]):
        self.first = 0
        self._shards, self._snapshot = shards, snapshot
        self._firsts = np.array([shard.first for shard in shards], np.int64)
        self.n_rows = sum(len(shard.rows) for shard in shards)
        self.n_items = sum(shard.n_items for shard in shards)
        self.n_wanted = sum(shard.n_wanted for shard in shards)

    @property
    def found_ids(self) -> NDArray[np.int64]:
        """The ids of the items that take part, ascending."""
        return np.concatenate([shard.found_ids for shard in self._shards])

    def ids_of(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        """The item ids of some rows, -1 where they take no part."""
        places = np.searchsorted(self._firsts, local, side="right") - 1
        ids = np.empty_like(local)
        for place in np.unique(places).tolist():
            inside = places == place
            ids[inside] = self._shards[place].ids_of(local[inside] - self._firsts[place])
        return ids


class JoinedScan(JoinedShards):
    """Segments whose files are scanned one after the other, each with what the ones before have found."""

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows by (distance, row number), those that take no part among them."""
        parts = [shard.rows.vectors for shard in self._shards]
        try:
            found = rank.METRICS[metric].topk_of_parts(queries, parts, depth, threads=threads)
        except ValueError:
            for shard in self._shards:  # the one that is damaged names its file
                shard.nearest_rows(queries, 1, metric, threads, probes)
            raise
        numbers = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        places = np.searchsorted(numbers, found.ids, side="right") - 1
        return rank.SearchResult(found.ids - numbers[places] + self._firsts[places], found.distances)


class KeptCells(JoinedShards):
    """All segments whose cells are kept on disk: a query is compared with the centroids once."""

    def __init__(self, snapshot: Snapshot, space: str, shards: Sequence[CelledShard]):
        super().__init__(snapshot, shards)
        self._cells = rank.CentroidIndex.joined([snapshot.cells(shard.number, space) for shard in shards])

    def nearest_rows(
        self, queries: NDArray[Any], depth: int, metric: str, threads: int | None, probes: int | None
    ) -> rank.SearchResult:
        """The `depth` nearest rows of the `probes` nearest cells, those that take no part among them."""
        assert probes is not None
        found = self._cells.topk(queries, depth, probes=min(probes, self._cells.cells), threads=threads)
        if found.ids.size and not -1 <= found.ids.min() <= found.ids.max() < self.n_rows:
            raise IndexFormatError(
                f"{self._snapshot.root}: cells name rows that the index does not have; `verify()` checks all"
            )
        return found


def joined_scans(snapshot: Snapshot, shards: Sequence[Shard]) -> list[Shard]:
    """The shards, those that are scans of whole files as one; few rows that were chosen are searched by themselves."""
    whole = [shard for shard in shards if shard.scans_whole_file]
    if len(whole) < 2:
        return list(shards)
    return [JoinedScan(snapshot, whole), *(shard for shard in shards if not shard.scans_whole_file)]
