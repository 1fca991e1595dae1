"""How well detected cuts agree with the true ones."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BoundaryCounts", "match_boundaries"]

_ROUNDING = 1e-9  # seconds: times such as k / 3 are not exact


@dataclasses.dataclass(frozen=True)
class BoundaryCounts:
    """Cuts that were found, and the scores that follow from their numbers.

    The counts of several videos add up (`a + b`), so that every cut weighs the same. Where nothing was found,
    precision is 1 if there was nothing to find and else 0; where there was nothing to find, recall is 1.

    Attributes:
      matched: pairs of a found and a true cut within the tolerance, each cut in one pair at most.
      found: cuts detected.
      known: true cuts.

    Example:
      >>> (BoundaryCounts(1, 1, 2) + BoundaryCounts(1, 3, 2)).f1
      0.5
    """

    matched: int
    found: int
    known: int

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        return BoundaryCounts(self.matched + other.matched, self.found + other.found, self.known + other.known)

    @property
    def precision(self) -> float:
        """Share of the cuts found that are true."""
        if not self.found:
            return 0.0 if self.known else 1.0
        return self.matched / self.found

    @property
    def recall(self) -> float:
        """Share of the true cuts that were found."""
        return self.matched / self.known if self.known else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: 2 matched / (found + known); 1 where both are 0 cuts."""
        total = self.found + self.known
        return 2 * self.matched / total if total else 1.0


def match_boundaries(found: ArrayLike, known: ArrayLike, tolerance: float) -> BoundaryCounts:
    """Pair detected cuts of one video with its true cuts, as many as can be.

    A cut is in one pair at most, so that a cut detected twice counts once as right and once as wrong.

    Args:
      found, known: (F,) and (K,) seconds, in any order.
      tolerance: seconds by which a pair may differ, at least 0; of cuts between frames sampled at a rate, take 1 /
        rate or more.

    Raises:
      ValueError: a time is not finite, an array has another number of axes, or the tolerance is negative.

    Example:
      >>> match_boundaries([1.0, 1.1, 9.0], [1.2, 4.0], tolerance=0.25)
      BoundaryCounts(matched=1, found=3, known=2)
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0 seconds, got {tolerance!r}")
    ours, true = _sorted(found, "found"), _sorted(known, "known")
    matched = i = j = 0
    # The earlier of two cuts that do not fit is too early for all that follow; and since the tolerance is the same
    # for all, two that fit can be taken out of any largest pairing's way.
    while i < len(ours) and j < len(true):
        if abs(ours[i] - true[j]) <= tolerance + _ROUNDING:
            matched, i, j = matched + 1, i + 1, j + 1
        elif ours[i] < true[j]:
            i += 1
        else:
            j += 1
    return BoundaryCounts(matched, len(ours), len(true))


def _sorted(times: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(times, np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite seconds (N,), got {times!r}")
    return np.sort(array)
