"""Depth as a third spatial axis: every pixel of an RGB-D frame lies in one of Z planes, and back.

An RGB-D clip is (T, H, W) pixels with a depth each. For networks with three spatial axes it becomes a volume
(T, H, W, Z): a pixel's colour stands in its plane, beside an occupancy of 1; everywhere else is 0. What goes from the
reader to the device is the far smaller plane number, a fourth channel of the pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jaxret.preprocessing import DepthPlanes

__all__ = ["frames_of_volumes", "plane_numbers"]


def plane_numbers(depths: npt.ArrayLike, planes: DepthPlanes) -> npt.NDArray[np.uint8]:
    """The plane that each depth lies in.

    Args:
      depths: (...), metres; 0, negative values and NaN are no readings.
      planes: how many, and the range.

    Returns:
      uint8 (...), 1..Z from near to far, and 0 for no reading. Depths out of the range are in the first or last plane.

    Example:
      >>> plane_numbers([0.0, 0.3, 1.0, 1.99, 2.0, 9.0], DepthPlanes(count=3, near=1.0, far=4.0)).tolist()
      [0, 1, 1, 1, 2, 3]
    """
    metres = np.asarray(depths, np.float64)
    with np.errstate(invalid="ignore"):
        scaled = np.floor((metres - planes.near) * (planes.count / (planes.far - planes.near)))
        return np.where(metres > 0, np.clip(scaled, 0, planes.count - 1) + 1, 0).astype(np.uint8)


def frames_of_volumes(volumes: npt.ArrayLike, *, threshold: float = 0.5) -> npt.NDArray[np.uint8]:
    """Volumes, as a decoder gives them, as frames to look at: each pixel's fullest plane and the colour there.

    Args:
      volumes: (..., H, W, Z, 4) floating: red, green, blue (0..255) and occupancy.
      threshold: a pixel whose fullest plane is less occupied than this is black, in plane 0.

    Returns:
      uint8 (..., H, W, 4): red, green, blue and the number of the plane, 0..Z. Colours are rounded and
      clipped; of planes that are equally full the nearest counts.

    Raises:
      ValueError: the last axis is not 4 or Z is not in 1..255.
    """
    values = np.asarray(volumes, np.float32)
    if values.ndim < 4 or values.shape[-1] != 4 or not 1 <= values.shape[-2] <= 255:
        raise ValueError(f"volumes must be (..., H, W, Z, 4) with Z in 1..255, got {values.shape}")
    fullest = values[..., 3].argmax(axis=-1)  # (..., H, W)
    chosen = np.take_along_axis(values, fullest[..., None, None], axis=-2)[..., 0, :]  # (..., H, W, 4)
    seen = chosen[..., 3] >= threshold
    frames = np.empty(chosen.shape, np.uint8)
    frames[..., :3] = np.clip(np.rint(chosen[..., :3]), 0, 255) * seen[..., None]
    frames[..., 3] = (fullest + 1) * seen
    return frames
