"""Boxes in images, and how well a box found agrees with the true one.

A box is (left, top, right, bottom): x to the right, y down, both from the image's upper left corner and continuous, so
that pixel n covers n to n + 1 and the whole image is (0, 0, width, height).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["best_box_iou", "box_area", "box_iou", "box_overlap", "check_boxes", "pairwise_box_iou"]


def check_boxes(boxes: ArrayLike, name: str = "boxes") -> NDArray[np.float64]:
    """Boxes as float64 (..., 4).

    Raises:
      ValueError: the last axis is not 4, a number is not finite, or a box ends before it begins; the message gives
        `name` and the box.

    Example:
      >>> check_boxes([0, 1, 4, 3]).tolist()
      [0.0, 1.0, 4.0, 3.0]
    """
    array = np.asarray(boxes, np.float64)
    if array.ndim < 1 or array.shape[-1] != 4:
        raise ValueError(f"{name} must have left, top, right, bottom on its last axis, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    upside_down = (array[..., :2] > array[..., 2:]).any(axis=-1)
    if upside_down.any():
        odd = tuple(array[upside_down][0].tolist())
        raise ValueError(f"{name} must have left <= right and top <= bottom, got {odd}")
    return array


def box_area(boxes: ArrayLike) -> NDArray[np.float64]:
    """Width times height of boxes (..., 4).

    Raises:
      ValueError: as `check_boxes`.

    Example:
      >>> float(box_area([1, 1, 4, 3]))
      6.0
    """
    array = check_boxes(boxes)
    return (array[..., 2] - array[..., 0]) * (array[..., 3] - array[..., 1])


def box_overlap(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """The area that two boxes share.

    Args:
      a, b: (..., 4), broadcast against each other.

    Raises:
      ValueError: as `check_boxes`.

    Example:
      >>> box_overlap([0, 0, 4, 4], [[2, 3, 9, 9], [5, 5, 6, 6]]).tolist()
      [2.0, 0.0]
    """
    x, y = check_boxes(a, "a"), check_boxes(b, "b")
    sides = np.minimum(x[..., 2:], y[..., 2:]) - np.maximum(x[..., :2], y[..., :2])
    return np.maximum(sides, 0.0).prod(axis=-1)


def box_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of boxes, 0 to 1 (Everingham et al. 2010, PASCAL VOC, there called the overlap).

    Two boxes without area score 1 if they are the same and 0 otherwise. (VOC's own program counts whole pixels, both
    ends included; here a box is as wide as right - left.)

    Args:
      a, b: (..., 4), broadcast against each other.

    Raises:
      ValueError: as `check_boxes`.

    Example:
      >>> float(box_iou([0, 0, 4, 4], [0, 2, 4, 6]))  # 8 of 24
      0.3333333333333333
    """
    x, y = check_boxes(a, "a"), check_boxes(b, "b")
    shared = box_overlap(x, y)
    union = box_area(x) + box_area(y) - shared
    return np.where((union == 0) & (x == y).all(axis=-1), 1.0, shared / np.where(union > 0, union, 1.0))


def pairwise_box_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """The IoU of every box of one list with every box of another.

    Args:
      a: (N, 4).
      b: (M, 4).

    Returns:
      float64 (N, M).

    Raises:
      ValueError: as `check_boxes`, or not two lists of boxes.

    Example:
      >>> pairwise_box_iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 2, 2], [5, 5, 6, 6]]).tolist()
      [[1.0, 0.5, 0.0]]
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError(f"lists of boxes must be (N, 4) and (M, 4), got {x.shape} and {y.shape}")
    return box_iou(x[:, None], y[None])


def best_box_iou(found: ArrayLike, true_boxes: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """For each result the IoU of the box found with the best matching of the true boxes of its image.

    Its mean is the mean overlap; the share of values of at least 0.5 is the localisation rate of PASCAL VOC.

    Args:
      found: (R, 4); a row of NaN where nothing was found, which scores 0.
      true_boxes: for each result (S, 4), at least one box: results that do not show the object are left out.

    Returns:
      float64 (R,), 0 to 1.

    Raises:
      ValueError: sizes disagree, a result has no true box, or a box is malformed.

    Example:
      >>> best_box_iou([[0, 0, 2, 2], [np.nan] * 4], [[[9, 9, 10, 10], [0, 0, 2, 4]], [[0, 0, 1, 1]]]).tolist()
      [0.5, 0.0]
    """
    boxes = np.asarray(found, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) != len(true_boxes):
        raise ValueError(f"found must have shape ({len(true_boxes)}, 4), one box a result, got {boxes.shape}")
    values = np.zeros(len(boxes))
    for r, box in enumerate(boxes):
        truth = check_boxes(true_boxes[r], f"true_boxes[{r}]")
        if truth.ndim != 2 or not len(truth):
            raise ValueError(f"true_boxes[{r}] must have shape (S, 4) with S at least 1, got {truth.shape}")
        if not np.isnan(box).all():
            values[r] = box_iou(check_boxes(box, f"found[{r}]"), truth).max()
    return values
