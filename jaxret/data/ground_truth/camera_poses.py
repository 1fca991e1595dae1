"""Camera poses as files: where the camera of a frame stood and where it looked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jaxret.errors import MediaError
from jaxret.files import read_text

__all__ = ["read_pose"]

_TOLERANCE = 0.05  # poses of cameras are estimates, and files keep few digits


def read_pose(path: str | os.PathLike[str]) -> npt.NDArray[np.float64]:
    """A camera pose: camera coordinates (x right, y down, z forward) to those of the world, metres.

    Args:
      path: a text file of 4 x 4 numbers, camera to world (7-Scenes, ScanNet), or a `.json` of 2D-3D-S, whose
        `camera_rt_matrix` (3 x 4) is world to camera.

    Returns:
      float64 (4, 4); all NaN where the file says that the camera was lost (its numbers are not finite).

    Raises:
      MediaError: the file cannot be read or holds no pose.
    """
    name = os.fspath(path)
    try:
        text = read_text(name)
        if Path(name).suffix.lower() == ".json":
            inverse = np.array(json.loads(text)["camera_rt_matrix"], np.float64)
            pose = np.vstack([inverse, [0.0, 0.0, 0.0, 1.0]])
        else:
            pose = np.array([line.split() for line in text.splitlines() if line.strip()], np.float64)
    except OSError as error:
        raise MediaError(name, error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise MediaError(name, "holds no camera pose") from error
    if pose.shape != (4, 4):
        raise MediaError(name, f"a camera pose is a matrix of 4 x 4, got {pose.shape}")
    if not np.isfinite(pose).all():
        return np.full((4, 4), np.nan)
    turn = pose[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > _TOLERANCE or np.linalg.det(turn) < 0:
        raise MediaError(name, "the upper left 3 x 3 of the camera pose is no rotation")
    if Path(name).suffix.lower() != ".json":
        return pose
    back = np.eye(4)
    back[:3, :3] = turn.T
    back[:3, 3] = -turn.T @ pose[:3, 3]
    return back
