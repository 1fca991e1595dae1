"""What a search of a media index returns: items, and where in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jaxret.data.items import MediaItem
from jaxret.rank import SearchResult

__all__ = ["Hit", "MediaSearchResult"]


@dataclasses.dataclass(frozen=True)
class Hit:
    """One result of one query.

    Attributes:
      item: what was found.
      distance: of its best row.
      start, end: the span of that row in seconds; 0 and 0 for an image, equal for a single frame.
      cosine: of that row to the query; None unless PAR was asked for.
    """

    item: MediaItem
    distance: float
    start: float
    end: float
    cosine: float | None = None


@dataclasses.dataclass(frozen=True)
class MediaSearchResult(SearchResult):
    """Up to k distinct items a query, nearest first, each at its best row; ties go to the smaller id.

    Attributes:
      ids: int64 (Q, k), positions in `MediaIndex.items` at the time of the search; -1 for a missing result.
      distances: float32 (Q, k), of each item's best row; inf where missing.
      starts, ends: float64 (Q, k), the span of that row in seconds; NaN where missing.
      cosines: float32 (Q, k), -inf where missing; None unless PAR was asked for.
      found: the items that occur in `ids`, by id.
    """

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    cosines: NDArray[np.float32] | None
    found: Mapping[int, MediaItem]

    def hits(self, query: int = 0) -> list[Hit]:
        """The results of one query, nearest first; IndexError where there is no such query."""
        row = self.ids[query]
        return [
            Hit(
                self.found[int(row[i])],
                float(self.distances[query, i]),
                float(self.starts[query, i]),
                float(self.ends[query, i]),
                None if self.cosines is None else float(self.cosines[query, i]),
            )
            for i in np.flatnonzero(row >= 0)
        ]
