"""From `OptimiserConfig` to an optax gradient transformation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import optax

from jaxret.training.config import OptimiserConfig

__all__ = ["make_optimiser", "make_schedule"]


def make_schedule(config: OptimiserConfig, *, total_steps: int, steps_per_epoch: int) -> optax.Schedule:
    """The learning rate at each step: linear warm-up, then constant, cosine to zero, or divided in steps.

    Args:
      config: rate and schedule; the warm-up takes `warmup_of(total_steps)` steps.
      total_steps: of the whole training, were it not to end early.
      steps_per_epoch: for schedule=step.
    """
    warmup_steps = config.warmup_of(total_steps)
    after_warmup = max(1, total_steps - warmup_steps)
    if config.schedule == "cosine":
        main = optax.cosine_decay_schedule(config.learning_rate, after_warmup)
    elif config.schedule == "step":
        main = optax.exponential_decay(
            config.learning_rate,
            transition_steps=config.step_epochs * steps_per_epoch,
            decay_rate=1.0 / config.step_divisor,
            staircase=True,
        )
    else:
        main = optax.constant_schedule(config.learning_rate)
    if warmup_steps == 0:
        return main
    warmup = optax.linear_schedule(0.0, config.learning_rate, warmup_steps)
    return optax.join_schedules([warmup, main], [warmup_steps])


def make_optimiser(
    config: OptimiserConfig, *, total_steps: int, steps_per_epoch: int, rate_scales: Mapping[str, float] | None = None
) -> optax.GradientTransformation:
    """Clip, decay and step as in `config`.

    Args:
      config: algorithm, rates and schedule.
      total_steps, steps_per_epoch: of the training, for the schedule.
      rate_scales: name of a part of the model, such as `backbone`, to what its learning rate is multiplied by; the
        part is all parameters with that name on their path.
    """
    schedule = make_schedule(config, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    parts: list[optax.GradientTransformation] = []
    if config.clip_norm is not None:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    if config.weight_decay and config.algorithm != "adamw":
        parts.append(optax.add_decayed_weights(config.weight_decay))
    if config.algorithm == "adam":
        parts.append(optax.adam(schedule))
    elif config.algorithm == "adamw":
        parts.append(optax.adamw(schedule, weight_decay=config.weight_decay))
    else:
        parts.append(optax.sgd(schedule, momentum=config.momentum or None))
    if rate_scales:
        parts.append(_scale_parts(rate_scales))
    return optax.chain(*parts)


def _scale_parts(scales: Mapping[str, float]) -> optax.GradientTransformation:
    """Multiply the updates of parts of the model: in all algorithms here, they are proportional to the rate."""

    def scaled(path: tuple[Any, ...], update: jax.Array) -> jax.Array:
        for key in path:
            update = update * scales.get(str(getattr(key, "key", key)), 1.0)
        return update

    return optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(scaled, updates))
