"""Weights of the places of an image, for histograms in which not every place counts alike.

BLCF takes every place alike; its sequel (Mohedano et al. 2017, arXiv:1711.10795) weights the gallery's words by a
prior for the centre, by the lengths of the local descriptors, or by saliency. Any such map can be the `weights` of
`words_of_map`; the lengths are `np.linalg.norm(feature_map, axis=-1)`. Here are the prior and, for queries, the
surroundings of the box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.visual_words.placed_words import PlacedWords

__all__ = ["box_surroundings", "centre_prior"]


def centre_prior(points: ArrayLike, image_size: ArrayLike, *, spread: float = 1 / 3) -> NDArray[np.float64]:
    """A Gaussian at the centre of an image, for objects tend to be there (SPoC, Babenko and Lempitsky 2015,
    arXiv:1510.07493).

    Args:
      points: (..., N, 2), x and y of words in pixels; of one image, or of many at once.
      image_size: (..., 2), height and width of each image in pixels.
      spread: standard deviation as a share of the distance from the centre to the nearest border, above 0; a third
        in SPoC.

    Returns:
      float64 (..., N), above 0 (unless it underflows) and up to 1, for `PlacedWords.weighted`.

    Raises:
      ValueError: the spread is not a finite number above 0.

    Example:
      >>> from jaxret.visual_words import words_of_map
      >>> image = words_of_map([[0, 1, 2]], image_size=(30, 90))
      >>> centre_prior(image.points, image.image_size).round(3).tolist()
      [0.0, 1.0, 0.0]
    """
    _check_spread(spread)
    sizes = np.asarray(image_size, np.float64)[..., None, :]
    squared = ((np.asarray(points) - sizes[..., ::-1] / 2) ** 2).sum(axis=-1)
    return np.exp(-squared / (2 * (spread * sizes.min(axis=-1) / 2) ** 2))


def box_surroundings(image: PlacedWords, box: ArrayLike, *, spread: float = 0.25) -> NDArray[np.float64]:
    """Weights of a query's words: 1 in the box, and outside falling with the distance d to it, exp(-d^2 / (2 s^2)).

    What surrounds an object often comes with it (a building's square), so that a query by box alone gives something
    away, and one by the whole image gives the box away. The form is a decision of this library.

    Args:
      image: its words.
      box: (left, top, right, bottom) in pixels.
      spread: s as a share of the box's diagonal, above 0.

    Returns:
      float64 (N,), 0 to 1, for `image.weighted`; then take `query_bag` of the whole image.

    Raises:
      ValueError: the box is malformed or outside the image, or the spread is not a finite number above 0.

    Example:
      >>> from jaxret.visual_words import words_of_map
      >>> image = words_of_map([[0, 1, 2]], image_size=(30, 90))
      >>> box_surroundings(image, (0, 0, 40, 30), spread=0.5).round(3).tolist()  # the centres: 15, 45 and 75
      [1.0, 0.98, 0.375]
    """
    _check_spread(spread)
    inside = image.inside(box)
    left, top, right, bottom = np.asarray(box, np.float64)
    away = np.maximum(np.maximum([left, top] - image.points, image.points - [right, bottom]), 0)
    scale = spread * np.hypot(right - left, bottom - top)
    return np.where(inside, 1.0, np.exp(-(away**2).sum(axis=1) / (2 * scale**2)))


def _check_spread(spread: float) -> None:
    if not 0 < spread < np.inf:
        raise ValueError(f"spread must be a finite number above 0, got {spread!r}")
