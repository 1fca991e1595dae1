"""What every encoder of frame-vector sequences is: the clip half of a video encoder."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.encoding import Encoding

__all__ = ["SequenceEncoder", "check_dropout", "check_sizes", "valid_steps"]


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


def check_sizes(**sizes: int) -> None:
    """Raise a ConfigError that names the first size below 1."""
    for setting, value in sizes.items():
        if value < 1:
            raise ConfigError(f"{setting} must be at least 1, got {value!r}")


def check_dropout(dropout: float) -> None:
    """Raise a ConfigError unless 0 <= dropout < 1."""
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout must be at least 0 and below 1, got {dropout!r}")
