"""What is said of a triplet training that does not learn, or of depths that planes do not tell apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from jaxret.preprocessing import DepthPlanes

__all__ = ["TripletRemarks", "said_of_depth"]

_PATIENCE = 300  # updates that a training may take until its triplets fall into order
_LEARNT = 0.6  # share of them in order; 0.5 by chance
_CROWDED = 0.5  # share of the depths in one plane
_SHRUNK = 0.05  # of the spread that clips of different classes have when the margin is measured


class TripletRemarks:
    """Called with the figures of an evaluation and the step; gives a line where the training fails, each kind once.

    Example:
      >>> TripletRemarks()({"in_order": 0.5, "spread": 0.5}, 400)[:58]
      'warning: after 400 updates 50 % of the triplets are in ord'
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, figures: Mapping[str, float], step: int) -> str | None:
        """What is to be said, or None."""
        # Clips at a mean squared distance of 1 have a spread of 0.5.
        if figures["spread"] < _SHRUNK * 0.5:
            line = (
                f"the vectors shrink to a point (spread {figures['spread']:.2g}, at first about 0.5): a smaller "
                "--learning-rate, a longer --warmup-steps or --mining all keeps them apart"
            )
        elif step >= _PATIENCE and figures["in_order"] < _LEARNT:
            line = (
                f"after {step} updates {100 * figures['in_order']:.0f} % of the triplets are in order, by chance 50 %: "
                "another --learning-rate (of adam 1e-3 to 5e-3), --mining all, or more classes and clips a "
                "batch (a larger --batch-size) may help"
            )
        else:
            return None
        kind = line.split()[0]
        if kind in self._said:
            return None
        self._said.add(kind)
        return f"warning: {line}"


def said_of_depth(shares: npt.NDArray[np.float64], planes: DepthPlanes) -> str:
    """How depth lies in its planes, and a warning where more than half of what was measured lies in one at an end.

    Args:
      shares: float64 (Z + 1,), see `plane_shares`.
      planes: that they are of.

    Example:
      >>> said_of_depth(np.array([0.5, 0.1, 0.4]), DepthPlanes(2, 1.0, 9.0))[:81]
      'warning: of the depths 80 % lie in the last of 2 planes (beyond 5 m), and what is'
    """
    measured = max(1 - float(shares[0]), 1e-9)
    nearest, farthest = (float(shares[plane]) / measured for plane in (1, -1))
    width = (planes.far - planes.near) / planes.count
    ends = (
        ("last", farthest, f"beyond {planes.far - width:.3g} m", "larger --depth-far"),
        ("first", nearest, f"nearer than {planes.near + width:.3g} m", "smaller --depth-near or --depth-far"),
    )
    for name, share, where, remedy in ends:
        if planes.count > 1 and share > _CROWDED:
            return (
                f"warning: of the depths {100 * share:.0f} % lie in the {name} of {planes.count} planes ({where}), and"
                f" what is in one plane is not told apart: a {remedy} spreads them"
            )
    return (
        f"depth: {100 * float(shares[0]):.0f} % of the pixels have no reading; of the others"
        f" {100 * nearest:.0f} % lie in the first of {planes.count} planes, {100 * farthest:.0f} % in the last"
    )
