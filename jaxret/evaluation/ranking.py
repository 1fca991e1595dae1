"""How a ranking is made from vectors: which distance, how deep, and PAR's threshold."""

from __future__ import annotations

import dataclasses

from jaxret.errors import ConfigError
from jaxret.rank import METRICS

__all__ = ["Ranking"]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A ranking rule.

    Attributes:
      distance: a name in `jaxret.rank.METRICS`: `euclidean`, `cosine` (1 - cosine similarity), or `hamming` (bits that
        differ) for packed codes.
      min_cosine: the threshold of proximal-affinity re-ranking (PAR), which goes with the Euclidean distance: of the
        `depth` nearest, those are kept whose cosine similarity exceeds it. None: no PAR.
      depth: results kept; None for all (PAR then filters the whole gallery).

    Raises:
      ConfigError: an unknown distance, a threshold for another one than the Euclidean, or a depth below 1.
    """

    distance: str = "euclidean"
    min_cosine: float | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        if self.distance not in METRICS:
            raise ConfigError(f"distance must be one of {', '.join(METRICS)}, got {self.distance!r}")
        if self.min_cosine is not None and self.distance != "euclidean":
            raise ConfigError(f"min_cosine is for euclidean alone, got {self.min_cosine} for {self.distance}")
        if self.depth is not None and self.depth < 1:
            raise ConfigError(f"depth must be at least 1 or none, got {self.depth}")
