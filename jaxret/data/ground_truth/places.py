"""Places: which clips of a walk see the same place, by where the camera stood and where it looked.

A walk with camera poses carries its own ground truth for retrieval by place: two clips are partners if at some moment
of each the camera stood near the same point and looked in nearly the same direction. (7-Scenes and visual place
recognition count a pose as right in the same way, by metres and degrees.)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["frames_in_spans", "place_partners", "same_views"]

_ROWS_AT_ONCE = 512


def same_views(
    first: npt.ArrayLike, second: npt.ArrayLike, *, distance: float, degrees: float
) -> npt.NDArray[np.bool_]:
    """Which poses of one list are views of the same place as which of another.

    Args:
      first: (N, 4, 4), camera to world (z forward), metres. Lost poses, which are NaN, see nothing.
      second: (M, 4, 4).
      distance: metres that the camera positions may be apart.
      degrees: angle that the viewing directions may differ by, 0 to 180; turning around the view does not count.

    Returns:
      bool (N, M).

    Raises:
      ValueError: a shape or number is out of range.

    Example:
      >>> here, near = np.eye(4), np.eye(4)
      >>> near[0, 3] = 0.2
      >>> same_views([here], [here, near], distance=0.1, degrees=5.0).tolist()
      [[True, False]]
    """
    poses = _checked(first), _checked(second)
    if not distance >= 0:
        raise ValueError(f"distance must be metres of at least 0, got {distance!r}")
    if not 0 <= degrees <= 180:
        raise ValueError(f"degrees must lie in 0..180, got {degrees!r}")
    (here, looking), (there, other) = ((pose[:, :3, 3], pose[:, :3, 2]) for pose in poses)
    apart = np.linalg.norm(here[:, None] - there, axis=-1)
    lengths = np.linalg.norm(looking, axis=1)[:, None] * np.linalg.norm(other, axis=1)
    angles = np.degrees(np.arccos(np.clip(looking @ other.T / lengths, -1, 1)))
    # Equal directions are not at 0 to the last digit.
    return (apart <= distance + 1e-9) & (angles <= degrees + 1e-5)


def frames_in_spans(times: npt.ArrayLike, spans: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The frames on display in spans of time: int64 (C, 2), first frame and the one after the last.

    Args:
      times: (N,) seconds, ascending, N at least 1.
      spans: (C, 2) seconds; the end is not inside. A frame is on display until the next one.

    Example:
      >>> frames_in_spans([0.0, 0.5, 1.0, 1.5], [[0.0, 1.0], [1.1, 1.2]]).tolist()
      [[0, 2], [2, 3]]
    """
    moments = np.asarray(times, np.float64)
    edges = np.asarray(spans, np.float64).reshape(-1, 2)
    first = np.maximum(np.searchsorted(moments, edges[:, 0] + 1e-9, side="right") - 1, 0)
    stop = np.searchsorted(moments, edges[:, 1] - 1e-9, side="left")
    return np.stack([first, np.maximum(stop, first + 1)], axis=1).astype(np.int64)


def place_partners(
    poses: npt.ArrayLike,
    times: npt.ArrayLike,
    spans: npt.ArrayLike,
    *,
    distance: float,
    degrees: float,
    apart: float = 0.0,
) -> npt.NDArray[np.bool_]:
    """Which clips of a walk see the same place at some moment.

    Args:
      poses: (N, 4, 4), of the walk's frames, see `same_views`.
      times: (N,) seconds of the frames.
      spans: (C, 2) seconds of the clips, disjoint or overlapping, such as `chunk_spans` gives.
      distance, degrees: see `same_views`.
      apart: seconds that must pass between the end of one clip and the start of the other: neighbours in time see the
        same place without the camera having come back. Clips that overlap are never partners.

    Returns:
      bool (C, C), symmetric, False on the diagonal.

    Raises:
      ValueError: a shape or number is out of range.
    """
    views = _checked(poses)
    moments, edges = np.asarray(times, np.float64), np.asarray(spans, np.float64).reshape(-1, 2)
    if moments.shape != (len(views),) or not len(views):
        raise ValueError(f"times must have shape ({len(views)},), one a pose and at least one, got {moments.shape}")
    if not apart >= 0:
        raise ValueError(f"apart must be seconds of at least 0, got {apart!r}")
    frames = frames_in_spans(moments, edges)
    met = np.zeros((len(edges), len(edges)), bool)
    for clip, (first, stop) in enumerate(frames.tolist()):
        seen = np.zeros(len(views), bool)
        for start in range(first, stop, _ROWS_AT_ONCE):
            block = views[start : min(start + _ROWS_AT_ONCE, stop)]
            seen |= same_views(block, views, distance=distance, degrees=degrees).any(axis=0)
        before = np.append(0, np.cumsum(seen))  # frames seen before each
        met[clip] = before[frames[:, 1]] > before[frames[:, 0]]
    gaps = np.maximum(edges[:, None, 0] - edges[None, :, 1], edges[None, :, 0] - edges[:, None, 1])
    return met & (gaps >= apart - 1e-9) & ~np.eye(len(edges), dtype=bool)


def _checked(poses: npt.ArrayLike) -> npt.NDArray[np.float64]:
    matrices = np.asarray(poses, np.float64)
    if matrices.ndim != 3 or matrices.shape[1:] != (4, 4):
        raise ValueError(f"poses must have shape (N, 4, 4), got {matrices.shape}")
    return matrices
