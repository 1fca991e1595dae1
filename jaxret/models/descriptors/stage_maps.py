"""The map of one stage for images of one size or of several, by a program that every descriptor of maps shares."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxret.models.base import Backbone
from jaxret.models.layers.l2_norm import l2_normalise

__all__ = ["stage_maps", "unit_rows"]


def stage_maps(
    backbone: Backbone, stage: str, images: ArrayLike, sizes: ArrayLike | None = None, *, unit: bool = False
) -> jax.Array:
    """Images to the map of a stage; jitted.

    Args:
      backbone: of frames.
      stage: the map's name.
      images: (B, H, W, C), uint8 or 0..255.
      sizes: int (B, 2), of a backbone that takes them: height and width of each image within the batch; what the map
        holds beyond an image means nothing. None: all images fill the batch.
      unit: scale every place to length 1.

    Returns:
      (B, H', W', C') float32.
    """
    return _stage_maps(backbone, stage, jnp.asarray(images), None if sizes is None else jnp.asarray(sizes), unit)


@functools.partial(jax.jit, static_argnums=(1, 4))
def _stage_maps(backbone: Backbone, stage: str, images: jax.Array, sizes: jax.Array | None, unit: bool) -> jax.Array:
    stages = backbone(images).stages if sizes is None else backbone.padded_maps(images, sizes)
    maps = stages[stage].astype(jnp.float32)
    return l2_normalise(maps) if unit else maps


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (..., D) of length 1; zeros stay. In NumPy, where arrays of many shapes would each be compiled.

    Example:
      >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
      [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.sqrt(np.einsum("...d,...d->...", rows, rows))[..., None]
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)
