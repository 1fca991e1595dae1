"""What every encoder of frame-vector sequences is: the clip half of a video encoder."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.models.encoding import Encoding

__all__ = ["SequenceEncoder", "valid_steps"]


class SequenceEncoder(nnx.Module):
    """Base of the encoders of sequences: frame vectors (B, T, D) in, one vector a sequence out.

    Attributes:
      kind: the name under which `create_sequence_encoder` makes it.
      input_size: D, length of a frame vector.
      embedding_size: E, length of the embedding.
      code_bits: bits of the binary code that the embedding, sigmoid activations, is rounded to; 0: no code.
      stage_names: the keys of `Encoding.stages`, first layer first.
    """

    kind: ClassVar[str]
    input_size: int
    embedding_size: int
    code_bits: int = 0
    stage_names: tuple[str, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_sequence_encoder(**config, rngs=...)` makes one of the same shape."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """A few words for people."""
        raise NotImplementedError

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Encode sequences of frame vectors.

        Args:
          vectors: (B, T, D) floating.
          lengths: (B,) int, how many time steps of each sequence count; the rest is padding and changes
            nothing. None: all T. A sequence of length 0 is embedded as zeros before a projection or a hash layer.

        Returns:
          The embedding (B, E) float32 and the stages.

        Raises:
          ValueError: a shape does not fit.
        """
        raise NotImplementedError


def valid_steps(encoder: SequenceEncoder, vectors: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """(B, T) bool, the time steps that count.

    Raises:
      ValueError: a shape does not fit the encoder.
    """
    if vectors.ndim != 3 or vectors.shape[-1] != encoder.input_size:
        raise ValueError(f"vectors must have shape (B, T, {encoder.input_size}), got {vectors.shape}")
    batch, steps, _ = vectors.shape
    if lengths is None:
        return jnp.ones((batch, steps), bool)
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must have shape ({batch},), got {lengths.shape}")
    return jnp.arange(steps) < lengths[:, None]
