"""One training step, pure and jitted, for any objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxret.training.state import SplitModel, TrainState

__all__ = ["Objective", "TrainStep", "make_train_step"]

Batch = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


class Objective(Protocol):
    """What is minimised: `(model in training mode, batch) -> (loss (), other figures to log, each ())`."""

    def __call__(self, model: Any, batch: Batch) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss and the figures."""


def make_train_step(split: SplitModel, objective: Objective, optimiser: optax.GradientTransformation) -> TrainStep:
    """A jitted `step(state, batch) -> (state, metrics)` that donates its state.

    `metrics` has `loss`, `gradient_norm` (before clipping) and whatever `objective` adds. Reductions over the
    batch are over the whole batch, also when it is cut over many devices, so the result does not depend on
    their number beyond rounding.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.key(state.seed), state.step)

        def loss_of(parameters: Any) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
            model = split.merge(parameters, state.statistics, key)
            model.train()
            loss, metrics = objective(model, batch)
            return loss, (metrics, split.statistics_of(model))

        (loss, (metrics, statistics)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.parameters)
        updates, optimiser_state = optimiser.update(gradients, state.optimiser, state.parameters)
        next_state = TrainState(
            step=state.step + 1,
            parameters=optax.apply_updates(state.parameters, updates),
            statistics=statistics,
            optimiser=optimiser_state,
            seed=state.seed,
        )
        metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradients), **metrics}
        return next_state, {name: jnp.asarray(value, jnp.float32) for name, value in metrics.items()}

    return jax.jit(step, donate_argnums=0)
