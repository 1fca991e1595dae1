"""Where the weights of a backbone come from, as encoders note it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["WeightsOrigin", "origin_in", "with_origin"]

_NAME = "weights"  # of it, in settings


@dataclasses.dataclass(frozen=True)
class WeightsOrigin:
    """Where the weights of a backbone come from; it is written into encoders and the manifests of their indices.

    Attributes:
      family: of published encoders, such as "dinov2", or the name of the backbone.
      sha256: of the weights' files, in hex.
    """

    family: str
    sha256: str


def with_origin(config: dict[str, Any], origin: WeightsOrigin | None) -> dict[str, Any]:
    """The settings of an encoder with the origin of its weights; left out where it is not known, so that what was
    written before it keeps its fingerprint."""
    return config if origin is None else {**config, _NAME: dataclasses.asdict(origin)}


def origin_in(config: Mapping[str, Any]) -> WeightsOrigin | None:
    """The origin that settings tell; None where they tell none."""
    return WeightsOrigin(**config[_NAME]) if _NAME in config else None
