"""What a search of an index looks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from numpy.typing import ArrayLike

from jaxret.index.search.search_options import SearchOptions

__all__ = ["SearchRequest"]


@dataclasses.dataclass(frozen=True, eq=False)
class SearchRequest:
    """The arguments of `MediaIndex.search`, on their way through the parts of an index.

    Attributes:
      space, vectors, k, options, where, exclude_sources, threads: as there.
      kinds: those that are found, None for all.
    """

    space: str
    vectors: ArrayLike
    k: int
    options: SearchOptions
    kinds: frozenset[str] | None
    where: str | None
    exclude_sources: Sequence[str | None] | None
    threads: int | None
