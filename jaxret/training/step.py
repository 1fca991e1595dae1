"""Everything that a training step changes, as one pytree, and the step, pure and jitted, for any objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import nnx

__all__ = ["Objective", "SplitModel", "TrainState", "TrainStep", "make_train_step"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """What is saved, restored and donated.

    Attributes:
      step: () int32, steps done.
      parameters: the arrays that the optimiser updates, as nested dicts.
      statistics: the other arrays of the model (batch norm's running statistics), as nested dicts.
      optimiser: optax's state.
      seed: () uint32; every random choice inside a step is derived from (seed, step).
    """

    step: jax.Array
    parameters: Any
    statistics: Any
    optimiser: Any
    seed: jax.Array


class SplitModel:
    """The structure of an `nnx.Module`, apart from the arrays that training changes.

    The model's random streams (dropout) are part of the structure: a step reseeds them with its own key, so
    that they need not be saved and a resumed run draws what the uninterrupted one would have drawn.
    """

    def __init__(self, model: nnx.Module):
        self._model = model
        parts: Any = nnx.split(model, nnx.Param, nnx.RngState, ...)
        self._graph, self._parameters, self._streams, self._statistics = parts

    def initial_state(self, optimiser: optax.GradientTransformation, *, seed: int) -> TrainState:
        """A state at step 0 with copies of the model's arrays: the step donates its state, the model lives on."""
        parameters = jax.tree.map(jnp.copy, nnx.to_pure_dict(self._parameters))
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            parameters=parameters,
            statistics=jax.tree.map(jnp.copy, nnx.to_pure_dict(self._statistics)),
            optimiser=optimiser.init(parameters),
            seed=jnp.asarray(seed, jnp.uint32),
        )

    def merge(self, parameters: Any, statistics: Any, key: jax.Array) -> nnx.Module:
        """A model with these arrays, whose dropout draws from `key`; pure, for use inside a jitted step."""
        # Variables must be born at this trace level to be changed in it, hence copy=True.
        model = nnx.merge(self._graph, nnx.State(parameters), self._streams, nnx.State(statistics), copy=True)
        nnx.reseed(model, default=jax.random.fold_in(key, 0), dropout=jax.random.fold_in(key, 1))
        return model

    @staticmethod
    def statistics_of(model: nnx.Module) -> Any:
        """The arrays of `model` that are neither parameters nor random streams, as nested dicts."""
        parts: Any = nnx.split(model, nnx.Param, nnx.RngState, ...)
        return nnx.to_pure_dict(parts[-1])

    def write_back(self, state: TrainState) -> None:
        """Write copies of the arrays of `state` into the model that this was made from."""
        for arrays in (state.parameters, state.statistics):
            nnx.update(self._model, nnx.State(jax.tree.map(_local_copy, arrays)))


def _local_copy(array: jax.Array) -> jax.Array:
    """A copy on this process's default device of an array replicated over all devices of all processes."""
    return jnp.array(array.addressable_data(0))


Batch = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]
"""(state, batch) -> (new state, metrics); compiled, and the old state is donated."""


class Objective(Protocol):
    """What is minimised: `(model in training mode, batch) -> (loss (), other values to log, each ())`.

    Attributes:
      curves: title of a panel of the learning curves to the names of the logged values in it, the loss under "loss".
    """

    @property
    def curves(self) -> Mapping[str, tuple[str, ...]]:
        """The learning curves."""

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
        with jax.numpy_dtype_promotion("standard"):  # optax raises decay rates to the whole number of steps
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
