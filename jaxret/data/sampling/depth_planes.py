"""Depth as a third spatial axis: every pixel of an RGB-D frame lies in one of Z planes, and back.

An RGB-D clip is (T, H, W) pixels with a depth each. For networks with three spatial axes it becomes a volume
(T, H, W, Z): a pixel's colour stands in its plane, beside an occupancy of 1; everywhere else is 0. What goes from the
reader to the device is the far smaller plane number, a fourth channel of the pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jaxret.preprocessing import DepthPlanes

__all__ = ["depth_of_planes", "frames_of_volumes", "plane_numbers", "volumes_of_frames"]


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


def depth_of_planes(numbers: npt.ArrayLike, planes: DepthPlanes) -> npt.NDArray[np.float32]:
    """The depth in the middle of each plane: numbers (...) to float32 (...) metres, 0 for plane 0.

    Example:
      >>> depth_of_planes([0, 1, 3], DepthPlanes(count=3, near=1.0, far=4.0)).tolist()
      [0.0, 1.5, 3.5]
    """
    chosen = np.asarray(numbers)
    middle = planes.near + (chosen - 0.5) * ((planes.far - planes.near) / planes.count)
    return np.where(chosen > 0, middle, 0).astype(np.float32)


def volumes_of_frames(frames: npt.NDArray[np.uint8], planes: DepthPlanes) -> npt.NDArray[np.float32]:
    """RGB-D frames as volumes: colour in the plane of its pixel, and where there is any.

    Args:
      frames: uint8 (..., H, W, 4): red, green, blue and the number of the plane, 0..Z.
      planes: Z.

    Returns:
      float32 (..., H, W, Z, 4): red, green, blue (0..255) and occupancy (0 or 1). A pixel without a reading is empty.

    Raises:
      ValueError: another type or shape, or a plane number above Z.

    Example:
      >>> volumes_of_frames(np.array([[[9, 8, 7, 2]]], np.uint8), DepthPlanes(count=2))[0, 0].tolist()
      [[0.0, 0.0, 0.0, 0.0], [9.0, 8.0, 7.0, 1.0]]
    """
    if frames.dtype != np.uint8 or frames.ndim < 3 or frames.shape[-1] != 4:
        raise ValueError(f"frames must be uint8 (..., H, W, 4), got {frames.dtype} {frames.shape}")
    numbers = frames[..., 3]
    if frames.size and numbers.max() > planes.count:
        raise ValueError(f"plane numbers must lie in 0..{planes.count}, got {numbers.max()}")
    held = numbers[..., None] == np.arange(1, planes.count + 1)  # (..., H, W, Z)
    coloured = np.concatenate([frames[..., :3], np.ones_like(frames[..., :1])], axis=-1)
    return np.where(held[..., None], coloured[..., None, :], 0).astype(np.float32)


def frames_of_volumes(volumes: npt.ArrayLike, *, threshold: float = 0.5) -> npt.NDArray[np.uint8]:
    """Volumes, as a decoder gives them, as frames to look at: each pixel's fullest plane and the colour there.

    Args:
      volumes: (..., H, W, Z, 4) floating: red, green, blue (0..255) and occupancy.
      threshold: a pixel whose fullest plane is less occupied than this is black, in plane 0.

    Returns:
      uint8 (..., H, W, 4), as `volumes_of_frames` takes them; colours are rounded and clipped. Of planes that are
      equally full the nearest counts.

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
