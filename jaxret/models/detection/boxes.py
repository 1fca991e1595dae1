"""Boxes for detectors: anchors, the numbers that a network predicts of a box, clipping and overlap.

All are pure functions of arrays that can be jitted. A box is (left, top, right, bottom) in continuous pixels, as in
`jaxret.metrics.localisation.boxes`, which checks its input and is for measuring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxret.models.layers.feature_map import per_channel

__all__ = ["anchor_boxes", "box_offsets", "clip_boxes", "corner_anchors", "moved_boxes", "overlap_table"]

_LARGEST_GROWTH = math.log(1000 / 16)  # of a side, so that a network that is far off does not reach infinity


def anchor_boxes(
    grid: tuple[int, int],
    stride: float,
    sizes: Sequence[float] = (128, 256, 512),
    aspects: Sequence[float] = (0.5, 1, 2),
) -> jax.Array:
    """The anchors of a region proposal network (Ren et al. 2015, Faster R-CNN, arXiv:1506.01497).

    At the centre of every cell stands a box of every size with every aspect, all of one size with the same area. (The
    authors' program rounds sides to whole pixels; here they are not.)

    Args:
      grid: (rows, columns) of the feature map.
      stride: pixels from one cell to the next, above 0.
      sizes: S square roots of areas, in pixels.
      aspects: A widths divided by heights.

    Returns:
      float32 (rows * columns * S * A, 4): row by row, cell by cell, sizes before aspects. They may reach outside.

    Raises:
      ValueError: the grid is empty, or a stride, size or aspect is not above 0.

    Example:
      >>> anchor_boxes((1, 2), 16, sizes=(8,), aspects=(1, 4)).tolist()
      [[4.0, 4.0, 12.0, 12.0], [0.0, 6.0, 16.0, 10.0], [20.0, 4.0, 28.0, 12.0], [16.0, 6.0, 32.0, 10.0]]
    """
    rows, columns = grid
    if rows < 1 or columns < 1:
        raise ValueError(f"grid must have at least one row and one column, got {grid!r}")
    for name, values in (("stride", (stride,)), ("sizes", sizes), ("aspects", aspects)):
        if not values or not all(0 < value < math.inf for value in values):
            raise ValueError(f"{name} must be above 0, got {tuple(values)!r}")
    sides = jnp.array([(size * math.sqrt(a), size / math.sqrt(a)) for size in sizes for a in aspects])  # (S A, 2)
    along = [(jnp.arange(cells, dtype=jnp.float32) + 0.5) * stride for cells in (rows, columns)]
    return _around(along, sides / 2)


def corner_anchors(grid: tuple[int, int], strides: tuple[int, int], size: float, aspects: Sequence[float]) -> jax.Array:
    """The anchors of one size as torchvision's detectors lay them: about the upper left corner of each cell, half their
    sides rounded to whole pixels.

    Args:
      grid: (rows, columns) of the feature map.
      strides: pixels from one row and from one column to the next.
      size: square root of areas, in pixels.
      aspects: A widths divided by heights.

    Returns:
      float32 (rows * columns * A, 4): row by row, cell by cell.

    Example:
      >>> corner_anchors((1, 2), (8, 8), 9, (1,)).tolist()
      [[-4.0, -4.0, 4.0, 4.0], [4.0, -4.0, 12.0, 4.0]]
    """
    half = jnp.array([(size * math.sqrt(a) / 2, size / math.sqrt(a) / 2) for a in aspects]).round()
    along = [jnp.arange(cells, dtype=jnp.float32) * stride for cells, stride in zip(grid, strides, strict=True)]
    return _around(along, half)


def _around(along: Sequence[jax.Array], half: jax.Array) -> jax.Array:
    """Boxes of half sides (A, 2) around each place of the grid of y and x, (rows * columns * A, 4)."""
    y, x = jnp.meshgrid(*along, indexing="ij")
    centres = jnp.stack([x, y], axis=-1)[:, :, None]  # (rows, columns, 1, 2)
    half = half[None, None]
    return jnp.concatenate([centres - half, centres + half], axis=-1).reshape(-1, 4)


def box_offsets(boxes: jax.Array, anchors: jax.Array) -> jax.Array:
    """What a network is trained to predict of a box, seen from an anchor (Girshick et al. 2014, R-CNN, appendix C).

    Args:
      boxes: (..., 4), sides above 0.
      anchors: (..., 4), sides above 0.

    Returns:
      (..., 4): how far the centre is moved to the right and down, in sides of the anchor, and the logarithms of how
      many times wider and higher the box is. Not finite for a box without area.

    Example:
      >>> box_offsets(jnp.array([5.0, 0.0, 25.0, 10.0]), jnp.array([0.0, 0.0, 10.0, 10.0])).round(3).tolist()
      [1.0, 0.0, 0.6930000185966492, 0.0]
    """
    centre, sides = _centre_and_sides(boxes)
    anchor_centre, anchor_sides = _centre_and_sides(anchors)
    return jnp.concatenate([(centre - anchor_centre) / anchor_sides, jnp.log(sides / anchor_sides)], axis=-1)


def moved_boxes(offsets: jax.Array, anchors: jax.Array) -> jax.Array:
    """The boxes that offsets describe: the inverse of `box_offsets`.

    Args:
      offsets: (..., 4). A box grows to at most 62.5 sides of its anchor.
      anchors: (..., 4).

    Returns:
      (..., 4) boxes; they may reach outside the image, see `clip_boxes`.

    Example:
      >>> moved_boxes(jnp.array([1.0, 0.0, 0.0, 0.0]), jnp.array([0.0, 0.0, 10.0, 10.0])).tolist()
      [10.0, 0.0, 20.0, 10.0]
    """
    centre, sides = _centre_and_sides(anchors)
    centre = centre + offsets[..., :2] * sides
    half = sides * jnp.exp(jnp.minimum(offsets[..., 2:], _LARGEST_GROWTH)) / 2
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def clip_boxes(boxes: jax.Array, image_size: tuple[float, float] | jax.Array) -> jax.Array:
    """Boxes cut to the image; one that lies outside is left without area, on the border.

    Args:
      boxes: (..., 4).
      image_size: height and width in pixels; may be traced.

    Example:
      >>> clip_boxes(jnp.array([-5.0, 2.0, 30.0, 9.0]), (8, 20)).tolist()
      [0.0, 2.0, 20.0, 8.0]
    """
    height, width = image_size
    sides = jnp.stack([jnp.asarray(side, boxes.dtype) for side in (width, height, width, height)])
    return jnp.clip(boxes, 0, per_channel(sides, boxes))


def overlap_table(a: jax.Array, b: jax.Array) -> jax.Array:
    """Intersection over union of every box (N, 4) with every box (M, 4): (N, M), 0 where neither has an area.

    Example:
      >>> overlap_table(jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[0.0, 0.0, 2.0, 4.0], [2.0, 0.0, 3.0, 1.0]]))
      Array([[0.5, 0. ]], dtype=float32)
    """
    low = jnp.maximum(a[:, None, :2], b[None, :, :2])
    high = jnp.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = jnp.maximum(high - low, 0).prod(axis=-1)
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return jnp.where(union > 0, shared / jnp.where(union > 0, union, 1), 0)


def _centre_and_sides(boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
