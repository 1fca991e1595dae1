"""What a search returns, and how the results of several shards become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SearchResult:
    """The nearest gallery items of each query, nearest first.

    Attributes:
        ids: int64 (Q, k), row numbers in the gallery; -1 where a row has fewer than k results.
        distances: float32 (Q, k), ascending; inf where `ids` is -1. Equal distances are ordered by id, so a
            result does not depend on threads, blocks, shards or the instruction set.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float32]

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 (Q,): how many results each row really has."""
        return np.asarray((self.ids >= 0).sum(axis=1), np.int64)


@dataclass(frozen=True)
class ParResult(SearchResult):
    """A `SearchResult` that also gives the cosine to the query.

    Attributes:
        cosines: float32 (Q, k), in [-1, 1]; -inf where `ids` is -1.
    """

    cosines: NDArray[np.float32]


@dataclass(frozen=True)
class IndexedResult(SearchResult):
    """A `SearchResult` of an index that also says what it cost.

    Attributes:
        candidates: int64 (Q,), how many codes or vectors each query was compared with.
    """

    candidates: NDArray[np.int64]


@dataclass(frozen=True)
class RadiusResult:
    """All gallery items within a radius of each query: as many as there are, nearest first.

    `result[q]` is (ids, distances) of query q.

    Attributes:
        offsets: int64 (Q + 1,): the results of query q are `ids[offsets[q]:offsets[q + 1]]`.
        ids: int64 (M,), row numbers in the gallery.
        distances: float32 (M,), ascending within a query; equal distances are ordered by id.
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    distances: NDArray[np.float32]

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.offsets) - 1

    def __getitem__(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ids and the distances of one query; IndexError beyond the last."""
        query = range(len(self))[query]
        part = slice(self.offsets[query], self.offsets[query + 1])
        return self.ids[part], self.distances[part]

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 (Q,): how many results each query has."""
        return np.diff(self.offsets)


def merge_results(results: Sequence[SearchResult], k: int) -> SearchResult:
    """The k nearest over the results of several shards, by (distance, id).

    Args:
        results: at least one result, all with the same number of queries, whose ids are already global.
        k: width of the merged result; rows with fewer neighbours in all are filled with id -1, distance inf.

    Raises:
        ValueError: no results, differing query counts, or k below 1.

    >>> a = SearchResult(np.array([[0, 2]]), np.array([[0.5, 2.0]], np.float32))
    >>> b = SearchResult(np.array([[7, -1]]), np.array([[1.0, np.inf]], np.float32))
    >>> merge_results([a, b], 2).ids
    array([[0, 7]])
    """
    if not results:
        raise ValueError("results must hold at least one SearchResult, got none")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    rows = {len(result.ids) for result in results}
    if len(rows) > 1:
        raise ValueError(f"results must have the same number of queries, got {sorted(rows)}")
    ids = np.concatenate([result.ids for result in results], axis=1)
    distances = np.concatenate([result.distances for result in results], axis=1)
    # A missing neighbour sorts after a real one that is infinitely far.
    order = np.lexsort((np.where(ids < 0, np.iinfo(np.int64).max, ids), distances), axis=1)[:, :k]
    merged_ids = np.full((len(ids), k), -1, np.int64)
    merged_distances = np.full((len(ids), k), np.inf, np.float32)
    width = order.shape[1]
    merged_ids[:, :width] = np.take_along_axis(ids, order, axis=1)
    merged_distances[:, :width] = np.take_along_axis(distances, order, axis=1)
    return SearchResult(merged_ids, merged_distances)
