"""Several fits of one training, one after the other, each resumable in a folder of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from jaxret.training import FitResult, RunContext, RunFolder
from jaxret.training.checkpoint import Checkpoints

__all__ = ["Fit", "fit_in_turn"]


@dataclasses.dataclass(frozen=True)
class Fit:
    """One of several fits.

    Attributes:
      description: before its progress bar.
      run: where its checkpoints and its log are.
      fit: from the last checkpoint of a context, or from the start.
    """

    description: str
    run: RunFolder
    fit: Callable[[RunContext], FitResult]


def fit_in_turn(fits: Sequence[Fit], context: RunContext) -> bool:
    """Fit, from the last checkpoint of each on; those that are finished cost no step.

    Args:
      fits: in their order; the folders of those that have one of their own are made and logged.
      context: of the training; `stop_after` counts the steps of all fits together.

    Returns:
      Whether all are finished; False where they were stopped before.
    """
    left = context.stop_after
    for one in fits:
        if left is not None and left < 1:
            return False
        if one.run.path != context.run.path:
            one.run.path.mkdir(parents=True, exist_ok=True)
            context.log(f"{one.description}: {one.run.path}")
        with Checkpoints(one.run.checkpoints) as checkpoints:
            before = checkpoints.last_step or 0
        own = dataclasses.replace(context, run=one.run, stop_after=left, description=one.description)
        result = one.fit(own)
        if not result.finished:
            return False
        left = None if left is None else left - (result.steps - before)
    return True
