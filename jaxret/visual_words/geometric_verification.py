"""Geometric verification: do the key points that two images share lie in one arrangement? By OpenCV, an extra."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.data.sampling.opencv import require_opencv
from jaxret.metrics.localisation.boxes import check_boxes
from jaxret.visual_words.placed_words import PlacedWords

__all__ = ["TransformModel", "Verification", "same_word_pairs", "verify_geometry"]

TransformModel = Literal["similarity", "affine", "homography"]
"""What a view of the object may do to it: turn and scale; stretch and shear as well; perspective as well."""

_LEAST_PAIRS = {"similarity": 2, "affine": 3, "homography": 4}
_LARGEST_SCALE = 16.0  # either way; a map that shrinks all points onto one has any number of inliers


@dataclasses.dataclass(frozen=True, eq=False)
class Verification:
    """What was found.

    Attributes:
      inliers: pairs that agree with one transform, each point counted once; 0 where there is none.
      transform: float64 (3, 3), from homogeneous pixels of the query to those of the image; NaN where there is none.
      box: float64 (4,), around the query's box as it lies in the image, cut to the image; NaN where there is none.
    """

    inliers: int
    transform: NDArray[np.float64]
    box: NDArray[np.float64]


def same_word_pairs(query: PlacedWords, image: PlacedWords, *, max_pairs: int = 4) -> NDArray[np.int64]:
    """Pairs of key points that have the same word, for indexes that keep words and no descriptors.

    Args:
      query: its words, such as those in a box.
      image: the candidate's.
      max_pairs: of one word, at least 1: a word that would make more is left out whole, for its pairs are mostly wrong.

    Returns:
      int64 (P, 2), numbers in `query` and in `image`, ascending.

    Raises:
      ValueError: max_pairs is below 1.

    Example:
      >>> from jaxret.visual_words import words_at_points
      >>> query = words_at_points([3, 5], [[1, 1], [2, 2]], (9, 9))
      >>> image = words_at_points([5, 3, 5], [[1, 1], [2, 2], [3, 3]], (9, 9))
      >>> same_word_pairs(query, image).tolist()
      [[0, 1], [1, 0], [1, 2]]
    """
    if max_pairs < 1:
        raise ValueError(f"max_pairs must be at least 1, got {max_pairs!r}")
    order = np.argsort(image.words, kind="stable")
    ranked = image.words[order]
    first, last = np.searchsorted(ranked, query.words), np.searchsorted(ranked, query.words, side="right")
    _, numbers, times = np.unique(query.words, return_inverse=True, return_counts=True)
    held = last - first
    held[held * (times[numbers] if len(numbers) else 0) > max_pairs] = 0
    left = np.repeat(np.arange(len(query)), held)
    right = [order[start : start + count] for start, count in zip(first, held, strict=True)]
    return np.stack([left, np.concatenate([np.zeros(0, np.int64), *right])], axis=1)


def verify_geometry(
    query_points: ArrayLike,
    image_points: ArrayLike,
    box: ArrayLike,
    image_size: tuple[float, float],
    *,
    model: TransformModel = "affine",
    tolerance: float = 6.0,
    least_inliers: int = 5,
) -> Verification:
    """The transform that most pairs of points agree with, by RANSAC (Fischler and Bolles 1981; Philbin et al. 2007).

    A transform counts as none where too few agree, where it mirrors, or where it changes an area by more than 16 x 16:
    such are found by accident. OpenCV draws the same pairs every time, so the result repeats.

    Args:
      query_points, image_points: (P, 2) x and y in pixels; pair p is row p of both. A point may be in several pairs.
      box: of the query, (left, top, right, bottom) in its pixels.
      image_size: (height, width) of the image in pixels.
      model: "similarity", "affine" or "homography"; the fewer numbers, the fewer pairs it needs.
      tolerance: pixels of the image that a point may be off, above 0.
      least_inliers: fewer are none; at least one more than the model goes through anyway (2, 3 and 4).

    Raises:
      ConfigError: OpenCV is not installed.
      ValueError: shapes do not agree, a number is not finite, or a setting is unknown or out of range.
    """
    source, target = np.asarray(query_points, np.float64), np.asarray(image_points, np.float64)
    if source.ndim != 2 or source.shape[1] != 2 or source.shape != target.shape:
        raise ValueError(f"points must be (P, 2) in both images, got {source.shape} and {target.shape}")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("points must be finite")
    if model not in get_args(TransformModel):
        raise ValueError(f"model must be one of {', '.join(get_args(TransformModel))}, got {model!r}")
    if not 0 < tolerance < np.inf:
        raise ValueError(f"tolerance must be a number of pixels above 0, got {tolerance!r}")
    if least_inliers <= _LEAST_PAIRS[model]:
        raise ValueError(
            f"least_inliers must be above the {_LEAST_PAIRS[model]} of the model {model!r}, got {least_inliers!r}"
        )
    corners = check_boxes(box, "box")
    if corners.shape != (4,):
        raise ValueError(f"box must be one box of four numbers, got shape {corners.shape}")
    if (corners[:2] == corners[2:]).any():
        raise ValueError(f"box {tuple(corners.tolist())} has no area")
    nothing = Verification(0, np.full((3, 3), np.nan), np.full(4, np.nan))
    cv2 = require_opencv("geometric verification")
    if _distinct(source, target) < least_inliers:
        return nothing
    transform = _ransac(cv2, source, target, model, tolerance)
    if transform is None:
        return nothing
    left, top, right, bottom = corners
    outline = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    moved, ahead = _apply(transform, np.concatenate([outline, source]))
    if not ahead[:4].all() or not _plausible(outline, moved[:4]):
        return nothing
    close = ahead[4:] & (((moved[4:] - target) ** 2).sum(axis=1) <= tolerance**2)
    inliers = _distinct(source[close], target[close])
    height, width = image_size
    low = np.clip(moved[:4].min(axis=0), 0, (width, height))
    high = np.clip(moved[:4].max(axis=0), 0, (width, height))
    if inliers < least_inliers or (low >= high).any():
        return nothing
    return Verification(inliers, transform, np.concatenate([low, high]))


def _ransac(
    cv2: Any, source: NDArray[np.float64], target: NDArray[np.float64], model: TransformModel, tolerance: float
) -> NDArray[np.float64] | None:
    if model == "homography":
        found, _ = cv2.findHomography(source, target, cv2.RANSAC, tolerance)
    else:
        estimate = cv2.estimateAffine2D if model == "affine" else cv2.estimateAffinePartial2D
        found, _ = estimate(source, target, method=cv2.RANSAC, ransacReprojThreshold=tolerance)
    if found is None or not np.isfinite(found).all():
        return None
    return np.asarray(found, np.float64) if len(found) == 3 else np.vstack([found, [0.0, 0.0, 1.0]])


def _apply(
    transform: NDArray[np.float64], points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The points moved, and whether each lies in front of the camera (always for an affine transform)."""
    moved = np.column_stack([points, np.ones(len(points))]) @ transform.T
    ahead = moved[:, 2] > 1e-9
    return moved[:, :2] / np.where(ahead, moved[:, 2], 1.0)[:, None], ahead


def _plausible(outline: NDArray[np.float64], moved: NDArray[np.float64]) -> bool:
    """Whether the box is still convex, not mirrored, and of an area that can be believed."""
    sides = np.roll(moved, -1, axis=0) - moved
    following = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    x, y = moved.T
    area = 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    before = float(np.prod(outline[2] - outline[0]))
    least, most = before / _LARGEST_SCALE**2, before * _LARGEST_SCALE**2
    return bool((turns > 0).all()) and least <= area <= most


def _distinct(source: NDArray[np.float64], target: NDArray[np.float64]) -> int:
    """Pairs, with no point counted twice."""
    return min(len(np.unique(source, axis=0)), len(np.unique(target, axis=0)))
