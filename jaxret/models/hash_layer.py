"""The hash layer: a real-valued embedding becomes sigmoid activations, which round to a binary code."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.encoding import Encoding
from jaxret.models.initialisation import glorot_uniform
from jaxret.models.sequence_encoding import SequenceEncoder

__all__ = ["HashLayer"]


class HashLayer(SequenceEncoder):
    """One linear layer with a sigmoid after another encoder of sequences (Dong and Li 2017, arXiv:1712.00133).

    The embedding is the activations, in 0..1; the code has a 1 where an activation is at least 0.5, which is
    where the linear layer's output is at least 0 (`jaxret.rank.pack_bits`).

    Args:
      encoder: what comes before.
      bits: of the code, a positive multiple of 8.
      rngs: source of the initial weights.

    Attributes:
      stage_names: `real_embedding`, the embedding of the encoder before, and that encoder's own stages.

    Raises:
      ConfigError: `bits` is not a positive multiple of 8, or the encoder has a hash layer already.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxret.models.temporal import TemporalEncoder
      >>> rngs = nnx.Rngs(0)
      >>> hashed = HashLayer(TemporalEncoder(8, 4, rngs=rngs), 64, rngs=rngs)
      >>> hashed(jnp.ones((2, 16, 8))).embedding.shape, hashed.code_bits
      ((2, 64), 64)
    """

    kind: ClassVar[str] = "hash"

    def __init__(self, encoder: SequenceEncoder, bits: int, *, rngs: nnx.Rngs):
        if bits < 8 or bits % 8:
            raise ConfigError(f"bits must be a positive multiple of 8 (codes are whole bytes), got {bits!r}")
        if encoder.code_bits:
            raise ConfigError(f"the encoder has a hash layer of {encoder.code_bits} bits already")
        self.encoder = encoder
        self.linear = nnx.Linear(encoder.embedding_size, bits, kernel_init=glorot_uniform, rngs=rngs)
        self.input_size = encoder.input_size
        self.embedding_size = self.code_bits = bits
        self.stage_names = (*encoder.stage_names, "real_embedding")

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "encoder": self.encoder.config, "bits": self.code_bits}

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.encoder.summary}, then codes of {self.code_bits} bits"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to activations (B, bits) in 0..1; see `SequenceEncoder`."""
        before = self.encoder(vectors, lengths)
        activations = nnx.sigmoid(self.linear(before.embedding))
        return Encoding(activations, {**before.stages, "real_embedding": before.embedding})
