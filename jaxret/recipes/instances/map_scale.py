"""The scale of a detector's map, so that proposer and head start from numbers of about 1 on any trunk."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxret.data.ground_truth.boxes import BoxReader
from jaxret.errors import MediaError
from jaxret.models.detection.faster_rcnn import FasterRCNN

__all__ = ["fit_map_scale"]


def fit_map_scale(detector: FasterRCNN, reader: BoxReader, rows: Sequence[int], *, batch_size: int) -> None:
    """Set `map_scale` to 1 / the root of the mean square of the map, over the unpadded parts of pictures.

    Args:
      detector: changed in place.
      reader: without mirroring.
      rows: of the reader; pictures that do not decode are passed over.
      batch_size: pictures at once.
    """
    pictures = []
    for row in rows:
        try:
            pictures.append(reader(row, np.random.default_rng(0)))
        except MediaError:
            continue
    total = count = 0.0
    for start in range(0, len(pictures), batch_size):
        batch = pictures[start : start + batch_size]
        padded = [*batch, *[{**batch[-1], "sizes": np.zeros(2, np.int32)}] * (batch_size - len(batch))]
        images, sizes = (np.stack([one[name] for one in padded]) for name in ("images", "sizes"))
        squares, numbers = _squares(detector, images, sizes)
        total += float(squares)
        count += float(numbers)
    if total > 0:
        detector.map_scale[...] = jnp.full(1, np.sqrt(count / total), jnp.float32)


@jax.jit
def _squares(detector: FasterRCNN, images: jax.Array, sizes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum of the squares of the map where the pictures are, and how many numbers these are."""
    maps = detector.feature_map(images).astype(jnp.float32)
    rows, columns = ((jnp.arange(side) + 0.5) * detector.stride for side in maps.shape[1:3])
    inside = (rows[None, :, None] < sizes[:, :1, None]) & (columns[None, None] < sizes[:, 1:, None])  # (B, H, W)
    return jnp.where(inside[..., None], maps**2, 0).sum(), inside.sum() * maps.shape[-1]
