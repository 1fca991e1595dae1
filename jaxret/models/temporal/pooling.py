"""Pooling over time: the mean, the sum or the largest value of the vectors of a sequence, and unit length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Encoding, SequenceEncoder, check_sizes, counted_steps, valid_steps
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.layers.largest import largest
from jaxret.models.registry import create_sequence_encoder, register_sequence_encoder

__all__ = ["Maximum", "Mean", "Sum", "UnitLength"]


class _TimePooling(SequenceEncoder):
    """Base of the encoders without weights that treat every number of a vector on its own."""

    words: ClassVar[str]

    def __init__(self, input_size: int, *, rngs: nnx.Rngs):
        check_sizes(input_size=input_size)
        self.input_size = self.embedding_size = input_size

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "input_size": self.input_size}

    @property
    def summary(self) -> str:
        """A few words for people."""
        return self.words

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Vectors (B, T, D) to one (B, D); see `SequenceEncoder`."""
        valid = valid_steps(self, vectors, lengths)[..., None]
        return Encoding(self._pool(vectors.astype(jnp.float32), valid))

    def _pool(self, vectors: jax.Array, valid: jax.Array) -> jax.Array:
        """(B, T, D) float32 and (B, T, 1) bool to (B, D)."""
        raise NotImplementedError


@register_sequence_encoder
class Mean(_TimePooling):
    """The mean of the vectors of a sequence; of a sequence of one, such as a chunk's under C3D, that vector.

    Args:
      input_size: D, length of a vector and of the embedding.
      rngs: not drawn from; there so that all encoders of sequences are made alike.
    """

    kind: ClassVar[str] = "mean"
    words: ClassVar[str] = "their mean"

    def _pool(self, vectors: jax.Array, valid: jax.Array) -> jax.Array:
        return jnp.where(valid, vectors, 0).sum(axis=1) / counted_steps(valid[..., 0])


@register_sequence_encoder
class Sum(_TimePooling):
    """The sum of the vectors of a sequence; scaled to length 1 it is the same as their mean.

    Args are those of `Mean`.
    """

    kind: ClassVar[str] = "sum"
    words: ClassVar[str] = "their sum"

    def _pool(self, vectors: jax.Array, valid: jax.Array) -> jax.Array:
        return jnp.where(valid, vectors, 0).sum(axis=1)


@register_sequence_encoder
class Maximum(_TimePooling):
    """The largest value of each number over the vectors of a sequence.

    Args are those of `Mean`.

    Example:
      >>> pooled = Maximum(2, rngs=nnx.Rngs(0))
      >>> pooled(jnp.array([[[1.0, -5.0], [0.0, -2.0], [9.0, 9.0]]]), jnp.array([2])).embedding.tolist()
      [[1.0, -2.0]]
    """

    kind: ClassVar[str] = "max"
    words: ClassVar[str] = "their maximum"

    def _pool(self, vectors: jax.Array, valid: jax.Array) -> jax.Array:
        return jnp.where(valid.any(axis=1), largest(jnp.where(valid, vectors, -jnp.inf), 1), 0)


@register_sequence_encoder
class UnitLength(SequenceEncoder):
    """Another encoder of sequences, its embeddings scaled to length 1.

    Args:
      encoder: what comes before; without a hash layer, which may come after.

    Raises:
      ConfigError: the encoder ends in a hash layer.

    Example:
      >>> pooled = UnitLength(Sum(2, rngs=nnx.Rngs(0)))
      >>> pooled(jnp.array([[[1.0, 4.0], [2.0, 0.0]]])).embedding.round(1).tolist()
      [[0.6000000238418579, 0.800000011920929]]
    """

    kind: ClassVar[str] = "unit-length"

    def __init__(self, encoder: SequenceEncoder):
        if encoder.code_bits:
            raise ConfigError(f"activations of a code are not scaled, and the encoder gives {encoder.code_bits} bits")
        self.encoder = encoder
        self.input_size = encoder.input_size
        self.embedding_size = encoder.embedding_size
        self.stage_names = encoder.stage_names

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "encoder": self.encoder.config}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `SequenceEncoder.from_config`."""
        return cls(create_sequence_encoder(**config["encoder"], rngs=rngs))

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.encoder.summary}, of length 1"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, E) of length 1; zeros where there is nothing; see `SequenceEncoder`."""
        before = self.encoder(vectors, lengths)
        return Encoding(l2_normalise(before.embedding), before.stages)
