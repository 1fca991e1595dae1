"""Learning rates of parts, against an optimiser of their own; the warm-up in trainings of all lengths."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxret.errors import ConfigError
from jaxret.training import OptimiserConfig, make_optimiser, make_schedule, refuse_idle

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


def rates(config: OptimiserConfig, total: int) -> np.ndarray:
    schedule = make_schedule(config, total_steps=total, steps_per_epoch=5)
    with jax.numpy_dtype_promotion("standard"):
        return np.array([schedule(step) for step in range(total)])


WARM = OptimiserConfig(learning_rate=0.5, warmup_steps=50)
SHARED = dataclasses.replace(WARM, warmup_share=0.125)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
@pytest.mark.parametrize("total", [1, 5, 8, 50, 108])
def test_with_a_share_a_short_training_reaches_its_rate(schedule, total) -> None:
    found = rates(dataclasses.replace(SHARED, schedule=schedule), total)
    assert found.argmax() == total // 8
    assert found.max() == pytest.approx(0.5)


@pytest.mark.parametrize("config", [WARM, SHARED], ids=["all", "an eighth"])
@pytest.mark.parametrize("total", [400, 5000])
def test_a_warm_up_of_less_than_its_share_takes_the_steps_asked_for(config, total) -> None:
    np.testing.assert_allclose(rates(config, total), np.minimum(np.arange(total) / 50, 1) * 0.5, rtol=1e-6)


def test_by_default_a_warm_up_takes_all_that_it_asks_for_and_no_more_steps_than_there_are() -> None:
    np.testing.assert_allclose(rates(WARM, 60), np.minimum(np.arange(60) / 50, 1) * 0.5, rtol=1e-6)
    np.testing.assert_allclose(rates(WARM, 5), np.arange(5) / 5 * 0.5, rtol=1e-6)


def test_a_share_of_no_warm_up_is_refused() -> None:
    refuse_idle(WARM)
    with pytest.raises(ConfigError, match=r"warmup_share=0.5 has no effect.*warmup_steps is 0"):
        refuse_idle(OptimiserConfig(warmup_share=0.5))
