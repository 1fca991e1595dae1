"""The towers of words of CLIP (arXiv:2103.00020), SigLIP (arXiv:2303.15343) and VideoPrism (arXiv:2402.13217)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Encoding, check_sizes, compute_dtype, stored_settings
from jaxret.models.layers.init import glorot_uniform, normal
from jaxret.models.layers.transformer import LayerNorm
from jaxret.models.transformer.block import ActivationName, Block
from jaxret.models.transformer.stack import run_blocks

__all__ = ["TextTower"]

_LATER: dict[str, Any] = {"class_token": False, "padding": None, "softcap": 0.0}


class TextTower(nnx.Module):
    """Tokens and their positions, blocks, a norm, and one token, or a linear layer of it.

    Args:
      vocabulary: tokens that there are.
      length: L, tokens of a text; shorter ones are padded.
      units: width.
      depth: blocks.
      heads: of the attention.
      wide: units of the MLPs between.
      activation: of the MLPs.
      epsilon: added to the variance by the norms.
      projection: E, size of the embedding; 0: there is no last layer, and E is `units`.
      projection_bias: whether the last layer has a bias.
      causal: whether a token looks at those before it alone.
      end_token: the embedding is of the first token of this number; None: of the last token.
      class_token: a learned token behind the others, the last one.
      padding: a token that is not looked at; None: there is none.
      softcap: c, logits l of the attention become c tanh(l / c); 0: they stay as they are.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Attributes:
      embedding_size: E.
      stage_names: `block_1` ... (B, L, units), with a class token (B, L + 1, units), and `pooled` (B, units).

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
        class_token: bool = False,
        padding: int | None = None,
        softcap: float = 0.0,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        check_sizes(vocabulary=vocabulary, length=length, units=units, depth=depth, heads=heads)
        if projection < 0:
            raise ConfigError(f"projection must be at least 0, got {projection}")
        for setting, token in (("end_token", end_token), ("padding", padding)):
            if token is not None and not 0 <= token < vocabulary:
                raise ConfigError(f"{setting} must be one of the {vocabulary} tokens, got {token}")
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
            "class_token": class_token,
            "padding": padding,
            "softcap": softcap,
            "dtype": dtype,
        }
        self.settings = tuple(settings.items())  # hashable, as what a compiled function depends on must be
        self.vocabulary, self.length, self.causal = vocabulary, length, causal
        self.end_token, self.padding = end_token, padding
        self.embedding_size = projection or units
        self.dtype = compute_dtype(dtype)
        small = normal(0.02)
        self.tokens = nnx.Param(small(rngs.params(), (vocabulary, units)))
        self.positions = nnx.Param(small(rngs.params(), (length, units)))
        self.class_token = nnx.Param(small(rngs.params(), (units,))) if class_token else None
        self.blocks = nnx.List(
            Block(
                units,
                heads,
                wide,
                softcap=softcap,
                activation=activation,
                epsilon=epsilon,
                dtype=self.dtype,
                rngs=rngs,
            )
            for _ in range(depth)
        )
        self.last_norm = LayerNorm(units, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
        self.project = (
            nnx.Linear(
                units, projection, use_bias=projection_bias, kernel_init=glorot_uniform, dtype=self.dtype, rngs=rngs
            )
            if projection
            else None
        )
        self.stage_names = (*(f"block_{number + 1}" for number in range(depth)), "pooled")

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `TextTower(**config, rngs=rngs)` is one of the same shape."""
        return stored_settings(self.settings, _LATER)

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
        if self.class_token is not None:
            last = self.class_token[...].astype(self.dtype)[None, None]
            x = jnp.concatenate([x, jnp.broadcast_to(last, (len(x), 1, x.shape[-1]))], axis=1)
        mask = self._mask(tokens, x.shape[1])
        after = run_blocks(self.blocks, x, mask=mask)
        stages = dict(zip(self.stage_names, after, strict=False))
        x = self.last_norm(after[-1])
        if self.end_token is None:
            pooled = x[:, -1]
        else:
            place = jnp.argmax(tokens == self.end_token, axis=1)
            pooled = jnp.take_along_axis(x, place[:, None, None], axis=1)[:, 0]
        stages["pooled"] = pooled
        embedding = pooled if self.project is None else self.project(pooled)
        return Encoding(embedding.astype(jnp.float32), stages)

    def _mask(self, tokens: jax.Array, length: int) -> jax.Array | None:
        """(1 or B, 1, length, length) bool, which token looks at which; None: all at all."""
        mask = jnp.tri(length, dtype=bool)[None, None] if self.causal else None
        if self.padding is None:
            return mask
        behind = ((0, 0), (0, length - tokens.shape[1]))  # the class token is no padding
        words = jnp.pad(tokens != self.padding, behind, constant_values=True)[:, None, None]  # (B, 1, 1, length)
        return words if mask is None else mask & words
