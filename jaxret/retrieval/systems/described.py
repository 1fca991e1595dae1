"""Images as they are described before anything that is fitted, in rows that `frame_vectors` can carry.

Fitting and indexing see the same descriptions; an image that an encoder was fitted on need not be described again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.models.descriptors.stage_maps import sizes_within

__all__ = ["Described", "cropped_maps", "refuse_settings_of_words"]

_HEAD = 3  # height and width of the image, and how many local descriptors follow


@dataclasses.dataclass(frozen=True, eq=False)
class Described:
    """What an image is described by.

    Attributes:
      size: its height and width in pixels, as the encoder sees it.
      local: float32 (P, D), the places of its map, its key points or its regions.
    """

    size: tuple[int, int]
    local: NDArray[np.float32]

    @staticmethod
    def pack(images: Sequence[Described]) -> NDArray[np.float32]:
        """One row an image, (B, L); L as the longest needs it."""
        rows = np.zeros((len(images), _HEAD + max(image.local.size for image in images)), np.float32)
        for row, image in zip(rows, images, strict=True):
            row[:_HEAD] = *image.size, len(image.local)
            row[_HEAD : _HEAD + image.local.size] = image.local.reshape(-1)
        return rows

    @classmethod
    def unpack(cls, row: NDArray[np.float32], width: int) -> Described:
        """From a row (L,) and D; a view of it.

        Example:
          >>> row = Described.pack([Described((32, 64), np.ones((2, 3), np.float32))])[0]
          >>> Described.unpack(row, 3).size, Described.unpack(row, 3).local.shape
          ((32, 64), (2, 3))
        """
        height, side, count = (int(number) for number in row[:_HEAD])
        return cls((height, side), row[_HEAD : _HEAD + count * width].reshape(count, width))


def cropped_maps(
    maps: Callable[[Any, Any], Any], images: Any, sizes: Any, stride: int
) -> list[tuple[tuple[int, int], NDArray[np.float32]]]:
    """The size and the map (H', W', C) of each image of a batch, without the padding.

    Args:
      maps: of an encoder: images and their sizes, or None, to maps (B, H', W', C).
      images: (B, H, W, C).
      sizes: (B, 2), of each image within the batch; None: that of the batch.
      stride: pixels to a place of the map.
    """
    found = zip(np.asarray(maps(images, sizes)), sizes_within(images, sizes), strict=True)
    return [((height, width), one[: height // stride, : width // stride]) for one, (height, width) in found]


def refuse_settings_of_words(min_words: int, surroundings: float) -> None:
    """ValueError where a search sets what only visual words have."""
    given = [name for name, set_ in (("min_words", min_words != 1), ("surroundings", surroundings != 0)) if set_]
    if given:
        raise ValueError(
            f"{' and '.join(given)} {'is a setting' if len(given) == 1 else 'are settings'} of visual words, and the "
            "index has none: leave it out"
        )
