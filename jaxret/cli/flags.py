"""Command lines made of dataclasses by tyro: the arguments of a command, and a group of flags for each option class.

A field is a flag, under its own name unless `SPELLINGS` has another, and what the class's docstring says of it is the
help. The metadata of a field can name its `choices`, or say that it is `positional` though it may be left out.
A flag that is not given leaves the class's default.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict, TypeVar

import tyro

from jaxret.cli.option_fields import documentation, plain_types
from jaxret.cli.option_names import SPELLINGS, flag_of
from jaxret.errors import ConfigError
from jaxret.ranges import Range, ranges_of

__all__ = ["Given", "chosen_options", "parse", "refusals_raised", "refuse_others"]

_VALUE_OF_BARE = {"--subsequence": "query"}  # flags that may stand without a value

Arguments = TypeVar("Arguments")

Given = Mapping[type[Any], Mapping[str, Any]]
"""The options that were given, by class and field."""


def parse(
    argv: Sequence[str],
    arguments: type[Arguments],
    options: Sequence[type[Any]] = (),
    *,
    prog: str,
    without: Collection[str] = (),
) -> tuple[Arguments, Given]:
    """Parse a command line; help and errors end the program, as tyro does it.

    Args:
      argv: the words.
      arguments: a dataclass of the command's own arguments, which are positional where they have no default; its
        docstring describes the command.
      options: option classes, dataclasses whose fields are flags.
      prog: how the command is called.
      without: fields of option classes that are no flags here.

    Returns:
      The arguments, and the options that were given.

    Raises:
      ValueError: the text of a value is malformed, where its class reads it (`parse`).
    """
    groups = {_words(kind).replace(" ", "_"): kind for kind in options}
    fields = _flags(arguments, (), positional=True)
    fields |= {
        name: NotRequired[TypedDict(name, _flags(kind, without), total=False)]  # type: ignore[operator]
        for name, kind in groups.items()
    }
    defaults = _switches(arguments) | {name: _switches(kind, without) for name, kind in groups.items()}
    with _without_plugins():
        parsed: Any = tyro.cli(
            TypedDict(arguments.__name__, fields, total=False),  # type: ignore[operator]
            args=_with_values(argv),
            prog=prog,
            description=documentation(arguments).text,
            default=defaults,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        )
    given = {kind: _read(kind, parsed.pop(name)) for name, kind in groups.items()}
    return arguments(**parsed), given


@contextlib.contextmanager
def _without_plugins() -> Iterator[None]:
    """typeguard, which tyro checks types with, looks into all installed packages for plugins when it is imported: that
    takes as long as to import tyro, and no flag has a type of theirs.
    """
    name = "TYPEGUARD_DISABLE_PLUGIN_AUTOLOAD"
    if name in os.environ:
        yield
        return
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name, None)


def chosen_options(given: Given, fitting: Sequence[type[Any]], what: str) -> Any:
    """An instance of the one class whose flags were given; None where none was.

    Args:
      given: see `parse`.
      fitting: the classes that have a part in what is done.
      what: that, for messages, such as "INDEX is an index of regions of images".

    Raises:
      ConfigError: flags were given of a class that does not fit, of two classes, or without one that they need.
      ValueError: as the class.
    """
    named = [(kind, values) for kind, values in given.items() if values]
    for kind, values in named:
        if kind not in fitting:
            raise ConfigError(f"{_flag_names(values)} belongs to {_words(kind)}, and {what}: leave it out")
    if len(named) > 1:
        (kind, values), (other, others) = named[:2]
        raise ConfigError(
            f"{_flag_names(values)} belongs to {_words(kind)}, {_flag_names(others)} to {_words(other)}: give one kind"
        )
    for kind, values in named:
        missing = [
            f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING and f.name not in values
        ]
        if missing:
            raise ConfigError(f"{_flag_names(values)} belongs to {_words(kind)}: name {_flag_names(missing)}, too")
        return kind(**values)
    return None


@contextlib.contextmanager
def refusals_raised() -> Iterator[None]:
    """What settings refuse when tyro makes them is raised as it is; tyro alone would draw it in a box and exit.

    What tyro itself refuses is drawn and ends the program, as always.

    Raises:
      ConfigError: of the settings.
    """
    held = io.StringIO()
    try:
        with contextlib.redirect_stderr(held):
            yield
    except SystemExit as end:
        cause: BaseException | None = end
        while cause is not None and not isinstance(cause, ConfigError):
            cause = cause.__context__
        if cause is not None:
            raise cause from None
        sys.stderr.write(held.getvalue())
        raise


def _flags(kind: type[Any], without: Collection[str], *, positional: bool = False) -> dict[str, Any]:
    """The fields of a class as tyro is to see them: by name their annotated types, without None, the absent value."""
    types_of, help_of, ranges = plain_types(kind), documentation(kind).fields, ranges_of(kind)
    flags: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in without:
            continue
        plain = types_of[field.name]
        required = positional and field.default is dataclasses.MISSING
        placed = required or (positional and field.metadata.get("positional", False))
        hidden = field.default in (None, dataclasses.MISSING) or isinstance(field.default, bool)
        mark = tyro.conf.arg(
            name=SPELLINGS.get(field.name),
            metavar=_place(field.name, required) if placed else getattr(plain, "metavar", None),
            help=help_of.get(field.name),
            help_behavior_hint=_hint(ranges.get(field.name), None if hidden else _text(field.default)),
            aliases=(f"-{field.name}",) if len(field.name) == 1 else None,
        )
        if "choices" in field.metadata:
            plain = Literal[tuple(field.metadata["choices"])]
        flag: Any = Annotated[str if hasattr(plain, "parse") else plain, mark]
        flag = Annotated[flag, tyro.conf.Positional] if placed else flag
        flags[field.name] = Required[flag] if required else flag
    return flags


def _read(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that were given; classes with a method `parse` read their text with it."""
    types_of = plain_types(kind)
    given = {name: value for name, value in values.items() if value is not False}
    return {
        name: types_of[name].parse(value) if hasattr(types_of[name], "parse") else value
        for name, value in given.items()
    }


def _switches(kind: type[Any], without: Collection[str] = ()) -> dict[str, bool]:
    """The flags that take no value, all of them off."""
    return {f.name: False for f in dataclasses.fields(kind) if f.default is False and f.name not in without}


def refuse_others(arguments: Any, own: Collection[str], why: str) -> None:
    """Refuse flags that would do nothing.

    Args:
      arguments: of a command, a dataclass.
      own: the fields that may be given.
      why: another one may not, as in "goes with media".

    Raises:
      ConfigError: another field is not as its class has it.
    """
    for field in dataclasses.fields(arguments):
        if field.name not in own and getattr(arguments, field.name) != field.default:
            raise ConfigError(f"{_flag_names([field.name])} {why}: leave it out")


def _with_values(argv: Sequence[str]) -> list[str]:
    """The words, and the values of flags that stand without one."""
    words = []
    for position, word in enumerate(argv):
        words.append(word)
        if word in _VALUE_OF_BARE and (position + 1 == len(argv) or argv[position + 1].startswith("-")):
            words.append(_VALUE_OF_BARE[word])
    return words


def _flag_names(fields: Iterable[str]) -> str:
    return ", ".join(map(flag_of, fields))


def _words(kind: type[Any]) -> str:
    """The name of a class in words: "vector search" of VectorSearch."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()


def _place(name: str, required: bool) -> str:
    """How a positional argument is shown: in brackets where it may be left out."""
    return name.upper() if required else f"[{name.upper()}]"


def _hint(stated: Range | None, default: str | None) -> str:
    """What stands behind the help of a flag: its range and its default, of what there is."""
    parts = [*([] if stated is None else [str(stated)]), *([] if default is None else [f"default: {default}"])]
    return f"({'; '.join(parts)})" if parts else ""


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
