"""Whole encoders: from uint8 frames to the vectors that are ranked.

An encoder knows its own preprocessing, and has a JSON-able `config` from which `create_encoder` makes one of
the same shape. Kinds register here by name; the store and the index know none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone, Encoding, SequenceEncoder, Unit
from jaxret.models.on_backbone import config_on_backbone, parts_on_backbone
from jaxret.models.origin import WeightsOrigin
from jaxret.models.registry import create_sequence_encoder, register_encoder
from jaxret.models.transformer.packed import PackedPatches
from jaxret.preprocessing import Preprocessing

__all__ = ["VideoEncoder"]


@register_encoder
class VideoEncoder(nnx.Module):
    """A frame backbone, then an encoder of the sequence of a chunk's frame vectors (systems 1 and 3).

    A backbone that takes whole chunks, such as C3D, gives sequences of one vector. Where the preprocessing cuts videos
    into shots (system 5), the vectors of shots lie in the space of the frame vectors, so that images find
    shots.

    Args:
      backbone: images or chunks to vectors.
      temporal: sequences of those vectors to one vector; with a hash layer, to the activations of a code.
      preprocessing: size, frame count and chunking of the input, or how it is cut into shots.
      origin: of the backbone's weights, where it is known.

    Raises:
      ConfigError: the parts do not fit together.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxret.models.registry import create_backbone
      >>> from jaxret.models.temporal.recurrent import TemporalEncoder
      >>> rngs = nnx.Rngs(0)
      >>> encoder = VideoEncoder(
      ...     create_backbone("small-convnet", embedding_size=16, rngs=rngs),
      ...     TemporalEncoder(16, 8, rngs=rngs),
      ...     Preprocessing(height=32, width=32, frames=4),
      ... )
      >>> encoder.encode_clips(jnp.zeros((2, 4, 32, 32, 3), jnp.uint8)).shape
      (2, 8)
    """

    kind: ClassVar[str] = "frames-then-sequence"

    def __init__(
        self,
        backbone: Backbone,
        temporal: SequenceEncoder,
        preprocessing: Preprocessing,
        origin: WeightsOrigin | None = None,
    ):
        if temporal.input_size != backbone.embedding_size:
            raise ConfigError(
                f"the temporal encoder takes vectors of {temporal.input_size}, "
                f"but {backbone.name} gives {backbone.embedding_size}"
            )
        if backbone.channels != preprocessing.pixel_channels:
            raise ConfigError(
                f"{backbone.name} takes {backbone.channels} channels, "
                f"the preprocessing gives {preprocessing.pixel_channels}"
            )
        # Pixels of a plane that the backbone lacks would be lost without a word.
        planes, given = getattr(backbone, "depth_planes", None), preprocessing.depth.count if preprocessing.depth else 0
        if planes is not None and planes != given:
            raise ConfigError(f"{backbone.name} has {planes} depth planes, the preprocessing gives {given}")
        if preprocessing.shots is not None:
            _check_shot_parts(backbone, temporal)
        self.backbone = backbone
        self.temporal = temporal
        self.preprocessing = preprocessing
        self.origin = origin
        self.unit: Unit = backbone.unit
        self.frame_embedding_size = backbone.embedding_size
        self.clip_embedding_size = temporal.embedding_size
        self.code_bits = temporal.code_bits

    @property
    def summary(self) -> str:
        """One line for people."""
        size = self.preprocessing
        pixels = f"{size.height} x {size.width} {'grey ' if size.channels == 1 else ''}pixels"
        if size.shots is None:
            return f"{self.backbone.summary} on {size.frames} frames of {pixels}, then {self.temporal.summary}"
        sampled = f"{self.backbone.summary} on {size.shots.rate:g} frames a second of at most {pixels}"
        return f"{sampled}, cut at cosine distance {size.shots.cut_threshold:g}; of a shot {self.temporal.summary}"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_encoder(config)` makes an encoder of the same shape."""
        return config_on_backbone(self, temporal=self.temporal.config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """An encoder of the shape that `config` describes, with random weights."""
        return cls(
            **parts_on_backbone(config, rngs),
            temporal=create_sequence_encoder(**config["temporal"], rngs=rngs),
        )

    def with_temporal(self, temporal: SequenceEncoder, backbone: Backbone | None = None) -> VideoEncoder:
        """Frames as here, sequences by another encoder; without words, which lie in the space of the frame vectors.

        Args:
          temporal: of the sequences.
          backbone: another one with the same weights. None: the same.

        Raises:
          ConfigError: the parts do not fit together.
        """
        return VideoEncoder(self.backbone if backbone is None else backbone, temporal, self.preprocessing, self.origin)

    def __call__(self, clips: jax.Array) -> Encoding:
        """Clips (B, T, H, W, C), uint8 or 0..255, to the embedding (B, E) and the temporal stages.

        The stages also hold `frame_vectors` (B, T, D), T being 1 where the backbone takes whole chunks.
        """
        batch, frames = clips.shape[:2]
        units = clips if self.unit == "chunk" else clips.reshape(batch * frames, *clips.shape[2:])
        vectors = self.backbone(units).embedding.reshape(batch, -1, self.frame_embedding_size)  # (B, T or 1, D)
        encoding = self.temporal(vectors)
        return Encoding(encoding.embedding, {"frame_vectors": vectors, **encoding.stages})

    def encode_frames(self, frames: ArrayLike) -> jax.Array:
        """Frames (B, H, W, C), or chunks (B, T, H, W, C) where they are the unit, to vectors (B, D) float32; jitted."""
        return _encode_frames(self.backbone, _input(frames, self.packing))

    @property
    def packing(self) -> tuple[int, int] | None:
        """Side of a patch and patches of an image, where images of all shapes are encoded by one program, from
        `PackedPatches`; else None."""
        return self.backbone.packing

    def encode_packed(self, pixels: ArrayLike, grids: ArrayLike) -> jax.Array:
        """Images as the parts of `PackedPatches` to vectors (B, D) float32; jitted."""
        return _encode_frames(self.backbone, PackedPatches(jnp.asarray(pixels), jnp.asarray(grids)))

    def encode_clips_from_frame_vectors(self, vectors: ArrayLike, lengths: ArrayLike | None = None) -> jax.Array:
        """Frame vectors (B, T, D), of which lengths (B,) count (None: all), to clip vectors (B, E) float32; jitted."""
        counted = None if lengths is None else jnp.asarray(lengths)
        return _encode_sequences(self.temporal, jnp.asarray(vectors), counted)

    def encode_clips(self, clips: ArrayLike) -> jax.Array:
        """Clips (B, T, H, W, C) to vectors (B, E) float32; jitted."""
        return _encode_clips(self, jnp.asarray(clips))


def _input(frames: ArrayLike, packing: tuple[int, int] | None) -> jax.Array | PackedPatches:
    return jnp.asarray(frames) if packing is None else PackedPatches.of_images(frames, *packing)


# A module is a pytree, and these change nothing in it: `jax.jit` dispatches in a fraction of `nnx.jit`'s time.
@jax.jit
def _encode_frames(backbone: Backbone, frames: Any) -> jax.Array:
    return backbone(frames).embedding


@jax.jit
def _encode_sequences(temporal: SequenceEncoder, vectors: jax.Array, lengths: jax.Array | None) -> jax.Array:
    return temporal(vectors, lengths).embedding


@jax.jit
def _encode_clips(encoder: VideoEncoder, clips: jax.Array) -> jax.Array:
    return encoder(clips).embedding


def _check_shot_parts(backbone: Backbone, temporal: SequenceEncoder) -> None:
    if backbone.unit != "frame":
        raise ConfigError(f"shots are found between frames, and {backbone.name} takes chunks")
    if temporal.code_bits:
        raise ConfigError(
            f"shots are searched with images by vectors, and the temporal encoder gives {temporal.code_bits} bits"
        )
    if temporal.embedding_size != backbone.embedding_size:
        raise ConfigError(
            f"shots are searched with images: both need vectors of one size, but {backbone.name} gives "
            f"{backbone.embedding_size} and the temporal encoder {temporal.embedding_size}"
        )
