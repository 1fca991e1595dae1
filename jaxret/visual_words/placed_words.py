"""The visual words of one image and where they are: an assignment map, or the words of key points.

Both are held in one form, so that boxes, histograms and windows need one road. Boxes are in pixels of the original
image, see `jaxret.metrics.localisation.boxes`; a word is in a box if its point is, from left to below right and from
top to below bottom. The point of a place of a map is the centre of its cell, and the cells share the image out evenly.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.metrics.localisation.boxes import check_boxes

__all__ = ["PlacedWords", "words_at_points", "words_of_map"]


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedWords:
    """Visual words of an image, made by `words_of_map` or `words_at_points`.

    Attributes:
      words: int32 (N,), at least 0; N may be 0.
      points: float64 (N, 2), x and y in pixels.
      cells: int64 (N, 2), row and column in the grid that windows are made of.
      grid: (rows, columns).
      image_size: (height, width) in pixels.
      weights: float64 (N,), at least 0: how much each word counts in histograms.
    """

    words: NDArray[np.int32]
    points: NDArray[np.float64]
    cells: NDArray[np.int64]
    grid: tuple[int, int]
    image_size: tuple[float, float]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        """N, the number of words."""
        return len(self.words)

    def inside(self, box: ArrayLike) -> NDArray[np.bool_]:
        """Which words lie in a box; of a box that reaches over the border, those in the image.

        Args:
          box: (left, top, right, bottom) in pixels.

        Returns:
          bool (N,).

        Raises:
          ValueError: the box is malformed, has no area, or lies outside the image.

        Example:
          >>> image = words_of_map([[0, 1], [2, 3]], image_size=(100, 200))
          >>> image.words[image.inside((90, 0, 200, 60))].tolist()
          [1]
        """
        corners = check_boxes(box, "box")
        if corners.shape != (4,):
            raise ValueError(f"box must be one box of four numbers, got shape {corners.shape}")
        left, top, right, bottom = corners.tolist()
        height, width = self.image_size
        if left == right or top == bottom:
            raise ValueError(f"box {(left, top, right, bottom)} has no area")
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            raise ValueError(f"box {(left, top, right, bottom)} lies outside the image of {width:g} x {height:g}")
        x, y = self.points.T
        return (left <= x) & (x < right) & (top <= y) & (y < bottom)

    def weighted(self, weights: ArrayLike) -> PlacedWords:
        """The same words with other weights.

        Args:
          weights: (N,), finite and at least 0.

        Raises:
          ValueError: they are another number, negative or not finite.

        Example:
          >>> words_of_map([[0, 1]], image_size=(10, 20)).weighted([1.0, 0.5]).weights.tolist()
          [1.0, 0.5]
        """
        return dataclasses.replace(self, weights=_checked_weights(weights, (len(self),)))


def words_of_map(
    word_map: ArrayLike, image_size: tuple[float, float], *, weights: ArrayLike | None = None
) -> PlacedWords:
    """The words of an assignment map.

    Args:
      word_map: int (H', W') of words, such as `codebook.assign(feature_map)`; -1 where there is none.
      image_size: (height, width) in pixels of the original image, which the map covers from border to border.
      weights: (H', W'), finite and at least 0, see `jaxret.visual_words.spatial_weights`; None: 1 everywhere.

    Raises:
      TypeError: the words are no whole numbers.
      ValueError: a shape does not fit, or a size, word or weight is out of range.

    Example:
      >>> words_of_map([[5, 5], [-1, 7]], image_size=(100, 200)).points.tolist()
      [[50.0, 25.0], [150.0, 25.0], [150.0, 75.0]]
    """
    array = np.asarray(word_map)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"word_map must be (H', W') with at least one place, got shape {array.shape}")
    size, words = _checked_size(image_size), _checked_words(array, -1)
    chosen = words >= 0
    cells = np.argwhere(chosen)
    spread = np.ones(array.shape) if weights is None else _checked_weights(weights, array.shape)
    centres = (cells + 0.5) * (np.array(size) / array.shape)
    return PlacedWords(words[chosen], centres[:, ::-1], cells, array.shape, size, spread[chosen])


def words_at_points(
    words: ArrayLike, points: ArrayLike, image_size: tuple[float, float], *, cells: int = 32
) -> PlacedWords:
    """The words of key points.

    Args:
      words: int (N,), such as `codebook.assign(descriptors)`.
      points: (N, 2), x and y in pixels, inside the image.
      image_size: (height, width) in pixels.
      cells: along the longer side, at least 1: windows begin and end at their borders. Boxes see the points themselves.

    Raises:
      TypeError: the words are no whole numbers.
      ValueError: a shape does not fit, or a size, word or point is out of range.

    Example:
      >>> image = words_at_points([3, 9], [[10.0, 80.0], [199.0, 0.0]], image_size=(100, 200), cells=8)
      >>> image.grid, image.cells.tolist()
      ((4, 8), [[3, 0], [0, 7]])
    """
    size, found = _checked_size(image_size), _checked_words(np.asarray(words), 0)
    places = np.asarray(points, np.float64)
    if found.ndim != 1 or places.shape != (len(found), 2):
        raise ValueError(f"words and points must be (N,) and (N, 2), got {found.shape} and {places.shape}")
    outside = ~((places >= 0) & (places <= np.array(size)[::-1])).all(axis=1)
    if outside.any():
        odd = tuple(places[outside][0].tolist())
        raise ValueError(f"point {odd} lies outside the image of {size[1]:g} x {size[0]:g}")
    if cells < 1:
        raise ValueError(f"cells must be at least 1, got {cells!r}")
    longer = max(size)
    grid = (max(1, round(cells * size[0] / longer)), max(1, round(cells * size[1] / longer)))
    # A point on the far border belongs to the last cell.
    rows_and_columns = np.floor(places[:, ::-1] * grid / size).astype(np.int64)
    rows_and_columns = np.minimum(rows_and_columns, np.array(grid) - 1)
    return PlacedWords(found, places, rows_and_columns, grid, size, np.ones(len(found)))


def _checked_size(image_size: tuple[float, float]) -> tuple[float, float]:
    height, width = image_size
    if not (0 < height < np.inf and 0 < width < np.inf):
        raise ValueError(f"image_size must be a height and a width above 0, got {image_size!r}")
    return float(height), float(width)


def _checked_words(words: NDArray[np.generic], least: int) -> NDArray[np.int32]:
    if not words.size:  # an empty list is of floats to NumPy
        return np.zeros(words.shape, np.int32)
    if words.dtype.kind not in "iu":
        raise TypeError(f"words must be whole numbers, got {words.dtype}")
    if words.min() < least or words.max() > np.iinfo(np.int32).max:
        odd = words.min() if words.min() < least else words.max()
        raise ValueError(f"words must be at least {least} and below 2^31, got {odd}")
    return words.astype(np.int32)


def _checked_weights(weights: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.array(weights, np.float64)
    if array.shape != shape:
        raise ValueError(f"weights must have shape {shape}, got {array.shape}")
    if array.size and not (array.min() >= 0 and array.max() < np.inf):
        odd = array[~((array >= 0) & (array < np.inf))][0]
        raise ValueError(f"weights must be finite and at least 0, got {odd}")
    return array
