"""How a ranking is made from vectors: which distance, how deep, and PAR's threshold."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from jaxret.errors import ConfigError

__all__ = ["Distance", "Ranking"]

Distance = Literal["euclidean", "cosine", "par", "hamming"]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A ranking rule.

    Attributes:
      distance: `euclidean`, `cosine` (1 - cosine similarity), `hamming` (bits that differ, for packed codes), or `par`,
        proximal-affinity re-ranking: the `depth` nearest by Euclidean distance, those whose cosine similarity
        exceeds `min_cosine`.
      min_cosine: PAR's threshold; needed by `par`, refused by the others.
      depth: results kept; None for all (PAR then filters the whole gallery).

    Raises:
      ConfigError: an unknown distance, or a threshold where there should be none (or the reverse).
    """

    distance: Distance = "euclidean"
    min_cosine: float | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        if self.distance not in get_args(Distance):
            raise ConfigError(f"distance must be one of {', '.join(get_args(Distance))}, got {self.distance!r}")
        if (self.min_cosine is not None) != (self.distance == "par"):
            raise ConfigError(f"min_cosine is for par alone, got {self.min_cosine} for {self.distance}")
        if self.depth is not None and self.depth < 1:
            raise ConfigError(f"depth must be at least 1 or none, got {self.depth}")
