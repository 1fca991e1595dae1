"""The training loop: the only one, and it knows no objective.

Read top to bottom: restore, then for each step take a batch, step, look at the loss of the step before,
and at the end of every few epochs evaluate, log and save.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxret.errors import NonFiniteLossError
from jaxret.progress import progress_bar
from jaxret.training.checkpoint import Checkpoints
from jaxret.training.config import LoopConfig
from jaxret.training.devices import batch_mesh, put_batch, put_replicated
from jaxret.training.run import RunContext, RunLog
from jaxret.training.step import TrainState, TrainStep
from jaxret.training.stop_signal import StopSignal

__all__ = ["Batches", "FitResult", "Validation", "train_loop"]

Evaluate = Callable[..., dict[str, float]]


class Batches(Protocol):
    """An endless, resumable stream of this process's share of the batches."""

    def __next__(self) -> dict[str, np.ndarray]: ...

    def get_state(self) -> dict[str, Any]:
        """The position, as JSON values."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a position."""


@dataclasses.dataclass(frozen=True)
class Validation:
    """What is measured now and then, and which metric picks the best weights and stops early.

    Attributes:
      evaluate: gives the metrics to log; `train_loop` passes it the state, `fit_model` nothing.
      score: name of the metric that picks the best checkpoint; where `evaluate` does not give it, the last checkpoint
        counts as the best and nothing stops early.
      lower_is_better: of that metric, such as an error.
      remark: takes what was logged at an evaluation, the means of training since the last one among it, and the step,
        and gives a line for the user where something is wrong, with what to do, or None.
    """

    evaluate: Evaluate
    score: str = "validation mAP"
    lower_is_better: bool = False
    remark: Callable[[Mapping[str, float], int], str | None] | None = None


@dataclasses.dataclass(frozen=True)
class FitResult:
    """How a training ended.

    Attributes:
      state: the state after the last step.
      steps: steps done, counted from the very first start.
      finished: False if it was stopped before its last epoch and can be resumed.
      best_score: the best validation figure (the mean of `average_over` of them), None if there was none.
      best_step: the step it was reached at.
    """

    state: TrainState
    steps: int
    finished: bool
    best_score: float | None
    best_step: int | None


@dataclasses.dataclass
class _Progress:
    """The loop's own counters, saved with every checkpoint."""

    best_score: float | None = None
    best_step: int | None = None
    evaluations_since_best: int = 0
    stopped_early: bool = False
    recent: list[float] = dataclasses.field(default_factory=list)
    """The last validation figures, as many as are averaged."""


def train_loop(
    state: TrainState,
    step: TrainStep,
    batches: Batches,
    checkpoints: Checkpoints,
    *,
    config: LoopConfig,
    steps_per_epoch: int,
    validation: Validation,
    context: RunContext,
) -> FitResult:
    """Train from the newest checkpoint, or from `state` where there is none, to the last epoch.

    Stopped and resumed at any step, it gives bit for bit what an uninterrupted run gives (on CPU).

    Args:
      state: initial state (its structure is also the template for restoring).
      step: from `make_train_step`.
      batches: a stream whose position can be saved and set.
      checkpoints: where to save and restore.
      config: epochs, evaluation interval, patience.
      steps_per_epoch: steps that count as one epoch.
      validation: its `evaluate` is called with the state every `evaluate_every` epochs and at the end.
      context: the run log is written into its run folder, by process 0 alone.

    Raises:
      NonFiniteLossError: the loss became NaN or infinite; the checkpoints before it are kept.
    """
    mesh = batch_mesh()
    state = put_replicated(state, mesh)
    progress = _Progress()
    first = 0
    # ---- restore
    if checkpoints.last_step is not None:
        restored = checkpoints.restore(checkpoints.last_step, state)
        state, progress, first = restored.state, _Progress(**restored.progress), checkpoints.last_step
        batches.set_state(restored.data)
        # The patience may be another one now.
        progress.stopped_early = 0 < config.patience <= progress.evaluations_since_best
    run_log = RunLog(context.run.metrics, resume_step=first) if jax.process_index() == 0 else None
    total = config.epochs * steps_per_epoch
    done, saved = first, first
    watch = _LossWatch()
    bar = progress_bar(context.description, "step", total=total, done=first, shown=context.show_progress)
    # What is saved and compared is larger where it is better.
    sign = -1.0 if validation.lower_is_better else 1.0
    with StopSignal() as stop, bar:
        while done < total and not progress.stopped_early:
            # ---- one step
            batch = next(batches)
            state, metrics = step(state, put_batch(batch, mesh))
            done += 1
            watch.add(done, metrics, items=len(next(iter(batch.values()))) * jax.process_count())
            bar.update()
            if bar.n % 10 == 0:
                bar.set_postfix(watch.postfix(_times(sign, progress.best_score), validation.score), refresh=False)
            # ---- evaluate and save
            if done % (steps_per_epoch * config.evaluate_every) == 0 or done == total:
                averages = watch.finish()
                figures = _evaluate(validation.evaluate, state)
                watch.restart_clock()  # evaluation is not training time
                reached = _averaged(progress, _times(sign, figures.get(validation.score)), config.average_over)
                _count(progress, reached, done, config.patience)
                if run_log is not None:
                    run_log.append(step=done, epoch=done / steps_per_epoch, **averages, **figures)
                    if validation.remark is not None:
                        remark = validation.remark({**averages, **figures}, done)
                        if remark is not None:
                            context.log(remark)
                saved = done
                checkpoints.save(
                    done,
                    state,
                    data=batches.get_state(),
                    progress=dataclasses.asdict(progress),
                    score=reached,
                )
            # ---- stop on request
            enough = context.stop_after is not None and done - first >= context.stop_after
            if (stop.requested or enough) and done < total:
                watch.finish()
                if saved != done:
                    checkpoints.save(
                        done,
                        state,
                        data=batches.get_state(),
                        progress=dataclasses.asdict(progress),
                        score=None,
                    )
                break
    finished = done >= total or progress.stopped_early
    return FitResult(state, done, finished, _times(sign, progress.best_score), progress.best_step)


def _times(sign: float, figure: float | None) -> float | None:
    return None if figure is None else sign * figure


def _evaluate(evaluate: Evaluate, state: TrainState) -> dict[str, float]:
    """Process 0 evaluates; the others must take the same decisions, so they are told its figures."""
    if jax.process_count() == 1:
        return evaluate(state)
    figures = evaluate(state) if jax.process_index() == 0 else {}
    names = multihost_utils.broadcast_one_to_all(_as_bytes("\n".join(figures)))
    order = [name for name in bytes(names).rstrip(b"\0").decode().split("\n") if name]
    values = multihost_utils.broadcast_one_to_all(np.array([figures.get(name, 0.0) for name in order], np.float64))
    return dict(zip(order, map(float, values), strict=True))


def _as_bytes(text: str, size: int = 4096) -> np.ndarray:
    return np.frombuffer(text.encode().ljust(size, b"\0"), np.uint8)


def _averaged(progress: _Progress, score: float | None, count: int) -> float | None:
    """The mean of the last `count` scores; None until there are so many."""
    if score is None:
        return None
    progress.recent = [*progress.recent, score][-count:]
    return sum(progress.recent) / count if len(progress.recent) == count else None


def _count(progress: _Progress, score: float | None, step: int, patience: int) -> None:
    if score is None:
        return
    if progress.best_score is None or score > progress.best_score:
        progress.best_score, progress.best_step, progress.evaluations_since_best = score, step, 0
        return
    progress.evaluations_since_best += 1
    progress.stopped_early = 0 < patience <= progress.evaluations_since_best


class _LossWatch:
    """Averages the metrics of the steps since the last evaluation, and refuses a loss that is not finite.

    The figures of a step are read when the next one has been dispatched, so that an accelerator never waits.
    """

    def __init__(self) -> None:
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._items = 0
        self._started = time.perf_counter()
        self._last_loss = math.nan

    def add(self, step: int, metrics: dict[str, jax.Array], *, items: int) -> None:
        self._read_pending()
        self._pending = (step, metrics)
        self._items += items

    def _read_pending(self) -> None:
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        values = {name: float(value) for name, value in metrics.items()}
        if not math.isfinite(values["loss"]):
            raise NonFiniteLossError(
                f"the loss became {values['loss']} at step {step}; the checkpoints before it are kept. "
                "A lower learning rate or a clip_norm may help."
            )
        self._last_loss = values["loss"]
        self._steps += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def finish(self) -> dict[str, float]:
        """Means since the last call, with `items_per_second`, and a fresh start."""
        self._read_pending()
        seconds = time.perf_counter() - self._started
        averages = {name: value / self._steps for name, value in self._sums.items()} if self._steps else {}
        averages["items_per_second"] = self._items / seconds
        self._sums, self._steps, self._items = {}, 0, 0
        return averages

    def restart_clock(self) -> None:
        self._started = time.perf_counter()

    def postfix(self, best: float | None, score: str) -> dict[str, str]:
        shown = {"loss": f"{self._last_loss:.3f}"}
        if self._steps and "train_accuracy" in self._sums:
            shown["train accuracy"] = f"{self._sums['train_accuracy'] / self._steps:.2f}"
        if best is not None:
            shown[f"best {score}"] = f"{best:.3f}"
        shown["clips/s"] = f"{self._items / (time.perf_counter() - self._started):.0f}"
        return shown
