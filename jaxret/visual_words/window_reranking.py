"""Re-ranking by windows slid over the words of each candidate, which also says where the object was found.

The cosine of a window with the query needs two numbers. The product of both histograms is a sum over the window's
places, so one summed-area table of a candidate gives it for every window; the length of the window's histogram depends
on no query and can be kept with the index (`jaxret.visual_words.windows.window_lengths`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.visual_words.inverted_file import rounded_distances
from jaxret.visual_words.placed_words import PlacedWords
from jaxret.visual_words.windows import (
    SHARES,
    Windows,
    area_sums,
    area_table,
    check_windows,
    sliding_windows,
    window_boxes,
    window_lengths,
    word_amounts,
)
from jaxret.visual_words.word_bags import WordBags, check_idf

__all__ = ["LocalisedResult", "WindowMatch", "WindowSettings", "best_window", "rerank_windows"]


class WindowMatch(NamedTuple):
    """The best window of an image: its cosine with the query, 0 to 1, and its box (4,) in pixels.

    Where no window shares a word with the query the cosine is 0 and the box NaN.
    """

    cosine: float
    box: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class WindowSettings:
    """Which windows are slid over an image.

    Attributes:
      shares, overlap: see `sliding_windows`.
      least_agreement: a window takes part if the smaller of the aspects of window and query, both in pixels, is at
        least this share of the larger, above 0 and up to 1; where none does, those that agree best.

    Raises:
      ValueError: `least_agreement` is out of range.
    """

    shares: tuple[float, ...] = SHARES
    overlap: float = 0.5
    least_agreement: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.least_agreement <= 1:
            raise ValueError(f"least_agreement must be above 0 and up to 1, got {self.least_agreement!r}")


@dataclasses.dataclass(frozen=True, eq=False)
class LocalisedResult:
    """Results of one query with the place where each was found.

    Attributes:
      ids: int64 (K,).
      distances: float32 (K,), 1 - cosine of the best window, ordered by (distance, id).
      boxes: float64 (K, 4), (left, top, right, bottom) in pixels of each image; NaN where nothing was found.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float32]
    boxes: NDArray[np.float64]


def best_window(
    query: WordBags,
    image: PlacedWords,
    windows: ArrayLike,
    *,
    idf: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
) -> WindowMatch:
    """The window of an image whose histogram has the largest cosine with the query's; of equal ones the first.

    Args:
      query: one bag, see `query_bag`.
      image: the words of the candidate.
      windows: int (n, 4), n at least 1, see `sliding_windows`.
      idf: (W,), at least 0; None: every word counts alike.
      lengths: (n,), `window_lengths` of these windows with this `idf`, where they were kept; None: found now.

    Raises:
      ValueError: the query is not one bag, there is no window or one does not fit the grid, or sizes disagree.

    Example:
      >>> from jaxret.visual_words import words_of_map, query_bag
      >>> image = words_of_map([[0, 1, 2, 2]], image_size=(10, 40))
      >>> query = query_bag(image, 3, box=(0, 0, 20, 10))
      >>> cosine, box = best_window(query, image, sliding_windows(image.grid))
      >>> round(cosine, 6), box.tolist()
      (1.0, [0.0, 0.0, 20.0, 10.0])
    """
    return _best(_query_weights(query, idf), image, check_windows(windows, image.grid), idf, lengths)


def rerank_windows(
    query: WordBags,
    ids: ArrayLike,
    images: Sequence[PlacedWords],
    *,
    idf: ArrayLike | None = None,
    aspect: float | None = None,
    windows: WindowSettings = WindowSettings(),
    lengths: Sequence[ArrayLike] | None = None,
) -> LocalisedResult:
    """The first results of a search in the order of their best windows, each with the box where it was found.

    Args:
      query: one bag, see `query_bag`.
      ids: int (K,), of the candidates, each once.
      images: the words of each candidate.
      idf: (W,), at least 0; None: every word counts alike.
      aspect: width / height of the query's box: windows of another shape are left out, see `WindowSettings`. None:
        windows of every shape.
      windows: which windows are slid.
      lengths: for each candidate what `window_lengths` gives for `sliding_windows(image.grid, ...)`, all of them and
        with this `idf`; None: found now, which takes most of the time.

    Raises:
      ValueError: numbers of ids, images and lengths differ, an id is repeated, or a setting is out of range.

    Example:
      >>> from jaxret.visual_words import words_of_map, query_bag
      >>> images = [words_of_map([[0, 3, 2, 2]], (10, 40)), words_of_map([[4, 4, 1, 1]], (10, 40))]
      >>> query = query_bag(images[1], 5, box=(20, 0, 40, 10))
      >>> found = rerank_windows(query, [8, 9], images)
      >>> found.ids.tolist(), found.boxes.tolist()
      ([9, 8], [[20.0, 0.0, 40.0, 10.0], [nan, nan, nan, nan]])
    """
    numbers = np.asarray(ids)
    if numbers.shape != (len(images),) or (len(images) and numbers.dtype.kind not in "iu"):
        raise ValueError(f"ids must be {len(images)} whole numbers, one an image, got {numbers.dtype} {numbers.shape}")
    if len(np.unique(numbers)) != len(numbers):
        raise ValueError("ids must name every candidate once")
    if lengths is not None and len(lengths) != len(images):
        raise ValueError(f"lengths are of {len(lengths)} images, and there are {len(images)}")
    if aspect is not None and not 0 < aspect < np.inf:
        raise ValueError(f"aspect must be a width divided by a height, above 0, got {aspect!r}")
    weights = _query_weights(query, idf)
    cosines, boxes = np.zeros(len(images)), np.full((len(images), 4), np.nan)
    for n, image in enumerate(images):
        slid = sliding_windows(image.grid, shares=windows.shares, overlap=windows.overlap)
        kept = None if lengths is None else np.asarray(lengths[n], np.float64)
        if kept is not None and kept.shape != (len(slid),):
            raise ValueError(f"lengths[{n}] must have shape ({len(slid)},), one a window, got {kept.shape}")
        if aspect is not None:
            some = windows_of_shape(window_boxes(slid, image), aspect, windows.least_agreement)
            slid, kept = slid[some], None if kept is None else kept[some]
        cosines[n], boxes[n] = _best(weights, image, slid, idf, kept)
    distances = rounded_distances(cosines)
    order = np.lexsort((numbers, distances))
    return LocalisedResult(numbers[order].astype(np.int64), distances[order], boxes[order])


def _best(
    weights: NDArray[np.float64],
    image: PlacedWords,
    windows: Windows,
    idf: ArrayLike | None,
    lengths: ArrayLike | None,
) -> WindowMatch:
    if not len(windows):
        raise ValueError("there must be at least one window")
    if len(image) and image.words.max() >= len(weights):
        raise ValueError(f"word {image.words.max()} is not of a codebook of {len(weights)} words")
    known = window_lengths(image, windows, idf=idf) if lengths is None else np.asarray(lengths, np.float64)
    if known.shape != (len(windows),):
        raise ValueError(f"lengths must have shape ({len(windows)},), one a window, got {known.shape}")
    cells = image.cells[:, 0] * image.grid[1] + image.cells[:, 1]
    products = area_sums(area_table(cells, word_amounts(image, idf) * weights[image.words], image.grid), windows)
    # What is left of a difference of sums is no word.
    shared = products > 1e-12 * max(float(products.max()), 0.0)
    cosines = np.where(shared, products / np.where(known > 0, known, np.inf), 0.0)
    # Rounded, so that windows that should tie do.
    cosines = np.round(np.minimum(cosines, 1.0) * 2.0**40) * 2.0**-40
    best = int(cosines.argmax())
    if not cosines[best]:
        return WindowMatch(0.0, np.full(4, np.nan))
    return WindowMatch(float(cosines[best]), window_boxes(windows[best : best + 1], image)[0])


def _query_weights(query: WordBags, idf: ArrayLike | None) -> NDArray[np.float64]:
    """The query's histogram times idf, scaled to length 1; (W,)."""
    if len(query) != 1:
        raise ValueError(f"query must be one bag, got {len(query)}")
    length = float(query.lengths(idf)[0])
    histogram = query.dense()[0] if idf is None else query.dense()[0] * check_idf(idf, query.n_words)
    return histogram / (length or 1.0)


def windows_of_shape(boxes: NDArray[np.float64], aspect: float, least: float) -> NDArray[np.intp]:
    """Which boxes (n, 4) have an aspect that agrees with another one, see `WindowSettings.least_agreement`."""
    aspects = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
    agreement = np.minimum(aspects, aspect) / np.maximum(aspects, aspect)
    return np.flatnonzero(agreement >= min(least, agreement.max()))
