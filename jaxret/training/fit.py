"""Fitting any model to any objective: batches, checkpoints, log, and the best weights at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx

from jaxret.data.batches.loader import TrainingInput
from jaxret.data.batches.plans import BatchPlan
from jaxret.errors import ConfigError
from jaxret.training.checkpoint import Checkpoints
from jaxret.training.config import LoopConfig, OptimiserConfig
from jaxret.training.devices import process_batch_size
from jaxret.training.host_memory import keep_freed_memory
from jaxret.training.loop import FitResult, Validation, train_loop
from jaxret.training.memory_estimate import available_memory, check_memory, compile_step
from jaxret.training.optimiser import make_optimiser
from jaxret.training.run import RunContext, RunFolder
from jaxret.training.step import Objective, SplitModel, TrainState, TrainStep, make_train_step

__all__ = ["FitConfig", "FitTask", "Read", "fit_model", "restore_best"]

Read = Callable[[int, np.random.Generator], dict[str, Any]]
"""`read(row, rng)`: one element of a batch, arrays by name."""


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


@dataclasses.dataclass(frozen=True)
class FitTask:
    """What is fitted, to which objective, and on which batches.

    Attributes:
      model: what is trained; the objective receives it in training mode, `fit_model` leaves it in evaluation mode.
      objective: what is minimised.
      read: `read(row, rng)` gives one element of a batch.
      plan: which rows make up which batch.
      validation: measures the model as it is, and picks the best weights.
      rate_scales: see `make_optimiser`.
      decoding: reading takes time, so the settings' `threads` threads read ahead.
      name_of: what to call row `row` in a message.
    """

    model: nnx.Module
    objective: Objective
    read: Read
    plan: BatchPlan
    validation: Validation
    rate_scales: Mapping[str, float] = dataclasses.field(default_factory=dict)
    decoding: bool = False
    name_of: Callable[[int], str] = str


def fit_model(task: FitTask, config: FitConfig, context: RunContext) -> FitResult:
    """Fit from the run's last checkpoint, or from the start, and leave the best weights in the model.

    The memory that a step takes is logged before the first one.

    Args:
      task: model, objective and batches.
      config: optimiser, schedule, seed and threads.
      context: checkpoints and run log are written into its run folder.

    Raises:
      ConfigError: the devices cannot share a batch, the run was made with other settings, or a step does not fit into
        memory.
    """
    model, plan = task.model, task.plan
    process_batch_size(plan.batch_size)  # fails early if the devices cannot share a batch
    split = SplitModel(model)
    total = config.loop.epochs * plan.steps_per_epoch
    optimiser = make_optimiser(
        config.optimiser, total_steps=total, steps_per_epoch=plan.steps_per_epoch, rate_scales=task.rate_scales
    )
    warmup = config.optimiser.warmup_of(total)
    if warmup < config.optimiser.warmup_steps:
        context.log(
            f"warm-up: {warmup} of at most {total} steps, as warmup_share={config.optimiser.warmup_share:g} allows"
        )
    step = make_train_step(split, task.objective, optimiser)

    def evaluate(state: TrainState) -> dict[str, float]:
        split.write_back(state)
        model.eval()
        return task.validation.evaluate()

    with (
        TrainingInput(
            task.read,
            plan,
            seed=config.seed,
            threads=config.threads if task.decoding else 0,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        ) as batches,
        Checkpoints(context.run.checkpoints) as checkpoints,
    ):
        result = train_loop(
            split.initial_state(optimiser, seed=config.seed),
            _checked(step, context.log),
            batches,
            checkpoints,
            config=config.loop,
            steps_per_epoch=plan.steps_per_epoch,
            validation=dataclasses.replace(task.validation, evaluate=evaluate),
            context=context,
        )
        if result.finished:
            best = _write_best(split, result.state, checkpoints)
            model.eval()
            if result.best_score is None:
                count = config.loop.average_over
                why = "too little in the validation split"
                why += f", or fewer than average_over={count} evaluations" if count > 1 else ""
                context.log(f"no validation score ({why}): the last weights are kept")
            else:
                score = task.validation.score
                context.log(f"best {score} {result.best_score:.3f} at step {best} of {result.steps}")
        for row, reason in sorted(batches.broken.items()):
            context.log(f"replaced while training: {task.name_of(row)}: {reason}")
    return result


def _checked(step: TrainStep, log: Callable[[str], None]) -> TrainStep:
    """The step, compiled at its first call, which logs its memory before it runs; ConfigError if that is too much."""
    compiled: dict[str, TrainStep] = {}

    def run(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        shapes = str({name: array.shape for name, array in batch.items()})
        if shapes not in compiled:
            made, estimate = compile_step(step, state, batch)
            if not compiled:
                log(str(estimate))
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
            raise ConfigError(f"{run.checkpoints} holds no checkpoint, and the training there is recorded as ended")
        _write_best(split, split.initial_state(optimiser, seed=config.seed), checkpoints)
    model.eval()


def _write_best(split: SplitModel, template: TrainState, checkpoints: Checkpoints) -> int:
    best = checkpoints.best_step or checkpoints.last_step
    assert best is not None
    split.write_back(checkpoints.restore(best, template).state)
    return best
