"""The towers of words of CLIP (arXiv:2103.00020) and SigLIP (arXiv:2303.15343)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Encoding, check_sizes, compute_dtype
from jaxret.models.layers.init import glorot_uniform, normal
from jaxret.models.layers.transformer import LayerNorm
from jaxret.models.transformer.block import ActivationName, Block

__all__ = ["TextTower"]


class TextTower(nnx.Module):
    """Tokens and their positions, blocks, a norm, and of one token a linear layer.

    Args:
      vocabulary: tokens that there are.
      length: L, tokens of a text; shorter ones are padded.
      units: width.
      depth: blocks.
      heads: of the attention.
      wide: units of the MLPs between.
      activation: of the MLPs.
      epsilon: added to the variance by the norms.
      projection: E, size of the embedding.
      projection_bias: whether the last layer has a bias.
      causal: whether a token looks at those before it alone.
      end_token: the embedding is of the first token of this number; None: of the last token.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Attributes:
      embedding_size: E.
      stage_names: `block_1` ... (B, L, units), and `pooled` (B, units).

    Raises:
      ConfigError: a size is below 1, or the dtype is unknown.

    Example:
      >>> tower = TextTower(vocabulary=9, length=4, units=8, depth=1, heads=2, wide=16, projection=6, rngs=nnx.Rngs(0))
      >>> jax.eval_shape(tower, jnp.zeros((2, 4), jnp.int32)).embedding.shape
      (2, 6)
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        length: int,
        units: int,
        depth: int,
        heads: int,
        wide: int,
        projection: int,
        activation: ActivationName = "gelu-tanh",
        epsilon: float = 1e-6,
        projection_bias: bool = True,
        causal: bool = False,
        end_token: int | None = None,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        check_sizes(vocabulary=vocabulary, length=length, units=units, depth=depth, heads=heads, projection=projection)
        if end_token is not None and not 0 <= end_token < vocabulary:
            raise ConfigError(f"end_token must be one of the {vocabulary} tokens, got {end_token}")
        settings: dict[str, Any] = {
            "vocabulary": vocabulary,
            "length": length,
            "units": units,
            "depth": depth,
            "heads": heads,
            "wide": wide,
            "projection": projection,
            "activation": activation,
            "epsilon": epsilon,
            "projection_bias": projection_bias,
            "causal": causal,
            "end_token": end_token,
            "dtype": dtype,
        }
        self.settings = tuple(settings.items())  # hashable, as what a compiled function depends on must be
        self.length, self.causal, self.end_token, self.embedding_size = length, causal, end_token, projection
        self.dtype = compute_dtype(dtype)
        small = normal(0.02)
        self.tokens = nnx.Param(small(rngs.params(), (vocabulary, units)))
        self.positions = nnx.Param(small(rngs.params(), (length, units)))
        self.blocks = nnx.List(
            Block(units, heads, wide, activation=activation, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
            for _ in range(depth)
        )
        self.last_norm = LayerNorm(units, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
        self.project = nnx.Linear(
            units, projection, use_bias=projection_bias, kernel_init=glorot_uniform, dtype=self.dtype, rngs=rngs
        )
        self.stage_names = (*(f"block_{number + 1}" for number in range(depth)), "pooled")

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `TextTower(**config, rngs=rngs)` is one of the same shape."""
        return dict(self.settings)

    def __call__(self, tokens: jax.Array) -> Encoding:
        """Encode texts.

        Args:
          tokens: (B, L) integers, as a `Tokenizer` gives them.

        Returns:
          The embedding (B, E) float32 and the stages.

        Raises:
          ValueError: the length is another one.
        """
        if tokens.ndim != 2 or tokens.shape[1] != self.length:
            raise ValueError(f"tokens must have shape (B, {self.length}), got {tokens.shape}")
        x = (self.tokens[...][tokens] + self.positions[...][None]).astype(self.dtype)
        mask = jnp.tri(self.length, dtype=bool)[None, None] if self.causal else None
        stages = {}
        for stage, block in zip(self.stage_names, self.blocks, strict=False):
            x = stages[stage] = block(x, mask=mask)
        x = self.last_norm(x)
        if self.end_token is None:
            pooled = x[:, -1]
        else:
            place = jnp.argmax(tokens == self.end_token, axis=1)
            pooled = jnp.take_along_axis(x, place[:, None, None], axis=1)[:, 0]
        stages["pooled"] = pooled
        return Encoding(self.project(pooled).astype(jnp.float32), stages)
