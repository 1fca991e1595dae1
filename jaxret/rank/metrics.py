"""The ways to rank vectors and codes by name: one table that indexes, evaluation and command lines read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from jaxret.rank.hamming import hamming_topk
from jaxret.rank.search_result import SearchResult, merge_results
from jaxret.rank.topk import cosine_topk, cosine_topk_in_parts, euclidean_topk, euclidean_topk_in_parts

__all__ = ["METRICS", "RankingMetric", "metrics_of"]


class TopK(Protocol):
    """An exact search by one metric."""

    def __call__(
        self, queries: NDArray[Any], gallery: NDArray[Any], k: int, /, *, threads: int | None = None
    ) -> SearchResult:
        """The k gallery rows nearest to each query.

        Args:
            queries: (Q, D) float32, or codes (Q, bytes) uint8.
            gallery: (N, D) of any float dtype, or codes; maybe memory-mapped. What it holds is not checked before: a
                row that is not finite is refused with a ValueError whose message begins with "gallery".
            k: in [1, N].
            threads: None lets the search choose.

        Returns:
            ids int64 (Q, k) and distances float32 (Q, k), ordered by (distance, id).
        """


class TopKInParts(Protocol):
    """A `TopK` of a gallery in several arrays."""

    def __call__(
        self, queries: NDArray[Any], parts: Sequence[NDArray[Any]], k: int, /, *, threads: int | None = None
    ) -> SearchResult:
        """As `TopK`; rows are numbered through all parts, which are not empty."""


@dataclass(frozen=True)
class RankingMetric:
    """One way to rank.

    Attributes:
        topk: the search.
        dtype: of what it compares: "float32" for vectors, "uint8" for packed codes.
        label: what its distances are called in tables.
        whole: whether distances are whole numbers, so that many rows tie: their figures are averaged over the orders
            of ties, and they are printed without decimals.
        topk_in_parts: the same search of a gallery in several arrays, as `topk_of_parts`; None: it is made of `topk`.
    """

    topk: TopK
    dtype: Literal["float32", "uint8"]
    label: str = "distance"
    whole: bool = False
    topk_in_parts: TopKInParts | None = None

    def topk_of_parts(
        self, queries: NDArray[Any], parts: Sequence[NDArray[Any]], k: int, *, threads: int | None = None
    ) -> SearchResult:
        """The k nearest rows of a gallery that comes in several arrays, numbered through all of them; see `TopK`."""
        if self.topk_in_parts is not None:
            return self.topk_in_parts(queries, parts, k, threads=threads)
        found, first = [], 0
        for part in parts:
            near = self.topk(queries, part, min(k, len(part)), threads=threads)
            found.append(SearchResult(near.ids + first, near.distances))
            first += len(part)
        return merge_results(found, k)


METRICS: dict[str, RankingMetric] = {
    "euclidean": RankingMetric(euclidean_topk, "float32", topk_in_parts=euclidean_topk_in_parts),
    "cosine": RankingMetric(cosine_topk, "float32", topk_in_parts=cosine_topk_in_parts),
    "hamming": RankingMetric(hamming_topk, "uint8", "bits", whole=True),
}
"""Name -> metric, the default of each dtype first. A program can add its own: indexes and evaluation then rank by it.

>>> METRICS["hamming"].label
'bits'
"""


def metrics_of(dtype: str) -> tuple[str, ...]:
    """The names of the metrics that compare rows of a dtype, "float32" or "uint8"; the default first."""
    return tuple(name for name, metric in METRICS.items() if metric.dtype == dtype)
