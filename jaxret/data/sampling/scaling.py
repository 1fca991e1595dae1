"""Images scaled bilinearly, with the bits of Pillow in less than half of its time."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jaxret.data.sampling._scaling import WEIGHT_BITS, scale

if TYPE_CHECKING:
    from jaxret.data.sampling._scaling import Footprints

__all__ = ["scale_bilinear"]


def scale_bilinear(pixels: NDArray[np.uint8], height: int, width: int, *, portable: bool = False) -> NDArray[np.uint8]:
    """An RGB image scaled as `PIL.Image.resize` does by `BILINEAR`, bit by bit: along the rows, rounded, and then along
    the columns.

    A pixel is the mean of those under a triangle, two pixels wide in whichever of both images has the larger ones, so
    that reducing does not alias.

    Args:
      pixels: uint8 (H, W, 3).
      height, width: of the result, at least 1.
      portable: without vectors of the CPU; the result is the same.

    Returns:
      uint8 (height, width, 3).

    Example:
      >>> scale_bilinear(np.array([[[0] * 3, [80] * 3, [160] * 3, [80] * 3]], np.uint8), 1, 2)[0, :, 0].tolist()
      [57, 114]
    """
    down, across = (_footprints(*sides) for sides in zip(pixels.shape[:2], (height, width), strict=True))
    return scale(np.ascontiguousarray(pixels), down, across, portable)


@functools.lru_cache(maxsize=256)
def _footprints(size: int, scaled: int) -> Footprints:
    """For each pixel of a line: the first that it is made of, how many there are, and what each counts, in order."""
    step = size / scaled
    reach = max(step, 1.0)
    centres = (np.arange(scaled) + 0.5) * step
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    lengths = np.minimum((centres + reach + 0.5).astype(np.int64), size) - first
    places = np.arange(2 * math.ceil(reach) + 2)  # an even number, for they are read in pairs
    shares = np.maximum(1 - np.abs((places + first[:, None] - centres[:, None] + 0.5) * (1 / reach)), 0)
    shares = np.where(places < lengths[:, None], shares, 0)
    shares /= np.cumsum(shares, axis=1)[:, -1:]  # added one after another, as Pillow does
    weights = (shares * (1 << WEIGHT_BITS) + 0.5).astype(np.int32)
    return first.astype(np.int32), lengths.astype(np.int32), weights
