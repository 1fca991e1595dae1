"""A training step as `jaxret train` runs it, to be timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from jaxret.training import OptimiserConfig, SplitModel, batch_mesh, make_optimiser, make_train_step
from jaxret.training.devices import put_batch, put_replicated

__all__ = ["own_step"]


def own_step(
    model: nnx.Module, objective: Any, config: OptimiserConfig, arrays: Mapping[str, np.ndarray]
) -> Callable[[], float]:
    """A function that does one step and returns the loss before it; the batch is shared among all devices.

    Args:
      model: what is trained.
      objective: of the model and a batch.
      config: of the optimiser.
      arrays: the batch.
    """
    split = SplitModel(model)
    optimiser = make_optimiser(config, total_steps=1000, steps_per_epoch=100)
    step = make_train_step(split, objective, optimiser)
    mesh = batch_mesh()
    state, batch = put_replicated(split.initial_state(optimiser, seed=0), mesh), put_batch(dict(arrays), mesh)

    def run() -> float:
        nonlocal state
        state, metrics = step(state, batch)
        jax.block_until_ready(state)
        return float(metrics["loss"])

    return run
