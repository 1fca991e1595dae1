"""Attention of several heads (Vaswani et al. 2017, arXiv:1706.03762), with rotary positions (Su et al. 2021,
arXiv:2104.09864) and capped logits where a model has them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jaxret.models.base import check_sizes
from jaxret.models.layers.dispatch import runs_on_cpu
from jaxret.models.layers.init import glorot_uniform, normal

__all__ = ["Adapter", "Attention", "attend", "rotate"]


class Adapter(nnx.Module):
    """What a low rank adds to a linear layer (LoRA, Hu et al. 2022, arXiv:2106.09685): x A B, at first nothing.

    Args:
      units: width of what goes in.
      out: width of what comes out.
      rank: of A B.
      dtype: compute dtype.
      rngs: source of A; B is 0.
    """

    def __init__(self, units: int, out: int, rank: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        check_sizes(units=units, out=out, rank=rank)
        self.down = nnx.Param(normal(units**-0.5)(rngs.params(), (units, rank)))
        self.up = nnx.Param(jnp.zeros((rank, out)))
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """(..., units) to (..., out)."""
        return x @ self.down[...].astype(self.dtype) @ self.up[...].astype(self.dtype)


class Attention(nnx.Module):
    """Tokens look at tokens: out(softmax(q k^T / sqrt(d)) v), head by head.

    Args:
      units: width of the tokens.
      heads: of the attention.
      head_size: d, numbers of a head; None: units / heads.
      key_bias: whether keys have a bias (DINOv3 has none).
      softcap: c, logits l become c tanh(l / c); 0: they stay as they are.
      lora_rank: of the adapters of queries and values; 0: there are none.
      dtype: compute dtype.
      rngs: source of the initial weights.

    Raises:
      ConfigError: a size is below 1.
      ValueError: the width is no multiple of the heads, and no head size given.

    Example:
      >>> attention = Attention(16, 4, rngs=nnx.Rngs(0))
      >>> jax.eval_shape(attention, jnp.ones((2, 5, 16))).shape
      (2, 5, 16)
    """

    def __init__(
        self,
        units: int,
        heads: int,
        *,
        head_size: int | None = None,
        key_bias: bool = True,
        softcap: float = 0.0,
        lora_rank: int = 0,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_sizes(units=units, heads=heads)
        if head_size is None and units % heads:
            raise ValueError(f"units must be a multiple of the {heads} heads, got {units}")
        inside = heads * (units // heads if head_size is None else head_size)
        check_sizes(head_size=inside)
        self.heads, self.softcap = heads, softcap

        def dense(into: int, out: int, use_bias: bool = True) -> nnx.Linear:
            return nnx.Linear(into, out, use_bias=use_bias, kernel_init=glorot_uniform, dtype=dtype, rngs=rngs)

        self.query, self.key, self.value = dense(units, inside), dense(units, inside, key_bias), dense(units, inside)
        self.out = dense(inside, units)

        def adapter() -> Adapter | None:
            return Adapter(units, inside, lora_rank, dtype=dtype, rngs=rngs) if lora_rank else None

        self.query_adapter, self.value_adapter = adapter(), adapter()

    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | None = None,
        *,
        angles: jax.Array | None = None,
        mask: jax.Array | None = None,
    ) -> jax.Array:
        """What the tokens x (B, T, D) see of the context.

        Args:
          x: (B, T, D).
          context: (B, S, D); None: x itself.
          angles: (P, d / 2) radians, by which queries and keys of the last P tokens are turned.
          mask: bool, of a shape that goes with (B, heads, T, S): False where a token must not look.

        Returns:
          (B, T, D).
        """
        seen = x if context is None else context
        q, k, v = self.query(x), self.key(seen), self.value(seen)
        if self.query_adapter is not None and self.value_adapter is not None:
            q, v = q + self.query_adapter(x), v + self.value_adapter(seen)
        q, k, v = self._split(q), self._split(k), self._split(v)  # (B, T, heads, d)
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        values = attend(q, k, v, mask=mask, softcap=self.softcap)  # (B, T, heads, d)
        return self.out(values.reshape(*x.shape[:2], self.heads * values.shape[-1]))

    def _split(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:2], self.heads, x.shape[-1] // self.heads)


def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, *, mask: jax.Array | None = None, softcap: float = 0.0
) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v, the softmax in float32; on accelerators by JAX's own, fused where they have a kernel.

    Args:
      q: (B, T, heads, d).
      k, v: (B, S, heads, d).
      mask: bool, of a shape that goes with (B, heads, T, S): False where q must not look; None: everywhere.
      softcap: c, logits l become c tanh(l / c); 0: they stay as they are.

    Returns:
      (B, T, heads, d) in the dtype of q.
    """
    if not softcap and not runs_on_cpu():
        with jax.numpy_dtype_promotion("standard"):  # JAX's own attention finds float32 for its softmax by promotion
            return jax.nn.dot_product_attention(q, k, v, mask=mask)
    heads = q.shape[2]
    # XLA's CPU backend leaves a product of many heads to one thread, but runs one of each half beside the other.
    halves = [slice(heads // 2), slice(heads // 2, None)] if runs_on_cpu() and heads > 1 else [slice(None)]
    seen = [_by_products(q[:, :, h], k[:, :, h], v[:, :, h], _of_heads(mask, h), softcap) for h in halves]
    return jnp.concatenate(seen, axis=2)


def _of_heads(mask: jax.Array | None, heads: slice) -> jax.Array | None:
    """A mask that goes with (B, heads, T, S), of some of the heads."""
    if mask is None or mask.ndim < 3 or mask.shape[-3] == 1:
        return mask
    return mask[..., heads, :, :]


def _by_products(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None, softcap: float) -> jax.Array:
    """`attend` by two matrix products, with the softmax between them."""
    q = q.transpose(0, 2, 1, 3) / q.shape[-1] ** 0.5  # (B, heads, T, d); on the CPU sooner done than on the logits
    k, v = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)  # (B, heads, S, d)

    def seen(q: jax.Array) -> jax.Array:
        logits = jnp.einsum("bhtd,bhsd->bhts", q, k, preferred_element_type=jnp.float32)
        if softcap:
            logits = softcap * jnp.tanh(logits / softcap)
        if mask is not None:
            logits = jnp.where(mask, logits, -jnp.inf)
        highest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
        weights = jnp.exp(logits - highest)
        total = jnp.sum(weights, axis=-1, keepdims=True)
        # Dividing what was seen, (T, d), spares a pass over the weights, (T, S).
        sums = jnp.matmul(weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
        return (sums / total).astype(v.dtype)

    same_for_all = mask is None or mask.shape[-2] == 1
    return (_in_groups(seen, q, k.shape[-1]) if same_for_all else seen(q)).transpose(0, 2, 1, 3)


_MOST_LOGITS = 1 << 26  # numbers at a time, of a batch: 256 MB


def _in_groups(seen: Callable[[jax.Array], jax.Array], q: jax.Array, keys: int) -> jax.Array:
    """`seen(q)` for queries (B, heads, T, d), over groups of T one after another where their logits would be many."""
    batch, heads, time, size = q.shape
    group = max(1, _MOST_LOGITS // max(1, batch * heads * keys))
    if group >= time:
        return seen(q)
    groups = -(-time // group)
    padded = jnp.pad(q, ((0, 0), (0, 0), (0, groups * group - time), (0, 0)))
    parts = padded.reshape(batch, heads, groups, group, size).transpose(2, 0, 1, 3, 4)
    outputs = jax.lax.map(seen, parts).transpose(1, 2, 0, 3, 4)  # (B, heads, groups, group, d)
    return outputs.reshape(batch, heads, groups * group, size)[:, :, :time]


def rotate(x: jax.Array, angles: jax.Array) -> jax.Array:
    """Turn the last P tokens by their angles, number i together with number i + d / 2; those before stay.

    Args:
      x: (B, T, heads, d) queries or keys.
      angles: (P, d / 2) radians, P at most T.

    Returns:
      (B, T, heads, d) in the dtype of x; computed in float32.

    Example:
      >>> turned = rotate(jnp.ones((1, 2, 1, 2)), jnp.full((1, 1), jnp.pi / 2))
      >>> turned[0, :, 0].round(3).tolist()
      [[1.0, 1.0], [-1.0, 1.0]]
    """
    first = x.shape[1] - len(angles)
    still, turned = x[:, :first], x[:, first:].astype(jnp.float32)
    a, b = jnp.split(turned, 2, axis=-1)
    cos, sin = jnp.cos(angles)[None, :, None], jnp.sin(angles)[None, :, None]  # (1, P, 1, d / 2)
    turned = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
    return jnp.concatenate([still, turned.astype(x.dtype)], axis=1)
