"""The map of one stage for images of one size or of several, and its means over boxes: programs for all descriptors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxret.models.base import Backbone
from jaxret.models.kept_function import keeps_programs
from jaxret.models.layers.l2_norm import l2_normalise

__all__ = ["sizes_within", "stage_maps", "stage_means", "unit_rows"]


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
    there = None if sizes is None else jnp.asarray(sizes)
    return _stage_maps(backbone, jnp.asarray(images), there, stage=stage, unit=unit)


def sizes_within(images: ArrayLike, sizes: ArrayLike | None) -> list[tuple[int, int]]:
    """Height and width of each image of a batch: as `sizes` (B, 2) says, or those of the batch where it is None.

    Example:
      >>> sizes_within(np.zeros((2, 32, 64, 3)), None)
      [(32, 64), (32, 64)]
    """
    count, *canvas = np.shape(images)[:3]
    within = np.broadcast_to(canvas, (count, 2)) if sizes is None else np.asarray(sizes)
    return [(height, width) for height, width in within.tolist()]


def stage_means(
    backbone: Backbone,
    stage: str,
    images: ArrayLike,
    sizes: ArrayLike | None,
    down: NDArray[np.float32],
    across: NDArray[np.float32],
) -> jax.Array:
    """Images to means of the map of a stage; jitted.

    Args:
      backbone, stage, images, sizes: see `stage_maps`.
      down: (B, R, H'), how much each row of the map counts, 0 beyond the image.
      across: (B, S, W'), how much each column counts.

    Returns:
      (B, R, S, C') float32, for each pair of them.
    """
    there = None if sizes is None else jnp.asarray(sizes)
    return _stage_means(backbone, jnp.asarray(images), there, down, across, stage=stage)


@keeps_programs("stage", "unit")
def _stage_maps(backbone: Backbone, images: jax.Array, sizes: jax.Array | None, *, stage: str, unit: bool) -> jax.Array:
    maps = _maps(backbone, stage, images, sizes)
    return l2_normalise(maps) if unit else maps


@keeps_programs("stage")
def _stage_means(
    backbone: Backbone, images: jax.Array, sizes: jax.Array | None, down: jax.Array, across: jax.Array, *, stage: str
) -> jax.Array:
    maps = _maps(backbone, stage, images, sizes)
    rows = jnp.einsum("brh,bhwc->brwc", down, maps, precision="highest")
    return jnp.einsum("bsw,brwc->brsc", across, rows, precision="highest")


def _maps(backbone: Backbone, stage: str, images: jax.Array, sizes: jax.Array | None) -> jax.Array:
    stages = backbone(images).stages if sizes is None else backbone.padded_maps(images, sizes)
    return stages[stage].astype(jnp.float32)


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (..., D) of length 1; zeros stay. In NumPy, where arrays of many shapes would each be compiled.

    Example:
      >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
      [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.sqrt(np.einsum("...d,...d->...", rows, rows))[..., None]
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)
