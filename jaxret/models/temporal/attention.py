"""Temporal fusion by attention: a transformer encoder over the frame vectors of a clip."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Encoding, SequenceEncoder, check_dropout, check_sizes, compute_dtype, valid_steps
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.layers.transformer import TransformerLayer, sinusoidal_positions
from jaxret.models.registry import register_sequence_encoder
from jaxret.models.temporal.fusion import WeightedAverage

__all__ = ["AttentionFusion"]


@register_sequence_encoder
class AttentionFusion(SequenceEncoder):
    """A transformer encoder over the frame vectors, then attention pooling.

    Layers are pre-normalised (Xiong et al. 2020, arXiv:2002.04745): x += attention(norm(x)); x +=
    mlp(norm(x)). Order is told by sinusoidal positions (Vaswani et al. 2017, arXiv:1706.03762), so any number
    of frames will do. The pooling is the weighted average of the outputs, weights learned.

    Args:
      input_size: D, length of a frame vector.
      units: width of the transformer and length of the embedding, a multiple of `heads`, even.
      heads: of the attention.
      layers: how many.
      dropout: in training, of the inputs and of what attention and MLP add.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights and of dropout.

    Attributes:
      stage_names: `layer_1` ..., (B, T, units), and `weights`, (B, T), zero at padding.

    Raises:
      ConfigError: a setting is out of range.
    """

    kind: ClassVar[str] = "attention"

    def __init__(
        self,
        input_size: int,
        units: int = 256,
        *,
        heads: int = 4,
        layers: int = 1,
        dropout: float = 0.25,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        check_sizes(input_size=input_size, units=units, heads=heads, layers=layers)
        if units % heads or units % 2:
            raise ConfigError(f"units must be even and a multiple of heads {heads}, got {units}")
        self.input_size, self.embedding_size = input_size, units
        check_dropout(dropout)
        self.heads, self.dropout_rate = heads, dropout
        self.dtype = compute_dtype(dtype)
        self.project = nnx.Linear(input_size, units, kernel_init=glorot_uniform, dtype=self.dtype, rngs=rngs)
        self.layers = nnx.List(
            TransformerLayer(units, heads=heads, dropout=dropout, dtype=self.dtype, rngs=rngs) for _ in range(layers)
        )
        self.norm = nnx.LayerNorm(units, rngs=rngs)
        self.pool = WeightedAverage(units, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, broadcast_dims=(1,), deterministic=True, rngs=rngs)
        self.stage_names = (*(f"layer_{layer + 1}" for layer in range(layers)), "weights")

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {
            "kind": self.kind,
            "input_size": self.input_size,
            "units": self.embedding_size,
            "heads": self.heads,
            "layers": len(self.layers),
            "dropout": self.dropout_rate,
            "dtype": self.dtype.name,
        }

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"a transformer of {len(self.layers)} layers, {self.embedding_size} wide"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to (B, units); see `SequenceEncoder`."""
        valid = valid_steps(self, vectors, lengths)
        hidden = self.project(self.dropout(vectors).astype(self.dtype))
        hidden = hidden + sinusoidal_positions(hidden.shape[1], self.embedding_size).astype(self.dtype)[None]
        stages = {}
        for stage, layer in zip(self.stage_names, self.layers, strict=False):
            stages[stage] = hidden = layer(hidden, valid)
        pooled = self.pool(self.norm(hidden.astype(jnp.float32)), lengths)
        return Encoding(pooled.embedding, {**stages, **pooled.stages})
