"""Encoders used as they were published: frame vectors of length 1, and of a clip the direction of their mean."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.backbones.unit_length import UnitLengthBackbone
from jaxret.models.base import Backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.foundation import is_published, open_published, published_kind
from jaxret.models.foundation.files import checksum_of, weights_files
from jaxret.models.origin import WeightsOrigin
from jaxret.models.pretrained import backbone_of_weights
from jaxret.models.projection import ProjectedBackbone
from jaxret.models.registry import backbone_info, create_backbone
from jaxret.models.temporal.pooling import Mean, UnitLength
from jaxret.models.text import TextVideoEncoder, Words
from jaxret.models.weights.load import find_imagenet_weights, load_pretrained
from jaxret.preprocessing import Preprocessing

__all__ = ["FrozenSettings", "frozen_encoder", "projected_size", "weights_origin", "with_projection"]


@dataclasses.dataclass(frozen=True)
class FrozenSettings:
    """Which encoder, and how media are sampled for it.

    Attributes:
      weights: a folder as Hugging Face lays it out or a file of a published encoder, "imagenet", or with `backbone` a
        file of its weights.
      backbone: a registered backbone; "auto": what the weights are of, for imagenet efficientnet-lite0, for an .h5 file
        mobilenet-v1.
      image_size: side of the images in pixels; None: what the weights were made for.
      frames: sampled from each chunk of a video; None: 16, or as many as a backbone of chunks takes.
      chunk_seconds: a video is cut into chunks of about this length.
      precision: compute dtype, "float32" or "bfloat16".
    """

    weights: str
    backbone: str = "auto"
    image_size: int | None = None
    frames: int | None = None
    chunk_seconds: float = 10.0
    precision: str = "float32"


def frozen_encoder(settings: FrozenSettings) -> VideoEncoder:
    """The encoder, ready to index with.

    Raises:
      WeightsError: the weights are not installed, damaged, of no known family, or do not fit the backbone.
      ConfigError: the backbone is unknown, or a setting out of range.
      FileNotFoundError: there is no such file.

    Example:
      >>> frozen_encoder(FrozenSettings("imagenet")).summary  # doctest: +SKIP
      'efficientnet-lite0, of length 1 on 16 frames of 224 x 224 pixels, then their mean, of length 1'
    """
    name = _backbone_name(settings.weights, settings.backbone)
    if name == "auto":
        return _published(settings)
    size = backbone_info(name).image_size
    if size is None:
        raise ConfigError(f"{name} wraps another backbone: name that one")
    backbone = create_backbone(name, rngs=nnx.Rngs(0), dtype=settings.precision)
    load_pretrained(backbone, settings.weights)
    side = size if settings.image_size is None else settings.image_size
    preprocessing = Preprocessing(
        height=side,
        width=side,
        frames=_frames(settings, backbone),
        chunk_seconds=settings.chunk_seconds,
    )
    return _encoder(backbone, preprocessing, weights_origin(settings.weights, name))


def weights_origin(weights: str, backbone: str = "auto") -> WeightsOrigin:
    """What an encoder notes of its weights; of a published encoder's file without the family, which takes reading it.

    Raises:
      WeightsError, FileNotFoundError: as there.
    """
    if is_published(weights):
        return WeightsOrigin(published_kind(weights).family, checksum_of(weights_files(weights)))
    name = _backbone_name(weights, backbone)
    if name == "auto":
        return WeightsOrigin("", checksum_of(weights_files(weights)))
    path = find_imagenet_weights(name) if weights == "imagenet" else Path(weights)
    return WeightsOrigin(name, checksum_of([path]))


def _backbone_name(weights: str, backbone: str) -> str:
    """The backbone that the weights are of; "auto" where their own files tell it."""
    if backbone != "auto":
        return backbone
    ours = weights == "imagenet" or Path(weights).suffix.lower() in (".h5", ".hdf5")
    return backbone_of_weights(weights) if ours else "auto"


def _published(settings: FrozenSettings) -> VideoEncoder:
    found = open_published(settings.weights, dtype=settings.precision)
    preprocessing = found.sizing.preprocessing(
        image_size=settings.image_size,
        frames=_frames(settings, found.backbone),
        chunk_seconds=settings.chunk_seconds,
    )
    backbone = found.backbone
    if preprocessing.resize == "patches":
        backbone = _packing(backbone, preprocessing.height * preprocessing.width // preprocessing.side_step**2)
    return _encoder(backbone, preprocessing, WeightsOrigin(found.family, found.checksum), found.words)


def _packing(backbone: Backbone, most: int) -> Backbone:
    """The same vision transformer, for images of all shapes of at most so many patches."""
    config = {**backbone.config, "most_patches": most}
    packing: Backbone = nnx.eval_shape(lambda: create_backbone(**config, rngs=nnx.Rngs(0)))
    nnx.update(packing, nnx.state(backbone))
    return packing


def _frames(settings: FrozenSettings, backbone: Backbone) -> int:
    """Frames of a chunk."""
    return int(getattr(backbone, "frames", 16)) if settings.frames is None else settings.frames


def _encoder(
    backbone: Backbone, preprocessing: Preprocessing, origin: WeightsOrigin, words: Words | None = None
) -> VideoEncoder:
    unit = UnitLengthBackbone(backbone)
    mean = UnitLength(Mean(unit.embedding_size, rngs=nnx.Rngs(0)))
    if words is None:
        encoder = VideoEncoder(unit, mean, preprocessing, origin)
    else:
        encoder = TextVideoEncoder(unit, mean, preprocessing, origin, words)
    encoder.eval()
    return encoder


def with_projection(encoder: VideoEncoder, size: int) -> tuple[VideoEncoder, ProjectedBackbone]:
    """The same encoder, its frame vectors projected to `size` numbers and scaled to length 1 once more; without words,
    which lie in the space before.

    Returns:
      The encoder, and the backbone in it whose `projection` is to be given its numbers.

    Raises:
      ConfigError: the size is out of range, or the backbone takes chunks.
    """
    projected = ProjectedBackbone(encoder.backbone, size)
    return _encoder(projected, encoder.preprocessing, encoder.origin or WeightsOrigin("", "")), projected


def projected_size(encoder: VideoEncoder) -> int:
    """Numbers that the frame vectors are projected to by `with_projection`; 0 where they are as they were published."""
    inner = getattr(encoder.backbone, "backbone", None)
    return inner.embedding_size if isinstance(inner, ProjectedBackbone) else 0
