"""Fitting any model to any objective: batches, checkpoints, log, and the best weights at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx

from jaxret.data.batches.loader import TrainingInput
from jaxret.data.batches.plans import BatchPlan
from jaxret.errors import ConfigError
from jaxret.training import (
    Checkpoints,
    FitResult,
    LoopConfig,
    Objective,
    OptimiserConfig,
    RunFolder,
    RunLog,
    SplitModel,
    TrainState,
    TrainStep,
    available_memory,
    check_memory,
    compile_step,
    keep_freed_memory,
    make_optimiser,
    make_train_step,
    process_batch_size,
    train_loop,
)

__all__ = ["FitConfig", "Read", "fit_model", "restore_best"]

Read = Callable[[int, np.random.Generator], dict[str, Any]]


class FitConfig(Protocol):
    """The settings of a recipe that every fit needs."""

    @property
    def optimiser(self) -> OptimiserConfig:
        """How gradients become updates."""

    @property
    def loop(self) -> LoopConfig:
        """How long to train."""

    @property
    def seed(self) -> int:
        """Everything random follows from it."""

    @property
    def threads(self) -> int:
        """Media files decoded at once."""


def fit_model(
    model: nnx.Module,
    objective: Objective,
    read: Read,
    plan: BatchPlan,
    config: FitConfig,
    run: RunFolder,
    *,
    evaluate: Callable[[], dict[str, float]],
    score: str = "validation mAP",
    lower_is_better: bool = False,
    rate_scales: Mapping[str, float] | None = None,
    decoding: bool = False,
    name_of: Callable[[int], str] = str,
    stop_after: int | None = None,
    description: str | None = None,
    say: Callable[[str], None] = print,
    show_progress: bool = True,
) -> FitResult:
    """Fit from the run's last checkpoint, or from the start, and leave the best weights in `model`.

    What a step takes of memory is said before the first one.

    Args:
      model: what is trained; the objective is given it in training mode, it is left in evaluation mode.
      objective: what is minimised.
      read: `read(row, rng)` gives one element of a batch.
      plan: which rows make up which batch.
      config: optimiser and schedule.
      run: its checkpoints and its log are written.
      evaluate: validation figures of the model as it is.
      score: the one of them that picks the best weights.
      lower_is_better: of that figure.
      rate_scales: see `make_optimiser`.
      decoding: reading takes time, so `config.threads` threads read ahead.
      name_of: what to call row `row` in a message.
      stop_after: stop and save after this many steps of this call.
      description: stands before the bar.
      say: gets one line at a time of what is going on.
      show_progress: draw a bar.

    Raises:
      ConfigError: the devices cannot share a batch, the run was made with other settings, or a step does not fit into
        memory.
    """
    process_batch_size(plan.batch_size)  # fails early if the devices cannot share a batch
    split = SplitModel(model)
    total = config.loop.epochs * plan.steps_per_epoch
    optimiser = make_optimiser(
        config.optimiser, total_steps=total, steps_per_epoch=plan.steps_per_epoch, rate_scales=rate_scales
    )

    step = make_train_step(split, objective, optimiser)

    def evaluate_state(state: TrainState) -> dict[str, float]:
        split.write_back(state)
        model.eval()
        return evaluate()

    with (
        TrainingInput(
            read,
            plan,
            seed=config.seed,
            threads=config.threads if decoding else 0,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        ) as batches,
        Checkpoints(run.checkpoints) as checkpoints,
    ):
        result = train_loop(
            split.initial_state(optimiser, seed=config.seed),
            _checked(step, say),
            batches,
            config=config.loop,
            steps_per_epoch=plan.steps_per_epoch,
            evaluate=evaluate_state,
            score=score,
            lower_is_better=lower_is_better,
            checkpoints=checkpoints,
            log=lambda step: RunLog(run.metrics, resume_step=step),
            stop_after=stop_after,
            description=description,
            show_progress=show_progress,
        )
        if result.finished:
            best = _write_best(split, result.state, checkpoints)
            model.eval()
            if result.best_score is None:
                say("no validation figure (too little in the validation part): the last weights are kept")
            else:
                say(f"best {score} {result.best_score:.3f} at step {best} of {result.steps}")
        for row, reason in sorted(batches.broken.items()):
            say(f"replaced while training: {name_of(row)}: {reason}")
    return result


def _checked(step: TrainStep, say: Callable[[str], None]) -> TrainStep:
    """The step, compiled at its first call, which tells its memory before it runs; ConfigError if that is too much."""
    compiled: dict[str, TrainStep] = {}

    def run(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        shapes = str({name: array.shape for name, array in batch.items()})
        if shapes not in compiled:
            made, estimate = compile_step(step, state, batch)
            if not compiled:
                say(str(estimate))
            available = available_memory()
            check_memory(estimate, available)
            if available is not None and estimate.further + estimate.work > available:
                keep_freed_memory(False)  # what a process keeps can grow to twice the work
            compiled[shapes] = made
        return compiled[shapes](state, batch)

    return run


def restore_best(model: nnx.Module, config: FitConfig, run: RunFolder) -> None:
    """Leave the best weights of a fit that has ended in `model`, in evaluation mode.

    Args:
      model: of the shape that was fitted.
      config: the optimiser that it was fitted with.
      run: its checkpoints.

    Raises:
      ConfigError: the run has no checkpoint, or it was made with other settings.
    """
    split = SplitModel(model)
    # The schedule's length is no part of the state, so any will do.
    optimiser = make_optimiser(config.optimiser, total_steps=1, steps_per_epoch=1)
    with Checkpoints(run.checkpoints) as checkpoints:
        if checkpoints.last_step is None:
            raise ConfigError(f"{run.checkpoints} holds no checkpoint, and the training there is said to have ended")
        _write_best(split, split.initial_state(optimiser, seed=config.seed), checkpoints)
    model.eval()


def _write_best(split: SplitModel, template: TrainState, checkpoints: Checkpoints) -> int:
    best = checkpoints.best_step or checkpoints.last_step
    assert best is not None
    split.write_back(checkpoints.restore(best, template).state)
    return best
