"""Images with depth as volumes of colour: depth becomes a third spatial axis of Z planes."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxret.models.layers.feature_map import per_channel

__all__ = ["scatter_to_planes"]


def scatter_to_planes(colours: jax.Array, planes: jax.Array, depth: int) -> jax.Array:
    """Put every pixel's colour into its depth plane, and mark the places that are taken.

    Args:
      colours: (..., H, W, C), floating.
      planes: (..., H, W) integer, the number of the pixel's plane, 1 (nearest) to Z; any other: no reading.
      depth: Z.

    Returns:
      (..., H, W, Z, C + 1) in the dtype of the colours: the colour and 1 at the plane of the pixel, 0 elsewhere.

    Example:
      >>> volume = scatter_to_planes(jnp.full((1, 2, 3), 0.5), jnp.array([[2, 0]]), 2)
      >>> volume[0, 0].tolist(), float(jnp.abs(volume[0, 1]).sum())
      ([[0.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 1.0]], 0.0)
    """
    numbers = per_channel(jnp.arange(1, depth + 1, dtype=planes.dtype), planes[..., None])
    taken = (planes[..., None] == numbers)[..., None].astype(colours.dtype)  # (..., H, W, Z, 1)
    return jnp.concatenate([colours[..., None, :] * taken, taken], axis=-1)
