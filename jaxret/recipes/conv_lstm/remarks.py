"""What is said of a triplet training that does not learn, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TripletRemarks"]

_PATIENCE = 300  # updates that a training may take until its triplets fall into order
_LEARNT = 0.6  # share of them in order; 0.5 by chance
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
