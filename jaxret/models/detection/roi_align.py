"""RoIAlign: a grid of features for each of many boxes, by bilinear sampling of a feature map."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.layers.dispatch import runs_on_cpu

__all__ = ["roi_align"]

_BOXES_AT_ONCE_ON_CPU = 4  # what is read for them stays in the cache. Measured: at 16 it takes 6 times as long
_BOXES_AT_ONCE = 64


def roi_align(
    maps: jax.Array,
    boxes: jax.Array,
    images: jax.Array,
    *,
    stride: float,
    size: tuple[int, int] = (7, 7),
    samples: int = 2,
    aligned: bool = True,
    sizes: jax.Array | None = None,
) -> jax.Array:
    """The mean of the map in each part of each box (He et al. 2017, Mask R-CNN, arXiv:1703.06870, section 3).

    Every box is shared out into rows and columns of equal parts; in each part the map is read at samples x samples
    regular places, bilinearly between the centres of its cells, and averaged. Nothing is rounded. Within a cell of the
    border the nearest cell is read, and further outside 0, as in Detectron2's aligned form. Differentiable in the maps
    and in the boxes.

    Args:
      maps: (B, H, W, C) floating.
      boxes: (R, 4) left, top, right, bottom in pixels of the image; one without area reads a single place.
      images: int (R,), the map that each box lies on, 0 .. B - 1.
      stride: pixels of the image to a cell, above 0; static under `jax.jit`, and so are size and samples.
      size: (rows, columns) of parts.
      samples: along each side of a part, at least 1.
      aligned: whether the centre of the first cell lies half a cell from the image's border; no: on it, and a box is at
        least one cell wide and high, as detectors of before expect.
      sizes: int (B, 2), height and width in pixels of the image that each map ends with, the rest being padding, which
        is not read; None: there is none.

    Returns:
      (R, rows, columns, C), of the maps' dtype.

    Raises:
      ValueError: a shape does not fit, or stride, size or samples is out of range.

    Example:
      >>> maps = jnp.arange(16.0).reshape(1, 4, 4, 1)
      >>> box = jnp.array([[0.0, 0.0, 64.0, 32.0]])  # the upper half
      >>> roi_align(maps, box, jnp.zeros(1, int), stride=16, size=(1, 2))[0, 0, :, 0].tolist()
      [2.5, 4.5]
    """
    if maps.ndim != 4 or boxes.ndim != 2 or boxes.shape[1] != 4 or images.shape != boxes.shape[:1]:
        raise ValueError(
            f"maps, boxes and images must be (B, H, W, C), (R, 4) and (R,), got {maps.shape}, {boxes.shape} and "
            f"{images.shape}"
        )
    if not stride > 0:
        raise ValueError(f"stride must be above 0 pixels, got {stride!r}")
    if min(size) < 1 or samples < 1:
        raise ValueError(f"size and samples must be at least 1, got {size!r} and {samples!r}")
    _, height, width, _ = maps.shape
    cells = boxes / stride

    def align(box_and_image: tuple[jax.Array, jax.Array]) -> jax.Array:
        (left, top, right, bottom), image = box_and_image
        if not aligned:
            bottom, right = jnp.maximum(bottom, top + 1), jnp.maximum(right, left + 1)
        first = 0.5 if aligned else 0.0  # where the centre of the first cell lies
        down, across = (height, width) if sizes is None else sizes[image].astype(jnp.float32) / stride
        rows, row_weights = _taps((top - first, bottom - first), size[0], samples, down)
        columns, column_weights = _taps((left - first, right - first), size[1], samples, across)
        # Whole rows are read, and columns chosen by a matrix product: on a CPU a tenth of the time of reading places.
        lines = jnp.einsum("pa,pawc->pwc", row_weights, maps[image, rows], precision=lax.Precision.HIGHEST)
        table = (jax.nn.one_hot(columns, width) * column_weights[..., None]).sum(axis=1)  # (Q, W)
        return jnp.einsum("pwc,qw->pqc", lines, table, precision=lax.Precision.HIGHEST).astype(maps.dtype)

    if not len(boxes):
        return jnp.zeros((0, *size, maps.shape[3]), maps.dtype)
    return lax.map(align, (cells, images), batch_size=_BOXES_AT_ONCE_ON_CPU if runs_on_cpu() else _BOXES_AT_ONCE)


def _taps(
    span: tuple[jax.Array, jax.Array], parts: int, samples: int, cells: int | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The cells that the samples of each part read along one axis, and their weights: (parts, 2 samples) each.

    Args:
      span: begin and end of the box, in cells, 0 being the centre of the first.
      parts, samples: of the span, and of a part.
      cells: of the map.
    """
    (start, end), last = span, jnp.asarray(cells, jnp.int32) - 1
    shares = (jnp.arange(parts * samples, dtype=jnp.float32) + 0.5) / (parts * samples)
    places = start + shares * (end - start)
    weight = jnp.where((places >= -1) & (places <= last.astype(places.dtype) + 1), 1 / samples, 0.0)
    places = jnp.clip(places, 0, last.astype(places.dtype))
    low = jnp.floor(places).astype(jnp.int32)
    beyond = places - low.astype(places.dtype)
    taps = jnp.stack([low, jnp.minimum(low + 1, last)], axis=-1)
    weights = jnp.stack([(1 - beyond) * weight, beyond * weight], axis=-1)
    return taps.reshape(parts, 2 * samples), weights.reshape(parts, 2 * samples)
