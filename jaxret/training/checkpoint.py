"""Checkpoints of a run: the last one and the best one, written atomically by orbax.

A checkpoint holds the train state (arrays), the position in the training data, and the loop's own counters
(JSON). A save interrupted at any moment leaves an unfinished folder that the next run ignores and removes.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from jaxret.errors import ConfigError
from jaxret.files import require_room, writing
from jaxret.training.step import TrainState

__all__ = ["Checkpoint", "Checkpoints"]

_SCORE = "score"
_DAMAGE = ("OUT_OF_RANGE", "DATA_LOSS", "NOT_FOUND", "FAILED_PRECONDITION")  # what tensorstore says of files
_BESIDE = 1 << 18  # bytes of a checkpoint beside its arrays, at most


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One restored checkpoint.

    Attributes:
      state: the train state, placed as the template given to `restore` was.
      data: position in the training data, as the pipeline gave it.
      progress: the loop's counters.
    """

    state: TrainState
    data: dict[str, Any]
    progress: dict[str, Any]


class Checkpoints:
    """The `checkpoints/` folder of a run; a context manager."""

    def __init__(self, folder: Path):
        policy = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(1),
                checkpoint_managers.BestN(
                    get_metric_fn=_score, reverse=False, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        self._manager = ocp.CheckpointManager(
            folder.resolve(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                best_fn=_score,
                best_mode="max",
                # A save takes some 50 ms for these models, and a synchronous one cannot be lost by an exit.
                enable_async_checkpointing=False,
            ),
        )

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.close()

    @property
    def last_step(self) -> int | None:
        """Step of the newest complete checkpoint; None where there is none."""
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """Step of the checkpoint with the highest score; None where there is none."""
        return self._manager.best_step()

    def save(
        self,
        step: int,
        state: TrainState,
        *,
        data: dict[str, Any],
        progress: dict[str, Any],
        score: float | None,
    ) -> None:
        """Write a checkpoint; the older ones, but for the best, go when it is complete.

        A checkpoint whose `score` is None (written between two evaluations) can be the last, never the best.

        Raises:
          WriteError: the disk is full; the older checkpoints are as they were.
        """
        if step == self.last_step:
            return
        log = logging.getLogger("absl")
        log.addFilter(_tells)
        try:
            with writing(folder := Path(self._manager.directory) / str(step)):
                # Where the disk fills up half-way, the threads that write print tracebacks.
                require_room(folder, _BESIDE + sum(leaf.nbytes for leaf in jax.tree.leaves(_as_dict(state))))
                self._manager.save(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardSave(_as_dict(state)),
                        data=ocp.args.JsonSave(data),
                        progress=ocp.args.JsonSave(progress),
                    ),
                    metrics=None if score is None else {_SCORE: score},
                    force=True,
                )
                self._manager.wait_until_finished()
        finally:
            log.removeFilter(_tells)

    def restore(self, step: int, template: TrainState) -> Checkpoint:
        """Read the checkpoint of `step`; `template` gives structure, shapes and placement.

        Raises:
          ConfigError: the checkpoint's arrays do not fit `template`, as when the model's settings changed, or a file of
            it is damaged.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, _as_dict(template))
        try:
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(abstract),
                    data=ocp.args.JsonRestore(),
                    progress=ocp.args.JsonRestore(),
                ),
            )
        except (ValueError, KeyError) as error:
            folder = self._manager.directory / str(step)
            if isinstance(error, json.JSONDecodeError) or any(code in str(error) for code in _DAMAGE):
                left = [other for other in self._manager.all_steps() if other != step]
                how = f"goes on from step {max(left)}" if left else "starts anew"
                reason = f"checkpoint {folder} is damaged; without that folder --resume {how}: {error}"
                raise ConfigError(reason) from error
            raise ConfigError(f"checkpoint {folder} does not fit this run's settings: {error}") from error
        return Checkpoint(state=TrainState(**restored["state"]), data=restored["data"], progress=restored["progress"])


def _tells(record: logging.LogRecord) -> bool:
    """Whether a message is news: orbax warns of every checkpoint without a score, and here those are meant; the errors
    of its threads are raised as well.
    """
    text = record.getMessage()
    return "did not provide metrics" not in text and "run() raised an exception" not in text


def _score(metrics: dict[str, float]) -> float:
    return metrics[_SCORE]


def _as_dict(state: TrainState) -> dict[str, Any]:
    return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
