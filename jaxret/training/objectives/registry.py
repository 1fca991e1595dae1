"""Objectives by name: what `jaxret train cnn-lstm --loss NAME --loss.SETTING VALUE` can choose from."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, TypeVar

from jaxret.errors import ConfigError, unknown_name_message

__all__ = ["objective_class", "objective_name", "objective_names", "register_objective"]

Registered = TypeVar("Registered", bound=type[Any])
_REGISTERED: dict[str, type[Any]] = {}


def register_objective(name: str) -> Callable[[Registered], Registered]:
    """Make an objective of clips a choice of `--loss`: a decorator of frozen dataclasses, whose fields are settings.

    The model that it is called with maps `batch["inputs"]` to `(embedding (B, D), logits (B, K))`; the kernel (D, K) of
    its softmax head is `model.head.linear.kernel`. `batch["labels"]` is (B,) int. Where the class has an attribute
    `needs_positives` that is true, batches hold several items of each class (the recipe's `samples_per_class`).

    An objective of another package is known once its module is imported; a package that lists the module in the
    entry-point group `jaxret.objectives` spares its users that import.

    Args:
      name: on the command line and in `config.json`.

    Raises:
      ConfigError: the class is no frozen dataclass, a field has no default, its `curves` have no panel "loss", or
        another class has that name.

    Example:
      >>> import jax.numpy as jnp
      >>> @register_objective("smallest-norm")
      ... @dataclasses.dataclass(frozen=True)
      ... class SmallestNorm:
      ...     curves = {"loss": ("loss",)}
      ...     power: float = 2.0
      ...
      ...     def __call__(self, model, batch):
      ...         return jnp.mean(jnp.abs(model(batch["inputs"])[0]) ** self.power), {}
      >>> objective_class("smallest-norm")().power
      2.0
    """

    def register(kind: Registered) -> Registered:
        if not dataclasses.is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            raise ConfigError(f"the objective {name!r} must be a frozen dataclass")
        for field in dataclasses.fields(kind):
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise ConfigError(f"the objective {name!r} gives its setting {field.name} no default")
        if "loss" not in getattr(kind, "curves", {}):
            raise ConfigError(f"the objective {name!r} names no learning curves: its `curves` need a panel 'loss'")
        other = _REGISTERED.get(name, kind)
        if (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
            raise ConfigError(f"the objective {name!r} of {kind.__module__} has the name of one of {other.__module__}")
        _REGISTERED[name] = kind
        return kind

    return register


@functools.cache
def _import_extensions() -> None:
    for point in entry_points(group="jaxret.objectives"):
        point.load()


def objective_names() -> tuple[str, ...]:
    """Names of the registered objectives."""
    _import_extensions()
    return tuple(sorted(_REGISTERED))


def objective_class(name: str) -> type[Any]:
    """The registered objective of that name; ConfigError, with the nearest name, where there is none."""
    if name not in _REGISTERED and name not in objective_names():
        raise ConfigError(unknown_name_message("loss", name, objective_names()))
    return _REGISTERED[name]


def objective_name(objective: Any) -> str | None:
    """The name that an objective is registered by; None where it is not."""
    return next((name for name, kind in _REGISTERED.items() if type(objective) is kind), None)
