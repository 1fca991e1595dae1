"""Hamming distances on a device: by XOR and population count, or as products of signs."""

from __future__ import annotations

import jax
import jax.numpy as jnp

PRODUCTS_ON = ("tpu",)
"""Platforms whose matrix units multiply int8 far faster than their vector units count bits; as published, not measured
(`benchmarks/speed_device.py` measures both)."""


def counted_bits(queries: jax.Array, codes: jax.Array) -> jax.Array:
    """int32 (Q, N), the bits in which uint32 (Q, W) and (N, W) differ."""
    differ = jax.lax.population_count(queries[:, None] ^ codes[None])  # (Q, N, W)
    return differ.astype(jnp.int32).sum(axis=2)


def multiplied_signs(queries: jax.Array, codes: jax.Array) -> jax.Array:
    """The same: with bits as signs, the product of two codes is the bits that agree less those that differ."""
    contracted = (((1,), (1,)), ((), ()))
    products = jax.lax.dot_general(_signs(queries), _signs(codes), contracted, preferred_element_type=jnp.int32)
    return (jnp.int32(32 * queries.shape[1]) - products) // jnp.int32(2)


def _signs(codes: jax.Array) -> jax.Array:
    """int8 (N, 32 W) of 1 and -1."""
    bits = (codes[:, :, None] >> jnp.arange(32, dtype=jnp.uint32)[None, None]) & jnp.uint32(1)
    return (jnp.int8(1) - jnp.int8(2) * bits.astype(jnp.int8)).reshape(len(codes), -1)
