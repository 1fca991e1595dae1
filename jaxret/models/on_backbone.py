"""What the settings of all encoders on a backbone share, and the parts that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flax import nnx

from jaxret.models.origin import origin_in, with_origin
from jaxret.models.registry import create_backbone
from jaxret.preprocessing import Preprocessing

__all__ = ["config_on_backbone", "parts_on_backbone"]


def config_on_backbone(encoder: Any, **own: Any) -> dict[str, Any]:
    """JSON-able settings of an encoder: its kind, backbone, preprocessing and the origin of its weights, where known.

    Args:
      encoder: has these as attributes.
      own: further settings of its kind.
    """
    shared = {"backbone": encoder.backbone.config, "preprocessing": encoder.preprocessing.to_json()}
    return with_origin({"kind": encoder.kind, **shared, **own}, encoder.origin)


def parts_on_backbone(config: Mapping[str, Any], rngs: nnx.Rngs) -> dict[str, Any]:
    """The arguments `backbone`, with random weights, `preprocessing` and `origin` of an encoder with such settings."""
    return {
        "backbone": create_backbone(**config["backbone"], rngs=rngs),
        "preprocessing": Preprocessing.from_json(config["preprocessing"]),
        "origin": origin_in(config),
    }
