"""The directions in which items of one class differ most, from labelled mean vectors.

Within-class covariance normalisation divides a direction by the deviation within classes along it, of which a few
hundred items estimate few directions well: here those of the largest variance are made shorter, by a strength that is
chosen, and all others stay as they are.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from jaxret.models.temporal.open_set import without_nuisances
from jaxret.training.pca import singular_values

__all__ = ["Nuisances"]

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Nuisances:
    """A centre, directions, and how much of its length a vector keeps along each: what `OpenSetEncoder.assign` takes.

    Attributes:
      centre: (D,).
      directions: (D, R).
      variances: (R,) within classes along the directions, largest first, over their mean along all.
      shares: (R,).
    """

    centre: Floats
    directions: Floats
    variances: Floats
    shares: Floats

    @classmethod
    def none(cls, size: int) -> Nuisances:
        """Mean vectors of that length stay as they are."""
        return cls(np.zeros(size), np.zeros((size, 0)), np.zeros(0), np.ones(0))

    @classmethod
    def fit(cls, means: Floats, labels: NDArray[np.int64], count: int) -> Nuisances:
        """The first `count` of (N, D) mean vectors of known classes, or as many as there are, none shortened yet."""
        within = means.copy()
        for label in np.unique(labels):
            within[labels == label] -= within[labels == label].mean(axis=0)
        _, deviations, directions = singular_values(within)
        variances = deviations**2
        over_mean = variances[:count] / max(variances.sum() / means.shape[1], 1e-12)
        return cls(means.mean(axis=0), directions[:count].T, over_mean, np.ones(len(over_mean)))

    def shortened(self, strength: float) -> Nuisances:
        """The same, with (1 + strength x variance) ** -0.5 of the length left along each direction."""
        return dataclasses.replace(self, shares=(1 + strength * self.variances) ** -0.5)

    def padded(self, count: int) -> Nuisances:
        """The same with `count` directions, those that are missing zeros."""
        missing = count - len(self.shares)
        return Nuisances(
            self.centre,
            np.pad(self.directions, ((0, 0), (0, missing))),
            np.pad(self.variances, (0, missing)),
            np.pad(self.shares, (0, missing), constant_values=1),
        )

    def __call__(self, means: Floats) -> Floats:
        """Mean vectors (N, D) without them, of length 1."""
        left = without_nuisances(means, self.centre, self.directions, self.shares)
        scaled: Floats = left / np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-12)
        return scaled
