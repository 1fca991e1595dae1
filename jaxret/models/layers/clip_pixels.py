"""Brightness and contrast of clips, which change from copy to copy."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["clip_scale"]

_LEAST_DEVIATION = 5.0  # of 0..255: the noise of a clip that shows nothing is not made larger


def clip_scale(clips: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and deviation of each clip's pixels, by which it is standardised.

    Args:
      clips: (B, T, H, W, C) float, 0..255.

    Returns:
      (B, 1, 1, 1, 1) each; the deviation is at least 5.

    Example:
      >>> mean, deviation = clip_scale(jnp.array([3.0, 3.0]).reshape(1, 1, 1, 2, 1))
      >>> mean.item(), deviation.item()
      (3.0, 5.0)
    """
    axes = (1, 2, 3, 4)
    variance = clips.var(axis=axes, keepdims=True)
    return clips.mean(axis=axes, keepdims=True), jnp.sqrt(variance + _LEAST_DEVIATION**2)
