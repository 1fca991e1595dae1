"""Which system of instance retrieval an encoder belongs to."""

from __future__ import annotations

from typing import Any

from jaxret.errors import ConfigError
from jaxret.index import Manifest, MediaIndex
from jaxret.models.descriptors.rmac import RegionalEncoder
from jaxret.models.descriptors.visual_words import MapWordEncoder, SiftWordEncoder
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.retrieval.systems.base import InstanceSystem
from jaxret.retrieval.systems.regions import RegionSystem
from jaxret.retrieval.systems.words import MapWords, SiftWords

__all__ = ["instance_system", "is_instance_encoder", "is_instance_index"]

_KINDS = (MapWordEncoder, SiftWordEncoder, RegionalEncoder, FasterRCNN)


def is_instance_encoder(encoder: Any) -> bool:
    """Whether an encoder describes the parts of pictures."""
    return isinstance(encoder, _KINDS)


def is_instance_index(index: MediaIndex | Manifest) -> bool:
    """Whether an index, of which the manifest is enough, was made by such an encoder."""
    return index.encoder.description.get("kind") in {kind.kind for kind in _KINDS}


def instance_system(encoder: Any) -> InstanceSystem[Any]:
    """The system of an encoder.

    Raises:
      ConfigError: it describes whole pictures and clips alone.
    """
    if isinstance(encoder, MapWordEncoder):
        return MapWords(encoder)
    if isinstance(encoder, SiftWordEncoder):
        return SiftWords(encoder)
    if isinstance(encoder, RegionalEncoder | FasterRCNN):
        return RegionSystem(encoder)
    kind = getattr(encoder, "kind", type(encoder).__name__)
    raise ConfigError(
        f"an encoder of the kind {kind!r} describes whole pictures and clips, and no parts of them: regions are "
        f"searched in an index of the recipes instance-search and faster-rcnn"
    )
