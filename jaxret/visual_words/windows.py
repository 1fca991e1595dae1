"""Windows slid over the words of an image: where they are, and how long the histogram of each is.

The length needs the histogram word by word, but no query. It is found through integral histograms (Porikli 2005), so
that the cost of a window does not depend on its area, once for an image, and can be kept.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.visual_words.placed_words import PlacedWords
from jaxret.visual_words.word_bags import check_idf

__all__ = ["SHARES", "sliding_windows", "window_boxes", "window_lengths"]

_TABLE_BYTES = 16 << 20  # of integral histograms held at once
SHARES = (1.0, 0.5, 0.25)
"""The sides of BLCF's windows as shares of the grid's."""

Windows = NDArray[np.int64]


def sliding_windows(grid: tuple[int, int], *, shares: Sequence[float] = SHARES, overlap: float = 0.5) -> Windows:
    """Windows of every height with every width, slid over a grid of cells, as in BLCF (arXiv:1604.04840).

    Sides are rounded to whole cells, at least one; the last window of a row or column ends at the border.

    Args:
      grid: (rows, columns), see `PlacedWords.grid`.
      shares: the sides as shares of the grid's, above 0 and up to 1; in BLCF 1, 1/2 and 1/4, so that the whole image
        is among the windows.
      overlap: of neighbouring windows as a share of their side, from 0 to below 1.

    Returns:
      int64 (n, 4), read-only: first row, first column, row and column behind the last. The largest come first.

    Raises:
      ValueError: the grid is empty, or a share or the overlap is out of range.

    Example:
      >>> sliding_windows((1, 4), shares=(1.0, 0.5)).tolist()
      [[0, 0, 1, 4], [0, 0, 1, 2], [0, 1, 1, 3], [0, 2, 1, 4]]
    """
    rows, columns = grid
    if rows < 1 or columns < 1:
        raise ValueError(f"grid must have at least one row and one column, got {grid!r}")
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares must be above 0 and up to 1, at least one, got {tuple(shares)!r}")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be from 0 to below 1, got {overlap!r}")
    return _sliding_windows(int(rows), int(columns), tuple(shares), float(overlap))


@functools.lru_cache(maxsize=256)
def _sliding_windows(rows: int, columns: int, shares: tuple[float, ...], overlap: float) -> Windows:
    def spans(cells: int) -> list[tuple[int, int]]:
        found = []
        for side in sorted({max(1, round(share * cells)) for share in shares}, reverse=True):
            step = max(1, round(side * (1 - overlap)))
            starts = [*range(0, cells - side, step), cells - side]
            found += [(start, start + side) for start in starts]
        return found

    windows = np.array(
        [(top, left, bottom, right) for top, bottom in spans(rows) for left, right in spans(columns)], np.int64
    )
    area = (windows[:, 2] - windows[:, 0]) * (windows[:, 3] - windows[:, 1])
    windows = windows[np.argsort(-area, kind="stable")]
    windows.flags.writeable = False
    return windows


def window_boxes(windows: ArrayLike, image: PlacedWords) -> NDArray[np.float64]:
    """The boxes (n, 4) of windows (n, 4) of an image's grid: left, top, right, bottom in pixels.

    Example:
      >>> from jaxret.visual_words import words_of_map
      >>> window_boxes([[0, 1, 1, 2]], words_of_map([[0, 1]], image_size=(100, 200))).tolist()
      [[100.0, 0.0, 200.0, 100.0]]
    """
    (rows, columns), (height, width) = image.grid, image.image_size
    top, left, bottom, right = check_windows(windows, image.grid).T
    return np.stack([left * width, top * height, right * width, bottom * height], axis=1) / (
        np.array([columns, rows, columns, rows])
    )


def window_lengths(image: PlacedWords, windows: ArrayLike, *, idf: ArrayLike | None = None) -> NDArray[np.float64]:
    """The Euclidean length of the histogram of words in each window, which every cosine with it is divided by.

    It depends on no query: keep it with the image (for BLCF's windows on a map of 20 x 30, 143 numbers).

    Args:
      image: its words.
      windows: int (n, 4), see `sliding_windows`.
      idf: (W,), at least 0; None: every word counts alike.

    Returns:
      float64 (n,).

    Raises:
      ValueError: a window is empty or reaches outside the grid, or `idf` does not cover the words.

    Example:
      >>> from jaxret.visual_words import words_of_map
      >>> window_lengths(words_of_map([[7, 7, 7, 2]], (8, 32)), [[0, 0, 1, 4], [0, 3, 1, 4]]).round(3).tolist()
      [3.162, 1.0]
    """
    chosen = check_windows(windows, image.grid)
    amounts = word_amounts(image, idf)
    rows, columns = image.grid
    cells = image.cells[:, 0] * columns + image.cells[:, 1]
    _, numbers, times = np.unique(image.words, return_inverse=True, return_counts=True)
    alone = times[numbers] == 1
    # The square of a histogram whose words occur once is a sum over places again.
    squares = area_sums(area_table(cells[alone], amounts[alone] ** 2, image.grid), chosen)
    repeated = np.flatnonzero(times > 1)
    place = np.full(len(times), -1)
    place[repeated] = np.arange(len(repeated))
    word = place[numbers]
    step = max(1, _TABLE_BYTES // (8 * ((rows + 1) * (columns + 1) + len(chosen))))
    for first in range(0, len(repeated), step):
        count = min(step, len(repeated) - first)
        some = (word >= first) & (word < first + count)
        histogram = np.bincount(
            cells[some] * count + word[some] - first, amounts[some], minlength=rows * columns * count
        )
        table = np.zeros((rows + 1, columns + 1, count))
        np.cumsum(histogram.reshape(rows, columns, count), axis=0, out=table[1:, 1:])
        np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
        sums = area_sums(table, chosen)
        squares += np.einsum("nw,nw->n", sums, sums)
    # Differences of sums may leave a little less than nothing.
    return np.sqrt(np.maximum(squares, 0))


def word_amounts(image: PlacedWords, idf: ArrayLike | None) -> NDArray[np.float64]:
    """What each word adds to its entry of a histogram."""
    if idf is None:
        return image.weights
    weights = check_idf(idf, np.shape(idf)[0])
    if len(image) and image.words.max() >= len(weights):
        raise ValueError(f"word {image.words.max()} is not of a codebook of {len(weights)} words")
    return image.weights * weights[image.words]


def area_table(cells: NDArray[np.int64], amounts: NDArray[np.float64], grid: tuple[int, int]) -> NDArray[np.float64]:
    """The summed-area table (rows + 1, columns + 1) of amounts in cells."""
    rows, columns = grid
    table = np.zeros((rows + 1, columns + 1))
    table[1:, 1:] = np.bincount(cells, amounts, minlength=rows * columns).reshape(grid).cumsum(axis=0).cumsum(axis=1)
    return table


def area_sums(table: NDArray[np.float64], windows: Windows) -> NDArray[np.float64]:
    """(n, ...): the sum over each window."""
    top, left, bottom, right = windows.T
    return (table[bottom, right] - table[top, right]) - (table[bottom, left] - table[top, left])


def check_windows(windows: ArrayLike, grid: tuple[int, int]) -> Windows:
    """Windows as int64 (n, 4); ValueError where one is empty or reaches outside the grid."""
    array = np.asarray(windows)
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "iu":
        raise ValueError(f"windows must be whole numbers (n, 4), got {array.dtype} {array.shape}")
    fits = (array[:, :2] >= 0) & (array[:, :2] < array[:, 2:]) & (array[:, 2:] <= np.array(grid))
    if not fits.all():
        odd = tuple(array[~fits.all(axis=1)][0].tolist())
        raise ValueError(f"window {odd} is empty or reaches outside the grid of {grid[0]} x {grid[1]}")
    return array.astype(np.int64, copy=False)
