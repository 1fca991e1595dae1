"""Batch norm over a batch, with its gradient as one formula: the fast form on a CPU.

What automatic differentiation makes of the mean and the variance reads and writes maps that the formula does without.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.layers.feature_map import per_channel

__all__ = ["normalised_by_batch"]

Outputs = tuple[jax.Array, jax.Array, jax.Array]
Saved = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def normalised_by_batch(maps: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> Outputs:
    """Maps brought to mean 0 and variance 1 in each channel, times scale, plus bias (Ioffe and Szegedy 2015).

    Reverse-mode differentiable, as often as wanted; no gradient flows through the mean and the variance it returns.

    Args:
      maps: (..., C) float32.
      scale, bias: (C,).
      epsilon: added to the variance.

    Returns:
      maps like the ones given, and their mean and variance, (C,) each.

    Example:
      >>> normalised_by_batch(jnp.array([[1.0], [3.0]]), jnp.ones(1), jnp.zeros(1), 0.0)[0][:, 0]
      Array([-1.,  1.], dtype=float32)
    """
    outputs, mean, variance = _normalised(maps, scale, bias, epsilon)
    return outputs, lax.stop_gradient(mean), lax.stop_gradient(variance)


def _outputs(maps: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> Outputs:
    axes = tuple(range(maps.ndim - 1))
    mean = jnp.mean(maps, axes)
    variance = jnp.maximum(0.0, jnp.mean(maps * maps, axes) - mean * mean)
    slope = lax.rsqrt(variance + epsilon) * scale
    outputs = (maps - per_channel(mean, maps)) * per_channel(slope, maps) + per_channel(bias, maps)
    return outputs, mean, variance


_normalised = jax.custom_vjp(_outputs, nondiff_argnums=(3,))


def _forward(maps: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> tuple[Outputs, Saved]:
    # Not by `_normalised`, whose gradient knows nothing of the mean and the variance: second derivatives need it.
    outputs, mean, variance = _outputs(maps, scale, bias, epsilon)
    return (outputs, mean, variance), (maps, scale, mean, lax.rsqrt(variance + epsilon))


def _backward(epsilon: float, saved: Saved, gradients: Outputs) -> Outputs:
    maps, scale, mean, inverse = saved
    upstream, _, _ = gradients
    axes = tuple(range(maps.ndim - 1))
    count = maps.size // maps.shape[-1]
    of_bias = jnp.sum(upstream, axes)
    of_scale = (jnp.sum(upstream * maps, axes) - mean * of_bias) * inverse
    # scale * inverse * (upstream - of_bias / count - normalised maps * of_scale / count), as a sum of three terms
    factor = scale * inverse
    slope = -factor * inverse * of_scale / count
    shift = -factor * of_bias / count - slope * mean
    of_maps = upstream * per_channel(factor, maps) + maps * per_channel(slope, maps) + per_channel(shift, maps)
    return of_maps, of_scale, of_bias


_normalised.defvjp(_forward, _backward)
