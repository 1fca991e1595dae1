"""A block of a transformer: attention and an MLP, both residual and pre-normalised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jaxret.errors import ConfigError
from jaxret.models.base import check_sizes
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.layers.transformer import LayerNorm
from jaxret.models.transformer.attention import Attention

__all__ = ["ActivationName", "Block", "FeedForward"]

ActivationName = Literal["gelu", "gelu-tanh", "quick-gelu", "silu", "relu"]


def _gelu(x: jax.Array) -> jax.Array:
    """x (1 + erf(x / sqrt(2))) / 2, in float32. JAX's own takes the complement of erf, which lasts twice as long on a
    CPU and differs from this by some 1e-6."""
    wide = x.astype(jnp.float32)
    return (0.5 * wide * (1 + jax.lax.erf(wide * 0.5**0.5))).astype(x.dtype)


_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": _gelu,
    "gelu-tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "quick-gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
}


class FeedForward(nnx.Module):
    """narrow(f(widen(x))), or gated (Shazeer 2020, arXiv:2002.05202) narrow(f(gate(x)) * widen(x)).

    Args:
      units: width of the tokens.
      wide: units between.
      activation: f: "gelu" is the exact one, "gelu-tanh" its approximation by tanh, "quick-gelu" x sigmoid(1.702 x).
      gated: with a gate.
      dtype: compute dtype.
      rngs: source of the initial weights.

    Raises:
      ConfigError: a size is below 1, or the activation unknown.
    """

    def __init__(
        self,
        units: int,
        wide: int,
        *,
        activation: ActivationName = "gelu",
        gated: bool = False,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_sizes(units=units, wide=wide)
        if activation not in get_args(ActivationName):
            raise ConfigError(f"activation must be one of {', '.join(get_args(ActivationName))}, got {activation!r}")
        self.activation = activation

        def dense(into: int, out: int) -> nnx.Linear:
            return nnx.Linear(into, out, kernel_init=glorot_uniform, dtype=dtype, rngs=rngs)

        self.widen, self.narrow = dense(units, wide), dense(wide, units)
        self.gate = dense(units, wide) if gated else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., units) to (..., units)."""
        activate = _ACTIVATIONS[self.activation]
        inner = activate(self.widen(x)) if self.gate is None else activate(self.gate(x)) * self.widen(x)
        return self.narrow(inner)


class Block(nnx.Module):
    """x += s1 * attention(norm(x)); x += s2 * mlp(norm(x)), with the scales s1 and s2 of LayerScale (Touvron et al.
    2021, arXiv:2103.17239) where a model has them.

    Args:
      units: width of the tokens.
      heads: of the attention.
      wide: units of the MLP between.
      layer_scale: whether there are scales, one number a unit.
      key_bias, softcap, lora_rank: see `Attention`.
      activation, gated: see `FeedForward`.
      epsilon: added to the variance by the norms.
      dtype: compute dtype.
      rngs: source of the initial weights.

    Raises:
      ConfigError: a size is below 1, or the activation unknown.

    Example:
      >>> block = Block(16, 4, 32, rngs=nnx.Rngs(0))
      >>> jax.eval_shape(block, jnp.ones((2, 5, 16))).shape
      (2, 5, 16)
    """

    def __init__(
        self,
        units: int,
        heads: int,
        wide: int,
        *,
        layer_scale: bool = False,
        key_bias: bool = True,
        softcap: float = 0.0,
        lora_rank: int = 0,
        activation: ActivationName = "gelu",
        gated: bool = False,
        epsilon: float = 1e-6,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.attention_norm = LayerNorm(units, epsilon=epsilon, dtype=dtype, rngs=rngs)
        self.attention = Attention(
            units, heads, key_bias=key_bias, softcap=softcap, lora_rank=lora_rank, dtype=dtype, rngs=rngs
        )
        self.mlp_norm = LayerNorm(units, epsilon=epsilon, dtype=dtype, rngs=rngs)
        self.mlp = FeedForward(units, wide, activation=activation, gated=gated, dtype=dtype, rngs=rngs)
        self.deterministic = True  # in evaluation mode after creation; nnx.Module.train() and eval() switch it
        self.attention_scale = nnx.Param(jnp.ones(units)) if layer_scale else None
        self.mlp_scale = nnx.Param(jnp.ones(units)) if layer_scale else None

    def __call__(self, x: jax.Array, *, angles: jax.Array | None = None, mask: jax.Array | None = None) -> jax.Array:
        """(B, T, units) to (B, T, units); angles and mask as in `Attention`."""
        x = x + _scaled(self.attention(self.attention_norm(x), angles=angles, mask=mask), self.attention_scale)
        return x + _scaled(self.mlp(self.mlp_norm(x)), self.mlp_scale)


def _scaled(x: jax.Array, scale: nnx.Param[jax.Array] | None) -> jax.Array:
    return x if scale is None else x * per_channel(scale[...].astype(x.dtype), x)
