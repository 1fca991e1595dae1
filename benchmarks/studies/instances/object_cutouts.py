"""Objects cut out of photographs on black, such as COIL-100's: what `pasted_objects` pastes.

COIL's images are crops of photographs in which the object stands on a black cloth, padded with an even dark grey and
stored as JPEG. Brightness alone loses the dark green side of a can and dark tyres; colour alone adds a ring, for JPEG
keeps colours at half the size. So: what is bright, and what is coloured over more than the width of such a ring.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

__all__ = ["cut_out", "read_views"]

_BRIGHT = 24.0  # levels above the background
_COLOURED = 11.0  # levels between the channels, where the cloth is grey
_CLOTH = 60  # levels: no cloth is brighter
_MARGIN = 10  # pixels around the image, so that a closing may go past its border


def cut_out(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The object of an image on black, with a soft edge.

    Holes are filled, so dark parts inside stay (and what shows through the handle of a cup stays as dark as the cloth).
    The outermost pixel, a mixture with the cloth, is cut off, and colours near the edge are those from further inside.

    Args:
      image: uint8 (H, W, 3), one object on a background that is darker than it or grey.

    Returns:
      uint8 (h, w, 4), red, green, blue and opacity, the object in it with 3 pixels of no opacity on each side. Colours
      go on outside the object, so that it can be resized channel by channel.

    Raises:
      ValueError: it is no image, or nothing in it stands out.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
    mask = _mask(image)
    if not mask.any():
        raise ValueError("the image shows no object: nothing is brighter or more coloured than its border")
    inner = ndimage.binary_erosion(mask, structure=_disk(3))
    outside = ~(inner if inner.any() else mask)
    nearest = ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True)
    padded = np.pad(image, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), mode="edge")
    opacity = ndimage.gaussian_filter(ndimage.binary_erosion(mask, structure=_disk(1)).astype(np.float64), 0.8)
    cutout = np.dstack([padded[nearest[0], nearest[1]], np.rint(255 * opacity).astype(np.uint8)])
    rows, columns = (np.flatnonzero((cutout[..., 3] > 127).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("the object of the image is a speck: nothing is left of it without its edge")
    return cutout[max(rows[0] - 3, 0) : rows[-1] + 4, max(columns[0] - 3, 0) : columns[-1] + 4]


def read_views(folder: Path) -> dict[int, npt.NDArray[np.uint8]]:
    """The cut-outs of an object by the degrees it was turned, from files named `<degrees>.jpg`."""
    views = {}
    for path in sorted(folder.glob("*.jpg")):
        with Image.open(path) as image:
            views[int(path.stem)] = cut_out(np.asarray(image.convert("RGB")))
    return views


def _mask(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Where the object is, bool, larger than the image by the margin on each side."""
    pixels = image.astype(np.float64)
    border = np.concatenate([pixels[:3], pixels[-3:], pixels[:, :3].swapaxes(0, 1), pixels[:, -3:].swapaxes(0, 1)], 1)
    cloth = border[border.max(axis=2) < _CLOTH]
    background = np.median(cloth, axis=0) if len(cloth) else np.zeros(3)
    difference = ndimage.gaussian_filter(pixels - background, (0.7, 0.7, 0))
    difference = np.pad(difference, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)))
    bright = np.abs(difference).max(axis=2) > _BRIGHT
    coloured = np.ptp(difference, axis=2) > _COLOURED
    only_coloured = coloured & ~ndimage.binary_opening(bright, structure=_disk(1))
    mask = bright | ndimage.binary_opening(only_coloured, structure=_disk(4))
    mask = _largest(ndimage.binary_opening(mask, structure=_disk(1)))
    mask = ndimage.binary_fill_holes(ndimage.binary_closing(mask, structure=_disk(7)))
    return _largest(ndimage.binary_opening(mask, structure=_disk(2)))


def _largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest connected piece."""
    pieces, count = ndimage.label(mask)
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if count else mask


def _disk(radius: int) -> npt.NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius + 0.3
