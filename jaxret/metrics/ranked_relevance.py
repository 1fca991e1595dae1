"""What a metric is computed from, and what it gives back."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

__all__ = ["QueryScores", "RankedRelevance"]


@dataclasses.dataclass(frozen=True)
class QueryScores:
    """One score a query, and which queries count.

    A query without any relevant item in the gallery has no recall and no average precision. One rule holds
    for every metric, so that all figures of a table are over the same queries: such a query is left out of
    the mean, and `excluded` says how many were.

    Attributes:
      values: float64 (Q,); 0 where the query does not count. Never NaN.
      counted: bool (Q,).
    """

    values: NDArray[np.float64]
    counted: NDArray[np.bool_]

    @property
    def excluded(self) -> int:
        """How many queries are left out of the mean."""
        return int((~self.counted).sum())

    @property
    def mean(self) -> float:
        """Mean over the queries that count; ValueError where none does."""
        if not self.counted.any():
            raise ValueError(f"none of the {len(self.counted)} queries counts: there is nothing to average")
        return float(self.values[self.counted].mean())


@dataclasses.dataclass(frozen=True)
class RankedRelevance:
    """Ranked results of Q queries with junk removed, rows packed to the left.

    Attributes:
      gains: float64 (Q, k), 0 for an item that is not relevant, 1 (or its grade, above 0) for one that is;
        0 where nothing is returned.
      returned: bool (Q, k), True for the first `n_returned` columns of each row.
      n_relevant: int64 (Q,), relevant items in the gallery, junk removed, returned or not.
      n_gallery: int64 (Q,), items in the gallery, junk removed.
      ideal_gains: float64 (Q, m), all gains above 0 in the gallery, greatest first, then 0; None where no
        grade differs from 1, so that the ideal is `n_relevant` ones.
      cut: bool (Q,), True where the ranking goes on after the last result. A row that
        had room left (id -1) ended by itself: the gallery was exhausted, or PAR turned the rest away.
      distances: float64 (Q, k), inf where nothing is returned; None where not given.
    """

    gains: NDArray[np.float64]
    returned: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]
    n_gallery: NDArray[np.int64]
    ideal_gains: NDArray[np.float64] | None
    cut: NDArray[np.bool_]
    distances: NDArray[np.float64] | None = None

    @property
    def n_returned(self) -> NDArray[np.int64]:
        """Results of each query after junk removal, int64 (Q,)."""
        return self.returned.sum(axis=1)

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """True where a relevant item is returned, bool (Q, k)."""
        return self.gains > 0

    @property
    def counted(self) -> NDArray[np.bool_]:
        """True for queries that have relevant items in the gallery, bool (Q,)."""
        return self.n_relevant > 0

    @property
    def complete(self) -> bool:
        """Whether every list ranks the whole gallery of its query."""
        return bool((self.n_returned == self.n_gallery).all())

    @property
    def empty_share(self) -> float:
        """Share of all queries whose answer is empty, 0 to 1 (0 for no queries)."""
        return float((self.n_returned == 0).mean()) if len(self.returned) else 0.0

    def require_complete(self, metric: str) -> None:
        """ValueError unless every list ranks its whole gallery."""
        short = np.flatnonzero(self.n_returned != self.n_gallery)
        if len(short):
            q = int(short[0])
            raise ValueError(
                f"{metric} needs the ranking of the whole gallery, but query {q} returned "
                f"{self.n_returned[q]} of {self.n_gallery[q]} items ({len(short)} of {len(self.returned)} "
                f"queries are short): search with k = gallery size, or take the metric at a cut-off"
            )

    def require_depth(self, k: int, metric: str) -> None:
        """ValueError if k < 1 or if a list was cut before its k-th result."""
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
        short = np.flatnonzero(self.cut & (self.n_returned < np.minimum(k, self.n_gallery)))
        if len(short):
            q = int(short[0])
            raise ValueError(
                f"{metric} needs {k} results a query, but the list of query {q} was cut after "
                f"{self.n_returned[q]} (junk removed): search with a larger k or without the junk"
            )
