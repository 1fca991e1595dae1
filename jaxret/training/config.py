"""Settings of training as frozen dataclasses; the command line is made from them, field by field."""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from jaxret.errors import ConfigError
from jaxret.ranges import Count, CountOrZero, Positive, Share, Weight, above, check_ranges
from jaxret.training.objectives import objective_class, objective_name
from jaxret.training.step import Objective

__all__ = [
    "LoopConfig",
    "OptimiserConfig",
    "changed_settings",
    "check_numbers",
    "config_from_json",
    "config_to_json",
    "refuse_idle",
    "refuse_unused",
    "replace_settings",
]

Config = TypeVar("Config")


_MOST = 2**31 - 1


def check_numbers(config: Any) -> None:
    """Refuse what no setting can be: numbers outside the range of their field, beyond 32 bits, or not finite.

    Raises:
      ConfigError: a setting is such a number.
    """
    check_ranges(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            check_numbers(value)
        elif isinstance(value, int) and not -_MOST <= value <= _MOST:
            raise ConfigError(f"{field.name} must be at most {_MOST}, got {value}")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{field.name} must be a finite number, got {value}")


@dataclasses.dataclass(frozen=True)
class OptimiserConfig:
    """How gradients become updates (see `jaxret.training.optimiser.make_optimiser`)."""

    algorithm: Literal["adam", "adamw", "sgd"] = "adam"
    """adam, adamw (with `weight_decay`), or sgd with `momentum`."""
    learning_rate: Positive = 1e-3
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "step"] = "constant"
    """constant; cosine to zero at the last step; or divided by `step_divisor` every `step_epochs` epochs."""
    warmup_steps: CountOrZero = 0
    """Steps of linear warm-up from zero, before the schedule; fewer where `warmup_share` allows fewer."""
    warmup_share: Share = 1.0
    """Largest share of all steps that the warm-up takes; 1: all of them, so that a training of fewer steps than
    `warmup_steps` comes to its rate as it ends."""
    step_epochs: Count = 10
    """Epochs between divisions of the learning rate, for schedule=step."""
    step_divisor: Positive = 10.0
    """What the learning rate is divided by, for schedule=step."""
    momentum: Weight = 0.9
    """Momentum of sgd."""
    weight_decay: Weight = 0.0
    """Decoupled weight decay of adamw; L2 penalty, added to the gradient, of sgd and adam."""
    clip_norm: Annotated[float | None, above(0)] = None
    """Gradients are scaled down to this global norm; none: never."""

    def __post_init__(self) -> None:
        check_ranges(self)

    def warmup_of(self, total_steps: int) -> int:
        """Steps of warm-up in a training of `total_steps` steps.

        Example:
          >>> config = OptimiserConfig(warmup_steps=50, warmup_share=0.125)
          >>> config.warmup_of(400), config.warmup_of(80), config.warmup_of(5)
          (50, 10, 0)
        """
        return min(self.warmup_steps, int(self.warmup_share * total_steps))

    def idle_settings(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """See `refuse_idle`."""
        if self.warmup_steps == 0:
            yield ("warmup_share",), "it is of a warm-up, and warmup_steps is 0"
        if self.algorithm != "sgd":
            yield ("momentum",), f"it is of algorithm=sgd, and this is {self.algorithm}"
        if self.schedule != "step":
            yield ("step_epochs", "step_divisor"), f"it is of schedule=step, and this is {self.schedule}"


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How long to train, and how often to evaluate."""

    epochs: Count = 100
    """Passes over the training set, at most."""
    evaluate_every: Count = 1
    """Epochs between evaluations; a checkpoint is written at each."""
    patience: CountOrZero = 0
    """Stop after this many evaluations without a better validation figure; 0: never."""
    average_over: Count = 1
    """The mean of so many successive validation figures picks the best weights, those of the last of them: figures of
    few clips jump, and the highest one is often an early accident."""

    def __post_init__(self) -> None:
        check_ranges(self)


def config_to_json(config: Any) -> dict[str, Any]:
    """A config dataclass, nested ones included, as a dict of JSON values; paths become strings.

    A registered objective among its values is written with its name.
    """

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            name = objective_name(value)
            fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return fields if name is None else {"name": name, **fields}
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    settings: dict[str, Any] = plain(config)
    return settings


def config_from_json(kind: type[Config], settings: Mapping[str, Any]) -> Config:
    """The inverse of `config_to_json`.

    Fields that `settings` lacks keep their defaults, so that runs of older versions still open.

    Raises:
      ConfigError: a field that `kind` does not have; the message names the nearest one.
    """
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in known:
            raise ConfigError(f"{kind.__name__} has no field {name!r}{_nearest(name, known)}")
        values[name] = _revive(hints[name], value)
    return kind(**values)


def replace_settings(config: Config, settings: Mapping[str, Any], *, owner: str) -> Config:
    """A config dataclass with some fields replaced, those of nested dataclasses by their own names.

    Args:
      config: the dataclass.
      settings: new values by field name; paths may be strings, tuples lists.
      owner: whose settings they are, for messages.

    Raises:
      ConfigError: no field has one of the names (the message names the nearest one), or a value is of another type than
        its field.

    Example:
      >>> replace_settings(LoopConfig(), {"epochs": 3}, owner="a training").epochs
      3
    """
    holders = _holders(config)
    for name in settings:
        if name not in holders:
            raise ConfigError(f"{owner} has no setting {name!r}{_nearest(name, holders)}")
    changes: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        holder = getattr(config, holders[name]) if holders[name] else config
        hint = typing.get_type_hints(type(holder))[name]
        revived = _revive(hint, value)
        _check_type(name, hint, revived)
        changes.setdefault(holders[name], {})[name] = revived
    own = changes.pop("", {})
    nested = {
        field: dataclasses.replace(own.pop(field, getattr(config, field)), **values)
        for field, values in changes.items()
    }
    replaced = dataclasses.replace(config, **own, **nested)  # type: ignore[type-var]
    check_numbers(replaced)
    return replaced


def _holders(config: Any) -> dict[str, str]:
    """Name of every setting to the field of the nested dataclass that has it, "" for those of `config` itself."""
    own = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    nested = {
        inner.name: name
        for name, value in own.items()
        if dataclasses.is_dataclass(value)
        for inner in dataclasses.fields(value)
    }
    return nested | dict.fromkeys(own, "")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(sorted(known))}"


def refuse_unused(config: Any, names: Sequence[str], why: str) -> None:
    """Refuse settings that would do nothing.

    Args:
      config: a dataclass whose fields have defaults.
      names: fields that have no effect; dataclasses among them with all of theirs.
      why: ends the message, as in "m1 sees no depth".

    Raises:
      ConfigError: one of them is not at its default.

    Example:
      >>> refuse_unused(LoopConfig(epochs=7), ["patience"], "nothing is validated")
    """
    for name, value in changed_settings(config, names):
        raise ConfigError(f"{name}={value!r} has no effect: {why}")


def refuse_idle(config: Any, usual: Any = None) -> None:
    """Refuse settings of a new training that do nothing as the others stand.

    Runs that were made before go on with what they have, so this is no matter of the class's own checks.

    Args:
      config: a dataclass. It, and the dataclasses among its fields, may tell in a method `idle_settings()` the names of
        fields that do nothing, with the reason.
      usual: the settings that it was made from, such as those of a recipe, which are no choice; None: the class's own.

    Raises:
      ConfigError: one of them was chosen.

    Example:
      >>> refuse_idle(OptimiserConfig(momentum=0.5))
      Traceback (most recent call last):
      jaxret.errors.ConfigError: momentum=0.5 has no effect: it is of algorithm=sgd, and this is adam
    """
    given = {} if usual is None else vars(usual)
    for part, before in ((config, usual), *((value, given.get(name)) for name, value in vars(config).items())):
        if not hasattr(part, "idle_settings"):
            continue
        defaults = vars(before) if type(before) is type(part) else _defaults_of(part)
        for names, why in part.idle_settings():
            for name, value in _changed(defaults, part, names):
                raise ConfigError(f"{name}={value!r} has no effect: {why}")


def changed_settings(config: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """The names and values of those of some settings that are not at their defaults.

    Args:
      config: a dataclass whose fields have defaults.
      names: fields; dataclasses among them with all of theirs.

    Example:
      >>> list(changed_settings(LoopConfig(epochs=7), ["epochs", "patience"]))
      [('epochs', 7)]
    """
    yield from _changed(_defaults_of(config), config, names)


def _defaults_of(config: Any) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(config)}


def _changed(defaults: Mapping[str, Any], config: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        value, default = getattr(config, name), defaults[name]
        if dataclasses.is_dataclass(default) and type(value) is type(default):
            yield from _changed(vars(default), value, vars(default))
        elif value != default:
            yield name, value


def _check_type(name: str, hint: Any, value: Any) -> None:
    """ConfigError where a value is of no type that its field has; what a tuple holds is left to the class."""
    options = _options_of(hint)
    wanted = [words for option in options if (words := _words_of(option)) is not None]
    if len(wanted) == len(options) and not any(_is_of(option, value) for option in options):
        raise ConfigError(f"{name} must be {' or '.join(wanted)}, got {value!r}")


def _words_of(kind: Any) -> str | None:
    """A type of a field, for messages; None for one that is not checked."""
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    if typing.get_origin(kind) is tuple:
        return "a list or a tuple"
    if kind is Objective:
        return "a registered loss, by its name or as an object"
    if dataclasses.is_dataclass(kind):
        return f"of the class {kind.__name__}"  # type: ignore[union-attr]
    words = {bool: "True or False", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    return words.get(kind, "None" if kind is type(None) else None)


def _is_of(kind: Any, value: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return any(value == known and type(value) is type(known) for known in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple)
    if kind is Objective:
        return callable(value) and hasattr(value, "curves")
    if kind in (int, float):
        return isinstance(value, numbers.Integral if kind is int else numbers.Real) and not isinstance(value, bool)
    return isinstance(value, kind)


def _options_of(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _revive(hint: Any, value: Any) -> Any:
    """JSON has no dataclasses, paths or tuples: make them again where the field has such a type."""
    for option in _options_of(hint):
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return config_from_json(option, value)  # type: ignore[arg-type]
        if option is Objective and isinstance(value, str):
            return objective_class(value)()
        if option is Objective and isinstance(value, Mapping):
            fields = dict(value)
            return config_from_json(objective_class(fields.pop("name")), fields)
        if option is Path and isinstance(value, str):
            return Path(value)
        if option is str and isinstance(value, Path):
            return str(value)
        if typing.get_origin(option) is tuple and isinstance(value, list):
            return tuple(value)
    return value
