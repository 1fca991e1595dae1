"""Another backbone, its vectors scaled to length 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from flax import nnx

from jaxret.models.base import Backbone, Encoding
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.registry import create_backbone, register_backbone

__all__ = ["UnitLengthBackbone"]


@register_backbone()
class UnitLengthBackbone(Backbone):
    """A backbone of frames or of chunks, whose vectors are compared by their direction alone.

    Args:
      backbone: what comes before.

    Attributes:
      stage_names: the backbone's.
    """

    name: ClassVar[str] = "unit-length"
    normalisation: ClassVar[dict[str, Any]] = {}  # the backbone has its own

    def __init__(self, backbone: Backbone):
        self.backbone = backbone
        self.unit = backbone.unit
        self.channels = backbone.channels
        self.embedding_size = backbone.embedding_size
        self.stage_names = backbone.stage_names
        self.dtype = backbone.dtype

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.backbone.summary}, of length 1"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {"name": self.name, "backbone": self.backbone.config}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `Backbone.from_config`."""
        return cls(create_backbone(**config["backbone"], rngs=rngs))

    @property
    def packing(self) -> tuple[int, int] | None:
        """See `Backbone.packing`."""
        return self.backbone.packing

    def __call__(self, images: Any) -> Encoding:
        """What the backbone takes, to vectors (B, D) of length 1 (zeros stay zeros), and the stages."""
        encoding = self.backbone(images)
        return Encoding(l2_normalise(encoding.embedding), encoding.stages)
