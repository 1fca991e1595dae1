"""What a search of a media index returns: items, and where in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jaxret.data.items import MediaItem
from jaxret.rank import SearchResult

__all__ = ["MediaSearchResult"]


@dataclasses.dataclass(frozen=True)
class MediaSearchResult(SearchResult):
    """Up to k distinct items a query, nearest first, each at its best row; ties go to the smaller id.

    Attributes:
      ids: int64 (Q, k), positions in `MediaIndex.items` at the time of the search; -1 for a missing result.
      distances: float32 (Q, k), of each item's best row; inf where missing.
      starts, ends: float64 (Q, k), the span of that row in seconds; NaN where missing.
      cosines: float32 (Q, k), -inf where missing; None without PAR.
      found: the items that occur in `ids`, by id.
    """

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    cosines: NDArray[np.float32] | None
    found: Mapping[int, MediaItem]
