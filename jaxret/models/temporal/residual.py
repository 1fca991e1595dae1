"""A learned addition to the sum over time, which starts as the sum itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Encoding, SequenceEncoder, valid_steps
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.registry import create_sequence_encoder, register_sequence_encoder

__all__ = ["SumResidual"]


@register_sequence_encoder
class SumResidual(SequenceEncoder):
    """norm(norm(sum_t x_t) + W h + b), h being the embedding of another encoder of the same sequence.

    W and b are zeros at first, so that an untrained one gives the sum, scaled to length 1: what training adds can be
    measured, and undone by taking the first weights. No published system is followed here; the residual is that of
    He et al. 2016 (arXiv:1512.03385), over time in place of depth.

    Args:
      encoder: gives h; without a hash layer.
      rngs: not drawn from; there so that all encoders of sequences are made alike.

    Attributes:
      embedding_size: D, that of the vectors themselves.
      stage_names: `sum`, (B, D) of length 1, `hidden_embedding`, h, and the encoder's own stages.

    Raises:
      ConfigError: the encoder ends in a hash layer.

    Example:
      >>> from jaxret.models.temporal.recurrent import TemporalEncoder
      >>> rngs = nnx.Rngs(0)
      >>> residual = SumResidual(TemporalEncoder(2, 6, rngs=rngs), rngs=rngs)
      >>> residual(jnp.array([[[1.0, 4.0], [2.0, 0.0]]])).embedding.round(1).tolist()
      [[0.6000000238418579, 0.800000011920929]]
    """

    kind: ClassVar[str] = "sum-residual"

    def __init__(self, encoder: SequenceEncoder, *, rngs: nnx.Rngs):
        if encoder.code_bits:
            raise ConfigError(f"a residual is added to real numbers, and the encoder gives {encoder.code_bits} bits")
        self.encoder = encoder
        self.linear = nnx.Linear(
            encoder.embedding_size, encoder.input_size, kernel_init=nnx.initializers.zeros_init(), rngs=rngs
        )
        self.input_size = self.embedding_size = encoder.input_size
        self.stage_names = (*encoder.stage_names, "sum", "hidden_embedding")

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {"kind": self.kind, "encoder": self.encoder.config}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `SequenceEncoder.from_config`."""
        return cls(create_sequence_encoder(**config["encoder"], rngs=rngs), rngs=rngs)

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"their sum and a residual by {self.encoder.summary}, of length 1"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, D) of length 1; see `SequenceEncoder`."""
        valid = valid_steps(self, vectors, lengths)[..., None]
        total = l2_normalise(jnp.where(valid, vectors.astype(jnp.float32), 0).sum(axis=1))
        before = self.encoder(vectors, lengths)
        embedding = l2_normalise(total + self.linear(before.embedding))
        return Encoding(embedding, {**before.stages, "sum": total, "hidden_embedding": before.embedding})
