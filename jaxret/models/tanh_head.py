"""The head of the shot encoder in image-to-video retrieval: dense, tanh, length 1."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.encoding import Encoding, check_sizes
from jaxret.models.initialisation import glorot_uniform
from jaxret.models.l2_norm import l2_normalise
from jaxret.models.sequence_encoding import SequenceEncoder

__all__ = ["TanhHead"]


class TanhHead(SequenceEncoder):
    """norm(tanh(W h + b)) of the embedding h of another encoder of sequences.

    Garcia and Vogiatzis 2018, "Asymmetric spatio-temporal embeddings for large-scale image-to-video retrieval",
    section 3.2: h is the last state of an LSTM or GRU over the frames of a shot, and the embedding is as long as an
    image's, so that the two are compared by their cosine.

    Args:
      encoder: what comes before; without a hash layer.
      size: E, of the embedding; the length of an image embedding.
      rngs: source of the initial weights.

    Attributes:
      stage_names: `hidden_embedding`, the embedding of the encoder before, and that encoder's own stages.

    Raises:
      ConfigError: the size is below 1, or the encoder ends in a hash layer.

    Example:
      >>> from jaxret.models.temporal import TemporalEncoder
      >>> rngs = nnx.Rngs(0)
      >>> shots = TanhHead(TemporalEncoder(8, 6, rngs=rngs), 8, rngs=rngs)
      >>> embedding = shots(jnp.ones((2, 50, 8)), lengths=jnp.array([50, 12])).embedding
      >>> embedding.shape, bool(jnp.allclose(jnp.linalg.norm(embedding, axis=1), 1))
      ((2, 8), True)
    """

    kind: ClassVar[str] = "tanh-head"

    def __init__(self, encoder: SequenceEncoder, size: int, *, rngs: nnx.Rngs):
        check_sizes(size=size)
        if encoder.code_bits:
            raise ConfigError(f"a tanh head comes after real numbers, and the encoder gives {encoder.code_bits} bits")
        self.encoder = encoder
        self.linear = nnx.Linear(encoder.embedding_size, size, kernel_init=glorot_uniform, rngs=rngs)
        self.input_size = encoder.input_size
        self.embedding_size = size
        self.stage_names = (*encoder.stage_names, "hidden_embedding")

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "encoder": self.encoder.config, "size": self.embedding_size}

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.encoder.summary}, then {self.embedding_size} numbers of length 1"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, E) of length 1; see `SequenceEncoder`."""
        before = self.encoder(vectors, lengths)
        embedding = l2_normalise(jnp.tanh(self.linear(before.embedding)))
        return Encoding(embedding, {**before.stages, "hidden_embedding": before.embedding})
