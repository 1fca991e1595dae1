"""A network of single frames and an encoder of their sequence, as one backbone of chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.backbones.wrapping import WrappingBackbone
from jaxret.models.base import Backbone, Encoding, SequenceEncoder
from jaxret.models.registry import create_backbone, create_sequence_encoder, register_backbone

__all__ = ["ClipNetwork"]


@register_backbone()
class ClipNetwork(WrappingBackbone):
    """The embeddings of whole clips by a network that is trained on them, for what goes on from clip vectors.

    Args:
      frames: a backbone of single frames.
      sequence: of their vectors, without a hash layer.

    Attributes:
      embedding_size: of the sequence.

    Raises:
      ConfigError: the parts do not fit together.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxret.models.temporal.pooling import Mean
      >>> rngs = nnx.Rngs(0)
      >>> frames = create_backbone("small-convnet", embedding_size=16, rngs=rngs)
      >>> network = ClipNetwork(frames, Mean(16, rngs=rngs))
      >>> jax.eval_shape(network, jnp.zeros((2, 4, 32, 32, 3), jnp.uint8)).embedding.shape
      (2, 16)
    """

    name: ClassVar[str] = "clip-network"
    wrapped: ClassVar[str] = "frames"

    def __init__(self, frames: Backbone, sequence: SequenceEncoder):
        if frames.unit != "frame":
            raise ConfigError(f"a sequence is of single frames, and {frames.name} takes chunks")
        if sequence.input_size != frames.embedding_size or sequence.code_bits:
            raise ConfigError(
                f"the encoder of sequences must take vectors of {frames.embedding_size} and give no code, got one of "
                f"vectors of {sequence.input_size} and codes of {sequence.code_bits} bits"
            )
        self.frames, self.sequence = frames, sequence
        self._begin_as(frames)
        self.unit, self.embedding_size, self.stage_names = "chunk", sequence.embedding_size, ()

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.frames.summary}, then {self.sequence.summary}"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {"name": self.name, "frames": self.frames.config, "sequence": self.sequence.config}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `Backbone.from_config`."""
        settings = cls._known_settings(config)
        return cls(
            create_backbone(**settings["frames"], rngs=rngs), create_sequence_encoder(**settings["sequence"], rngs=rngs)
        )

    def __call__(self, clips: jax.Array) -> Encoding:
        """Clips (B, T, H, W, C), uint8 or floating in 0..255, to vectors (B, D)."""
        batch, frames = clips.shape[:2]
        vectors = self.frames(clips.reshape(batch * frames, *clips.shape[2:])).embedding
        return Encoding(self.sequence(vectors.reshape(batch, frames, -1)).embedding)
