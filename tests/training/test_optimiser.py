"""Learning rates of parts, against an optimiser of their own."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxret.training import OptimiserConfig, make_optimiser

STEPS = {"total_steps": 20, "steps_per_epoch": 5}


def trained(optimiser: optax.GradientTransformation, parameters, steps: int = 6):
    """Parameters after a few steps down a bowl whose walls differ."""
    slopes = jax.tree.map(lambda leaf: jnp.linspace(0.5, 2.0, leaf.size), parameters)
    state = optimiser.init(parameters)
    for _ in range(steps):
        gradients = jax.tree.map(jnp.multiply, slopes, parameters)
        with jax.numpy_dtype_promotion("standard"):  # optax raises decay rates to the whole number of steps
            updates, state = optimiser.update(gradients, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return parameters


@pytest.mark.parametrize(
    "config",
    [
        OptimiserConfig(learning_rate=0.1, schedule="cosine", warmup_steps=2),
        OptimiserConfig(algorithm="adamw", learning_rate=0.1, weight_decay=0.2),
        OptimiserConfig(algorithm="sgd", learning_rate=0.1, weight_decay=0.2, schedule="step", step_epochs=1),
    ],
    ids=lambda config: config.algorithm,
)
def test_a_part_with_a_rate_of_its_own_moves_as_if_it_were_trained_alone_at_that_rate(config) -> None:
    parameters = {"backbone": {"kernel": jnp.ones(3)}, "temporal": {"kernel": jnp.ones(3)}}
    both = trained(make_optimiser(config, **STEPS, rate_scales={"backbone": 0.25}), {"encode": parameters})["encode"]
    slow = dataclasses.replace(config, learning_rate=config.learning_rate / 4)
    for part, alone in (("backbone", slow), ("temporal", config)):
        expected = trained(make_optimiser(alone, **STEPS), parameters[part])
        np.testing.assert_allclose(both[part]["kernel"], expected["kernel"], rtol=1e-6)
    assert not np.allclose(both["backbone"]["kernel"], both["temporal"]["kernel"])
