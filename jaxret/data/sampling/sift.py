"""SIFT key points of an image (Lowe 2004, IJCV 60), by OpenCV, the extra `opencv`, and the pairs that two share."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from jaxret.data.sampling.opencv import require_opencv
from jaxret.data.sampling.transforms import to_grey

__all__ = ["SiftFeatures", "shared_pairs", "sift_features"]

_RATIO = 0.8  # Lowe 2004, section 7.1

Descriptors = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class SiftFeatures:
    """Key points and what they look like.

    Attributes:
      points: float64 (N, 2), x and y in pixels from the upper left corner of the image, so that the centre of the
        first pixel is (0.5, 0.5).
      descriptors: float32 (N, 128), whole numbers 0 .. 255; with `root` of length 1.
    """

    points: npt.NDArray[np.float64]
    descriptors: Descriptors

    def __len__(self) -> int:
        """N, the number of key points."""
        return len(self.points)


def sift_features(
    image: npt.NDArray[np.uint8], max_features: int = 2000, *, root: bool = False, what: str = "describing by SIFT"
) -> SiftFeatures:
    """The strongest key points of an image and their descriptors.

    Args:
      image: uint8 (H, W, 3).
      max_features: at least 1; of key points of one strength at the end all are kept.
      root: take the square roots of the shares instead (RootSIFT, Arandjelovic and Zisserman 2012), which k-means and
        Euclidean distance suit better.
      what: needs OpenCV, for the message where it is absent.

    Returns:
      N of them, from 0 to about `max_features`.

    Raises:
      ConfigError: OpenCV is not installed.
      ValueError: the image has another shape or type, or max_features is below 1.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    if max_features < 1:
        raise ValueError(f"max_features must be at least 1, got {max_features!r}")
    detector = require_opencv(what).SIFT_create(nfeatures=max_features)
    found, raw = detector.detectAndCompute(np.ascontiguousarray(to_grey(image)[..., 0]), None)
    if raw is None:
        return SiftFeatures(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    height, width = image.shape[:2]
    # OpenCV counts from the centre of the first pixel; a point found between pixels may lie a little outside.
    points = np.clip(np.array([point.pt for point in found], np.float64) + 0.5, 0, (width, height))
    descriptors = np.asarray(raw, np.float32)
    if root:
        descriptors = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9))
    return SiftFeatures(points, descriptors)


def shared_pairs(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The descriptors that two images share: nearest to each other, and by far (ratio 0.8), seen from both sides.

    Args:
      first, second: (N, D) and (M, D) floating, any number of them.

    Returns:
      int64 (P, 2), numbers in `first` and in `second`, the first ascending; each descriptor at most once.

    Raises:
      ValueError: the shapes do not agree.

    Example:
      >>> shared_pairs([[0.0, 0.0], [9.0, 9.0]], [[9.0, 8.0], [0.0, 1.0], [50.0, 50.0]]).tolist()
      [[0, 1], [1, 0]]
    """
    # SIFT's numbers are whole and small: their distances are exact in float32.
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"descriptors must be (N, D) and (M, D), got {a.shape} and {b.shape}")
    if not len(a) or not len(b):
        return np.zeros((0, 2), np.int64)
    squared = np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T), 0)
    to_b, sure_of_b = _nearest(squared)
    to_a, sure_of_a = _nearest(np.ascontiguousarray(squared.T))
    chosen = np.flatnonzero((to_a[to_b] == np.arange(len(a))) & sure_of_b & sure_of_a[to_b])
    return np.stack([chosen, to_b[chosen]], axis=1)


def _nearest(squared: Descriptors) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The nearest column of each row, and whether it passes the ratio test; a single column always does."""
    nearest = squared.argmin(axis=1)
    if squared.shape[1] == 1:
        return nearest, np.ones(len(squared), bool)
    rows = np.arange(len(squared))
    least = squared[rows, nearest]
    # Quicker than a partition: the least of the others, with the nearest out of the way for a moment.
    squared[rows, nearest] = np.inf
    second = squared.min(axis=1)
    squared[rows, nearest] = least
    return nearest, least < _RATIO**2 * second
