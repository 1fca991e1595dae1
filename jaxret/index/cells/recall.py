"""What a search of some cells finds of the exact answer, measured on an index's own rows."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jaxret.index.search.media_search import rank_media
from jaxret.index.search.request import SearchRequest
from jaxret.index.search.search_options import SearchOptions
from jaxret.index.snapshot import Snapshot
from jaxret.index.space import Space
from jaxret.rank import euclidean_topk
from jaxret.rank.validation import FloatMatrix, check_count, check_seed, to_float32

__all__ = ["ProbeRecall", "measure_recall"]

_TIMED = 8
"""Queries that are searched one at a time, for the time that one takes."""


@dataclasses.dataclass(frozen=True)
class ProbeRecall:
    """What a search with some probes costs and finds.

    Attributes:
      probes: cells looked into; None for the exact search.
      recall: share of the exact k nearest items that are found, 0 .. 1, the mean over the queries.
      share: of all rows that are compared, 0 .. 1, the mean over the queries.
      seconds: median time of a search with one query.
    """

    probes: int | None
    recall: float
    share: float
    seconds: float


def measure_recall(
    now: Snapshot, space: Space, probes: Sequence[int], k: int, queries: int, seed: int
) -> list[ProbeRecall]:
    """Search with rows of the index for their nearest other items, in some cells and exactly.

    Args:
      now: the index; the space has centroids.
      space: of vectors.
      probes: each at least 1; above the number of cells means all.
      k: neighbours that are looked for, without the query's own item.
      queries: rows to search with, drawn without replacement; all where there are fewer.
      seed: of the draw.

    Returns:
      The exact search, then one for each of `probes`.
    """
    vectors, own = _drawn_rows(now, space.name, check_count(queries, "queries"), check_seed(seed))
    check_count(k, "k")

    def found_with(wanted: int | None) -> tuple[list[set[int]], float]:
        options = SearchOptions(probes=wanted, metric="euclidean")

        def search(some: FloatMatrix) -> NDArray[np.int64]:
            return rank_media(now, space, SearchRequest(space.name, some, k + 1, options, None, None, None, None)).ids

        ranked = zip(search(vectors).tolist(), own, strict=True)
        found = [set([other for other in ids if other not in (item, -1)][:k]) for ids, item in ranked]
        times = []
        for query in vectors[:_TIMED]:
            start = time.perf_counter()
            search(query[None])
            times.append(time.perf_counter() - start)
        return found, float(np.median(times))

    exact, seconds = found_with(None)
    measured = [ProbeRecall(None, 1.0, 1.0, seconds)]
    for wanted in probes:
        found, seconds = found_with(wanted)
        hits = [len(near & all_near) / len(all_near) for near, all_near in zip(found, exact, strict=True) if all_near]
        recall = float(np.mean(hits)) if hits else 1.0
        measured.append(ProbeRecall(wanted, recall, _share(now, space.name, vectors, wanted), seconds))
    return measured


def _drawn_rows(now: Snapshot, space: str, count: int, seed: int) -> tuple[FloatMatrix, list[int]]:
    """A row of each of some items, float32 (Q, D), and the ids of the items."""
    rng = np.random.default_rng(seed)
    ids = np.flatnonzero(now.rows_per_item(space))
    if not len(ids):
        raise ValueError(f"space {space!r} has no vectors to search with")
    ids = np.sort(rng.choice(ids, min(len(ids), count), replace=False))
    blocks = list(now.rows_of_items(space, ids))
    items = np.concatenate([np.zeros(0, np.int64), *(block.items for block in blocks)])
    order = rng.permutation(len(items))
    own, places = np.unique(items[order], return_index=True)
    vectors = np.concatenate([to_float32(block.vectors) for block in blocks])[order[places]]
    return vectors, own.tolist()


def _share(now: Snapshot, space: str, vectors: FloatMatrix, probes: int) -> float:
    """The mean share of a space's rows that lie in the cells nearest to each vector."""
    centroids = now.centroids[space]
    sizes = np.zeros(len(centroids), np.int64)
    for number, _ in now.segment_rows(space):
        sizes += now.cells(number, space).cell_sizes()
    probed = euclidean_topk(vectors, centroids, min(probes, len(centroids))).ids
    return float(sizes[probed].sum(axis=1).mean() / sizes.sum())
