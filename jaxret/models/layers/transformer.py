"""The parts of a transformer encoder (Vaswani et al. 2017, arXiv:1706.03762): its layer, and positions as sinusoids."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jaxret.models.base import check_dropout, check_sizes
from jaxret.models.layers.init import glorot_uniform

__all__ = ["LayerNorm", "TransformerLayer", "sinusoidal_positions"]


class LayerNorm(nnx.LayerNorm):
    """Flax's layer norm (Ba et al. 2016, arXiv:1607.06450), also where JAX promotes no dtype on its own.

    Flax computes the statistics of bfloat16 in float32 and finds that dtype by promotion, which
    `jax_numpy_dtype_promotion="strict"` refuses.
    """

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """(..., units) to (..., units), in the compute dtype."""
        with jax.numpy_dtype_promotion("standard"):
            return super().__call__(x, mask=mask)


class TransformerLayer(nnx.Module):
    """Self-attention and a two-layer MLP, both residual and pre-normalised (Xiong et al. 2020, arXiv:2002.04745).

    Args:
      units: width of the vectors.
      heads: of the attention.
      head_size: of the queries, keys and values of a head; None: units / heads.
      feed_forward: units of the MLP between; None: 4 units.
      dropout: in training, of what attention and MLP add.
      dtype: compute dtype.
      rngs: source of the initial weights and of dropout.

    Raises:
      ConfigError: a size is below 1, the dropout out of range.
      ValueError: the head size is not given, and the width is no multiple of the heads.

    Example:
      >>> layer = TransformerLayer(16, heads=3, head_size=5, rngs=nnx.Rngs(0))
      >>> jax.eval_shape(layer, jnp.ones((2, 4, 16)), jnp.ones((2, 4), bool)).shape
      (2, 4, 16)
    """

    def __init__(
        self,
        units: int,
        *,
        heads: int,
        head_size: int | None = None,
        feed_forward: int | None = None,
        dropout: float = 0.0,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        wide = 4 * units if feed_forward is None else feed_forward
        inside = units if head_size is None else heads * head_size
        check_sizes(units=units, heads=heads, head_size=inside, feed_forward=wide)
        check_dropout(dropout)
        self.attention_norm = LayerNorm(units, dtype=dtype, rngs=rngs)
        # In evaluation mode after creation, like everything here; nnx.Module.train() and eval() switch it.
        self.attention = nnx.MultiHeadAttention(
            heads, units, qkv_features=inside, dtype=dtype, decode=False, deterministic=True, rngs=rngs
        )
        self.mlp_norm = LayerNorm(units, dtype=dtype, rngs=rngs)
        self.widen = nnx.Linear(units, wide, kernel_init=glorot_uniform, dtype=dtype, rngs=rngs)
        self.narrow = nnx.Linear(wide, units, kernel_init=glorot_uniform, dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, deterministic=True, rngs=rngs)

    def __call__(self, hidden: jax.Array, valid: jax.Array) -> jax.Array:
        """(B, T, units), of which (B, T) bool count, to (B, T, units)."""
        mask = valid[:, None, None, :]  # (B, heads, query, key): padding is not looked at
        with jax.numpy_dtype_promotion("standard"):  # JAX's own attention finds float32 for its softmax by promotion
            attended = self.attention(self.attention_norm(hidden), mask=mask)
        hidden = hidden + self.dropout(attended)
        return hidden + self.dropout(self.narrow(nnx.gelu(self.widen(self.mlp_norm(hidden)))))


def sinusoidal_positions(steps: int, size: int) -> jax.Array:
    """(steps, size) float32: sines in the first half, cosines in the second, of wavelengths 2 pi .. 20,000 pi."""
    wavelengths = 10_000.0 ** (-jnp.arange(size // 2) / (size // 2))
    angles = jnp.arange(steps, dtype=jnp.float32)[:, None] * wavelengths[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
