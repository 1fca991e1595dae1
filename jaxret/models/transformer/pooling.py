"""Pooling by attention: one learned query looks at all tokens."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jaxret.models.layers.init import normal
from jaxret.models.layers.transformer import LayerNorm
from jaxret.models.transformer.attention import Attention
from jaxret.models.transformer.block import ActivationName, FeedForward

__all__ = ["AttentionPooling", "NormedPooling"]


class AttentionPooling(nnx.Module):
    """The head of SigLIP (Zhai et al. 2022, arXiv:2106.04560): y = attention(probe, tokens); y + mlp(norm(y)).

    Args:
      units: width of the tokens.
      heads: of the attention.
      wide: units of the MLP between.
      activation: of the MLP.
      epsilon: added to the variance by the norm.
      dtype: compute dtype.
      rngs: source of the initial weights.
    """

    def __init__(
        self,
        units: int,
        heads: int,
        wide: int,
        *,
        activation: ActivationName = "gelu-tanh",
        epsilon: float = 1e-6,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.probe = nnx.Param(normal(units**-0.5)(rngs.params(), (units,)))
        self.attention = Attention(units, heads, dtype=dtype, rngs=rngs)
        self.norm = LayerNorm(units, epsilon=epsilon, dtype=dtype, rngs=rngs)
        self.mlp = FeedForward(units, wide, activation=activation, dtype=dtype, rngs=rngs)

    def __call__(self, tokens: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """(B, T, units) to (B, units); mask as in `Attention`."""
        pooled = self.attention(_for_each(self.probe, tokens), tokens, mask=mask)
        return (pooled + self.mlp(self.norm(pooled)))[:, 0]


class NormedPooling(nnx.Module):
    """The head of VideoPrism's encoders of videos and words (arXiv:2402.13217): norm(attention(probe, tokens)).

    Args:
      units: width of the tokens.
      heads: of the attention.
      head_size: numbers of a head.
      epsilon: added to the variance by the norm.
      dtype: compute dtype.
      rngs: source of the initial weights.
    """

    def __init__(
        self,
        units: int,
        heads: int,
        head_size: int,
        *,
        epsilon: float = 1e-6,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.probe = nnx.Param(normal(units**-0.5)(rngs.params(), (units,)))
        self.attention = Attention(units, heads, head_size=head_size, dtype=dtype, rngs=rngs)
        self.norm = LayerNorm(units, epsilon=epsilon, dtype=dtype, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """(B, T, units) to (B, units)."""
        return self.norm(self.attention(_for_each(self.probe, tokens), tokens))[:, 0]


def _for_each(probe: nnx.Param[jax.Array], tokens: jax.Array) -> jax.Array:
    """The one query (units,) beside the tokens of each row: (B, 1, units)."""
    return jnp.broadcast_to(probe[...].astype(tokens.dtype)[None, None], (len(tokens), 1, tokens.shape[-1]))
