"""Which encoder of shots a run takes: all are tried, and none is taken that finds validation films no better."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jaxret.data.batches.plans import ShuffledBatches
from jaxret.data.batches.shot_pairs import ShotPairs
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.image_to_video.held_out import HeldOutFrames
from jaxret.recipes.image_to_video.shot_encoders import NAMES, Temporal
from jaxret.recipes.in_turn import Fit, fit_in_turn
from jaxret.training import CosineMarginObjective, FitResult, FitTask, RunContext, RunFolder, Validation, fit_model

if TYPE_CHECKING:
    from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig

__all__ = ["Candidate", "best_candidate", "candidates_on", "fit_candidates", "folder_of"]

_BASELINE: Temporal = "sum"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An encoder of shots, and how much better than the sum it finds the validation films.

    Attributes:
      name: of it.
      mean_average_precision: of the validation queries.
      gain: its mean, less that of the sum.
      error: the standard error of that difference, which is paired by query.
    """

    name: Temporal
    mean_average_precision: float
    gain: float
    error: float

    @property
    def better(self) -> bool:
        """Whether the gain is more than its standard error."""
        return self.gain > self.error


def candidates_on(
    queries: HeldOutFrames, encoders: Mapping[Temporal, VideoEncoder], max_frames: int
) -> list[Candidate]:
    """How well encoders find validation films.

    Args:
      queries: of the validation films, measurable.
      encoders: the sum among them.
      max_frames: of a shot.
    """
    return compare({name: queries.average_precisions(encoder, max_frames) for name, encoder in encoders.items()})


def compare(scores: Mapping[Temporal, npt.NDArray[np.float64]]) -> list[Candidate]:
    """Candidates by the average precisions of the same queries.

    Args:
      scores: (Q,) of each; the sum among them.

    Example:
      >>> from jaxret.recipes.image_to_video.candidates import best_candidate, compare
      >>> found = compare({"sum": np.array([0.5, 0.5, 1.0]), "max": np.array([1.0, 0.5, 1.0])})
      >>> [round(number, 3) for number in (found[1].gain, found[1].error)]
      [0.167, 0.167]
      >>> best_candidate(found)  # a gain of one query is no gain
      'sum'
    """
    found = []
    for name, own in scores.items():
        differences = own - scores[_BASELINE]
        error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else np.inf
        found.append(Candidate(name, float(own.mean()), float(differences.mean()), error))
    return found


def best_candidate(candidates: Sequence[Candidate]) -> Temporal:
    """The best of those that are better than the sum by more than the standard error; the sum where there is none."""
    better = [candidate for candidate in candidates if candidate.better]
    return max(better, key=lambda candidate: candidate.gain).name if better else _BASELINE


def folder_of(run: RunFolder, name: Temporal, *, alone: bool) -> RunFolder:
    """Where an encoder is trained: in the run folder itself, or where several are tried in one of its own."""
    return run if alone else RunFolder(run.path / "candidates" / name)


def fit_candidates(
    starts: Mapping[Temporal, VideoEncoder],
    pairs: ShotPairs,
    queries: HeldOutFrames,
    config: ImageToVideoConfig,
    context: RunContext,
) -> bool:
    """Fit encoders of shots, one after the other, each from its last checkpoint, to the best of its epochs.

    Args:
      starts: by name, with their first weights, in place of which the fitted ones come.
      pairs: of training.
      queries: of the validation films, which choose the epoch.
      config: settings.
      context: the run; several are fitted in folders of their own in it.

    Returns:
      Whether all are fitted; False where they were stopped before.
    """

    def fit_of(name: Temporal, encoder: VideoEncoder) -> Fit:
        run = folder_of(context.run, name, alone=len(starts) == 1)
        return Fit(NAMES[name], run, lambda own: _fit(encoder, pairs, queries, config, own))

    return fit_in_turn([fit_of(name, encoder) for name, encoder in starts.items()], context)


def _fit(
    encoder: VideoEncoder, pairs: ShotPairs, queries: HeldOutFrames, config: ImageToVideoConfig, context: RunContext
) -> FitResult:
    """Leave the best weights in the encoder of shots."""

    def evaluate() -> dict[str, float]:
        found = queries.figures(encoder, config.max_frames)
        return {f"validation {name}": found[name] for name in ("mAP", "R@1") if name in found}

    plan = ShuffledBatches(len(pairs), min(config.batch_size, len(pairs)))
    task = FitTask(encoder.temporal, CosineMarginObjective(config.margin), pairs, plan, Validation(evaluate))
    return fit_model(task, config, context)
