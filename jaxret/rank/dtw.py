"""Dynamic time warping (DTW) between two sequences of vectors, and its form that also reads one backwards.

H. Sakoe and S. Chiba, "Dynamic programming algorithm optimization for spoken word recognition", IEEE Transactions
on Acoustics, Speech and Signal Processing 26 (1978), in the symmetric form without slope weights: the sum of squared
Euclidean distances along the cheapest path of steps (1, 0), (0, 1) and (1, 1) from the first frames to the last.

Everywhere in `jaxret.rank`, the distance of two sequences is computed in float32 from these two alone: its bits do
not depend on threads, SIMD level, gallery, or which of the two comes first. A squared distance between frames is
taken from the matrix product, and from the differences where the product would cancel; so equal frames are at
distance 0, and frames that lie close together far from the origin come out right (to about 1e-5 of each squared
distance in practice).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank import _dtw
from jaxret.rank.sequence_validation import as_frames, check_dimensions, check_reverse, check_window, prepared
from jaxret.rank.simd import simd_code


def dtw(a: ArrayLike, b: ArrayLike, *, window: int | None = None) -> float:
    """The dynamic time warping distance of two sequences: sum of squared Euclidean costs along the cheapest path.

    Args:
        a, b: (T_a, D) and (T_b, D), any float dtype, T_a and T_b at least 1; computed in float32.
        window: None, or how many frames a path may stray (Sakoe-Chiba): cells (i, j) with
            min(0, T_a - T_b) - window <= i - j <= max(0, T_a - T_b) + window, that is, at most `window` outside the
            diagonals through the two corners. So every window has a path, window 0 compares sequences of equal length
            frame by frame, and reversing both sequences changes nothing. (tslearn's `sakoe_chiba_radius`;
            dtaidistance's `window` less 1.)

    Raises:
        TypeError: a dtype is not a float, window no integer.
        ValueError: an empty sequence, differing D, a negative window, or numbers that are not finite in float32 or
            whose squares would overflow.

    >>> dtw(np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [0.0], [1.0], [3.0]]))
    1.0
    """
    return _distance(a, b, window, reverse=False)


def dtw_path(a: ArrayLike, b: ArrayLike, *, window: int | None = None) -> tuple[float, NDArray[np.int64]]:
    """The distance as `dtw` gives it, and a cheapest path.

    Memory grows with T_a * T_b bytes.

    Args:
        a, b, window: as for `dtw`.

    Returns:
        The distance, and int64 (L, 2): pairs of frames (i, j) from (0, 0) to (T_a - 1, T_b - 1). Where several paths
        are cheapest, the last step taken is diagonal if it can be, else one along b (j alone moves), else one along a.

    Raises:
        TypeError, ValueError: as for `dtw`.

    >>> dtw_path(np.array([[0.0], [2.0]]), np.array([[0.0], [0.0], [2.0]]))[1].tolist()
    [[0, 0], [0, 1], [1, 2]]
    """
    width = check_window(window)
    first, second = _pair(a, b)
    distance, path = _dtw.path(first, second, width, simd_code())
    return float(distance), path


def bidtw(a: ArrayLike, b: ArrayLike, *, reverse: str = "query", window: int | None = None) -> float:
    """Bi-directional DTW: the smaller of the distances with one sequence read forwards and backwards.

    For motion that can be undone, such as a clip that seems to drive backwards. The matrix of costs is computed once.

    Args:
        a, b, window: as for `dtw`.
        reverse: "query" is min(DTW(a, b), DTW(reversed a, b)), the form meant for retrieval; it equals
            min(DTW(a, b), DTW(a, reversed b)). "both" is min(DTW(a, b), DTW(reversed a, reversed b)), the formula as
            published; it is DTW(a, b), since reversing both sequences maps each path onto one of equal cost.

    Raises:
        TypeError, ValueError: as for `dtw`, and ValueError for another `reverse`.

    >>> a = np.array([[0.0], [1.0], [2.0]])
    >>> bidtw(a, a[::-1]), bidtw(a, a[::-1], reverse="both")
    (0.0, 8.0)
    """
    return _distance(a, b, window, reverse=check_reverse(reverse, ("query", "both")))


def _distance(a: Any, b: Any, window: int | None, *, reverse: bool) -> float:
    width = check_window(window)
    first, second = _pair(a, b)
    return float(_dtw.distances(first, second, width, reverse, 1, simd_code())[0, 0])


def _pair(a: Any, b: Any) -> tuple[_dtw.Sequences, _dtw.Sequences]:
    frames_a, frames_b = as_frames(a, "a"), as_frames(b, "b")
    check_dimensions(frames_a.shape[1], frames_b.shape[1], "a", "b")
    return prepared([frames_a], "a", 1), prepared([frames_b], "b", 1)
