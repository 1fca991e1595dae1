"""The softmax head: it exists only to train an encoder, and is left behind afterwards."""

from __future__ import annotations

import jax
from flax import nnx

from jaxret.models.encoding import check_dropout, check_sizes
from jaxret.models.initialisation import glorot_uniform

__all__ = ["SoftmaxHead"]


class SoftmaxHead(nnx.Module):
    """Dropout and one linear layer from embeddings to class scores.

    Args:
      embedding_size: D.
      classes: K.
      dropout: share of the embedding set to zero in training, 0 <= dropout < 1.
      rngs: source of the initial weights and of dropout.

    Raises:
      ConfigError: a size is below 1 or the dropout out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> SoftmaxHead(256, 38, rngs=nnx.Rngs(0))(jnp.ones((2, 256))).shape
      (2, 38)
    """

    def __init__(self, embedding_size: int, classes: int, *, dropout: float = 0.25, rngs: nnx.Rngs):
        check_sizes(embedding_size=embedding_size, classes=classes)
        check_dropout(dropout)
        self.dropout = nnx.Dropout(dropout, deterministic=True, rngs=rngs)
        self.linear = nnx.Linear(embedding_size, classes, kernel_init=glorot_uniform, rngs=rngs)

    def __call__(self, embedding: jax.Array) -> jax.Array:
        """(B, D) embeddings to (B, K) float32 scores before the softmax."""
        return self.linear(self.dropout(embedding))
