"""Sizes of a Faster R-CNN: anchors, proposals and layers."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from jaxret.errors import ConfigError
from jaxret.models.base import check_sizes

__all__ = ["DetectorSettings", "window_shares"]

_SIDES = (1.0, 2 / 3, 1 / 2, 1 / 3)


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
      windows: search keeps windows that slide over an image (`window_shares`) in place of its proposals.

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
    windows: bool = False

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

    @property
    def regions(self) -> int:
        """P, regions of an image that search keeps, at most."""
        return len(window_shares()) if self.windows else self.proposals

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values; `windows`, which came later, where it is set, so that older ones keep their
        fingerprint."""
        settings = {
            **dataclasses.asdict(self),
            "anchor_sizes": list(self.anchor_sizes),
            "anchor_aspects": list(self.anchor_aspects),
        }
        if not self.windows:
            del settings["windows"]
        return settings

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
          ConfigError: a setting is missing, unknown or out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if odd := sorted((set(settings) ^ known) - {"windows"}):
            raise ConfigError(f"the detector has missing or unknown settings: {', '.join(odd)}")
        return cls(**settings)


@functools.cache
def window_shares() -> tuple[tuple[float, float, float, float], ...]:
    """Windows of four heights and widths that slide by half their sides: left, top, right, bottom in shares.

    Example:
      >>> len(window_shares()), window_shares()[0]
      (121, (0.0, 0.0, 1.0, 1.0))
    """
    spans = [
        (start, start + side)
        for side in _SIDES
        for start in np.linspace(0, 1 - side, 1 + round((1 - side) / (side / 2))).tolist()
    ]
    return tuple((left, top, right, bottom) for top, bottom in spans for left, right in spans)
