"""The base of backbones that go on from what another one gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from flax import nnx

from jaxret.models.base import Backbone
from jaxret.models.registry import create_backbone

__all__ = ["WrappingBackbone"]


class WrappingBackbone(Backbone):
    """A backbone of what another one takes, which makes more, or something else, of its vectors or maps.

    A subclass keeps the other one in the attribute that its first setting is called, calls `_begin_as` and then sets
    what differs.

    Attributes:
      wrapped: the name of that setting and attribute, which weight files of older versions have too.
    """

    wrapped: ClassVar[str] = "backbone"
    normalisation: ClassVar[dict[str, Any]] = {}  # the other one has its own

    def _begin_as(self, other: Backbone) -> None:
        """Take on what another backbone takes and gives."""
        self.unit, self.channels, self.dtype = other.unit, other.channels, other.dtype
        self.embedding_size, self.stage_names = other.embedding_size, other.stage_names
        self.side_step = other.side_step

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `Backbone.from_config`."""
        settings = cls._known_settings(config)
        create: Any = cls
        return create(create_backbone(**settings.pop(cls.wrapped), rngs=rngs), **settings)
