"""Several streams of one video (such as RGB and optical flow), each encoded on its own and joined late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone, Encoding, SequenceEncoder
from jaxret.models.registry import (
    create_backbone,
    create_sequence_encoder,
    register_backbone,
    register_sequence_encoder,
)

__all__ = ["StreamBackbone", "StreamFusion"]


@register_backbone()
class StreamBackbone(Backbone):
    """A backbone for each stream; their vectors stand one after the other.

    Late fusion of streams (Simonyan and Zisserman 2014, arXiv:1406.2199): each stream has its own image of a
    moment, 3 channels of the input, and meets the others only after the encoders of sequences (`StreamFusion`).

    Args:
      backbones: one a stream, of 3 channels each. One and the same object may stand for several streams: they
        then share its weights, which is all there is to learn where it stays frozen.

    Raises:
      ConfigError: no backbone, one that is not for 3 channels, or one that some of the streams share and others not.
    """

    name: ClassVar[str] = "streams"
    normalisation: ClassVar[dict[str, Any]] = {}  # each backbone has its own

    def __init__(self, backbones: Sequence[Backbone]):
        if not backbones:
            raise ConfigError("streams need at least one backbone")
        if odd := [backbone.channels for backbone in backbones if backbone.channels != 3]:
            raise ConfigError(f"a stream's backbone takes 3 channels, got one of {odd[0]}")
        different = len({id(backbone) for backbone in backbones})
        if different not in (1, len(backbones)):
            raise ConfigError(
                f"streams share one backbone or have one each, got {different} backbones for {len(backbones)} streams"
            )
        self.shared = different == 1
        self.backbones = nnx.List(backbones[:1] if self.shared else backbones)
        self.streams = len(backbones)
        self.channels = 3 * self.streams
        self.embedding_size = sum(backbone.embedding_size for backbone in backbones)
        self.stage_names = ()
        self.dtype = backbones[0].dtype

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {
            "name": self.name,
            "backbones": [backbone.config for backbone in self.backbones],
            "streams": self.streams,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `Backbone.from_config`; a single backbone is shared by all streams."""
        made, streams = [create_backbone(**settings, rngs=rngs) for settings in config["backbones"]], config["streams"]
        if len(made) not in (1, streams):
            raise ConfigError(f"{streams} streams need one backbone for all or one each, got {len(made)}")
        return cls(made * streams if len(made) == 1 else made)

    def __call__(self, images: jax.Array) -> Encoding:
        """Images (B, H, W, 3 streams) to vectors (B, D), D the sum over the streams."""
        self._check_images(images)
        backbones = list(self.backbones) * (self.streams if self.shared else 1)
        streams = jnp.split(images, self.streams, axis=-1)
        vectors = [backbone(stream).embedding for backbone, stream in zip(backbones, streams, strict=True)]
        return Encoding(jnp.concatenate(vectors, axis=-1))


@register_sequence_encoder
class StreamFusion(SequenceEncoder):
    """An encoder of sequences for each stream; their embeddings stand one after the other.

    Args:
      streams: one encoder a stream, in the order in which the streams stand in the frame vectors.

    Raises:
      ConfigError: no stream, or one with a hash layer of its own (the code is of all streams together).
    """

    kind: ClassVar[str] = "streams"

    def __init__(self, streams: Sequence[SequenceEncoder]):
        if not streams:
            raise ConfigError("streams need at least one encoder of sequences")
        if any(stream.code_bits for stream in streams):
            raise ConfigError("a hash layer comes after the fusion of streams, not in one of them")
        self.streams = nnx.List(streams)
        self.input_size = sum(stream.input_size for stream in streams)
        self.embedding_size = sum(stream.embedding_size for stream in streams)
        self.stage_names = tuple(f"stream_{number + 1}" for number in range(len(streams)))

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "streams": [stream.config for stream in self.streams]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `SequenceEncoder.from_config`."""
        return cls([create_sequence_encoder(**stream, rngs=rngs) for stream in config["streams"]])

    @property
    def summary(self) -> str:
        """A few words for people."""
        return " beside ".join(stream.summary for stream in self.streams)

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, E); stages `stream_1` ...: the embedding of each; see `SequenceEncoder`."""
        if vectors.ndim != 3 or vectors.shape[-1] != self.input_size:
            raise ValueError(f"vectors must have shape (B, T, {self.input_size}), got {vectors.shape}")
        embeddings, start = [], 0
        for stream in self.streams:
            part = vectors[..., start : start + stream.input_size]
            embeddings.append(stream(part, lengths).embedding)
            start += stream.input_size
        return Encoding(jnp.concatenate(embeddings, axis=-1), dict(zip(self.stage_names, embeddings, strict=True)))
