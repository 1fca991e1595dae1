"""Another backbone, its vectors scaled to length 1."""

from __future__ import annotations

from typing import Any, ClassVar

from jaxret.models.backbones.wrapping import WrappingBackbone
from jaxret.models.base import Backbone, Encoding
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.registry import register_backbone

__all__ = ["UnitLengthBackbone"]


@register_backbone()
class UnitLengthBackbone(WrappingBackbone):
    """A backbone of frames or of chunks, whose vectors are compared by their direction alone.

    Args:
      backbone: what comes before.

    Attributes:
      stage_names: the backbone's.
    """

    name: ClassVar[str] = "unit-length"

    def __init__(self, backbone: Backbone):
        self.backbone = backbone
        self._begin_as(backbone)

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.backbone.summary}, of length 1"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {"name": self.name, "backbone": self.backbone.config}

    @property
    def packing(self) -> tuple[int, int] | None:
        """See `Backbone.packing`."""
        return self.backbone.packing

    def __call__(self, images: Any) -> Encoding:
        """What the backbone takes, to vectors (B, D) of length 1 (zeros stay zeros), and the stages."""
        encoding = self.backbone(images)
        return Encoding(l2_normalise(encoding.embedding), encoding.stages)
