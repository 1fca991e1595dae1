"""The Manhattan distance as a ranking metric, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.rank import METRICS, RankingMetric, SearchResult


def manhattan_topk(
    queries: NDArray[Any], gallery: NDArray[Any], k: int, /, *, threads: int | None = None
) -> SearchResult:
    """The k gallery rows nearest to each query by the sum of absolute differences, ordered by (distance, id).

    Args:
      queries: (Q, D) float32.
      gallery: (N, D) float.
      k: in 1..N.
      threads: not used.
    """
    distances = np.stack([np.abs(gallery - query).sum(axis=1, dtype=np.float32) for query in queries])  # (Q, N)
    ids = np.argsort(distances, axis=1, kind="stable")[:, :k]  # stable: equal distances in order of id
    return SearchResult(ids.astype(np.int64), np.take_along_axis(distances, ids, axis=1))


METRICS["manhattan"] = RankingMetric(manhattan_topk, "float32")
