"""Sizes of a Faster R-CNN: anchors, proposals and layers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

from jaxret.errors import ConfigError
from jaxret.models.base import check_sizes

__all__ = ["DetectorSettings"]


@dataclasses.dataclass(frozen=True)
class DetectorSettings:
    """What a detector is made of, beside its backbone.

    Attributes:
      anchor_sizes: square roots of the areas of anchors, in pixels of the encoded image. The paper's are 128, 256
        and 512 on images whose shorter side is 600; ours fit images of about half that.
      anchor_aspects: their widths divided by their heights.
      proposer_channels: of the convolution of the region proposal network.
      head_units: of the dense layers of the head.
      region_grid: rows and columns that a region is pooled to.
      proposals: P, of an image, after suppression.
      proposals_before: boxes of the highest scores that suppression looks at.
      proposal_overlap: IoU above which a proposal is suppressed by a better one.
      least_side: proposals that are narrower or lower than this many pixels are dropped.

    Raises:
      ConfigError: a value is out of range.

    Example:
      >>> DetectorSettings().anchors_at_a_cell
      12
    """

    anchor_sizes: tuple[float, ...] = (32, 64, 128, 256)
    anchor_aspects: tuple[float, ...] = (0.5, 1, 2)
    proposer_channels: int = 256
    head_units: int = 256
    region_grid: int = 7
    proposals: int = 100
    proposals_before: int = 1000
    proposal_overlap: float = 0.7
    least_side: float = 8

    def __post_init__(self) -> None:
        for name in ("anchor_sizes", "anchor_aspects"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)  # JSON has no tuples
            if not values or not all(0 < value < math.inf for value in values):
                raise ConfigError(f"{name} must be numbers above 0, got {values!r}")
        names = ("proposer_channels", "head_units", "region_grid", "proposals", "proposals_before")
        check_sizes(**{name: getattr(self, name) for name in names})
        if not 0 <= self.proposal_overlap <= 1:
            raise ConfigError(f"proposal_overlap must be an IoU in 0..1, got {self.proposal_overlap!r}")
        if not 0 < self.least_side < math.inf:
            raise ConfigError(f"least_side must be a number of pixels above 0, got {self.least_side!r}")
        if self.proposals_before < self.proposals:
            raise ConfigError(
                f"proposals_before must be at least proposals, {self.proposals}, got {self.proposals_before}"
            )

    @property
    def anchors_at_a_cell(self) -> int:
        """A, of every cell of the map."""
        return len(self.anchor_sizes) * len(self.anchor_aspects)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {
            **dataclasses.asdict(self),
            "anchor_sizes": list(self.anchor_sizes),
            "anchor_aspects": list(self.anchor_aspects),
        }

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
          ConfigError: a setting is missing, unknown or out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if odd := sorted(set(settings) ^ known):
            raise ConfigError(f"the detector has missing or unknown settings: {', '.join(odd)}")
        return cls(**settings)
