"""How settings are named where a user types them: one table, for the flags themselves and for messages about them."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_type_hints

from jaxret.errors import ConfigError, NonFiniteLossError

__all__ = ["SPELLINGS", "as_typed", "flag_of", "flags_of", "with_flags"]

SPELLINGS = {"min_cosine": "par", "measure": "sequence", "part": "subsequence"}
"""The flags of options that are not called as their fields are; settings of a training name theirs at the field."""

_NAMED = re.compile(r"(?<![\w./-])([A-Za-z]\w*)\b(?:(=)|(?![\w.-]*/|\.\w))")
"""A word that may be a field's name, and the sign of equality before a value; parts of paths and flags are none."""


def flag_of(field: str) -> str:
    """The flag of a field of this name.

    Example:
      >>> flag_of("min_cosine"), flag_of("image_size")
      ('--par', '--image-size')
    """
    return "--" + SPELLINGS.get(field, field).replace("_", "-")


def flags_of(kind: type[Any]) -> dict[str, str]:
    """The flags of a dataclass's fields, and of those of the dataclasses among them, by the field's name."""
    flags: dict[str, str] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        marks = getattr(hint, "__metadata__", ())
        own = next((spelled for mark in marks if (spelled := getattr(mark, "name", None))), None)
        flags[name] = flag_of(name) if own is None else f"--{own}"
        plain = getattr(hint, "__origin__", hint) if marks else hint
        if dataclasses.is_dataclass(plain) and isinstance(plain, type):
            flags = {**flags_of(plain), **flags}
    return flags


def with_flags(text: str, flags: Mapping[str, str]) -> str:
    """A text that names fields, with their flags in their place, and `field=value` as it is typed.

    Names that are words of English, too, are left as they are where they stand alone, save where a message begins with
    what the field must be.

    Args:
      text: a line of a log, or a message.
      flags: of the fields, by their names.

    Example:
      >>> with_flags("lora_rank needs freeze=False, not a freeze", {"lora_rank": "--lora-rank", "freeze": "--freeze"})
      '--lora-rank needs --freeze False, not a freeze'
      >>> with_flags("bits must be at least 0, got -1", {"bits": "--bits"})
      '--bits must be at least 0, got -1'
    """

    def typed(word: re.Match[str]) -> str:
        name, equals = word.groups()
        begins = word.start() == 0 and text.startswith(" must ", word.end())
        if name not in flags or not (equals or "_" in name or begins):
            return word[0]
        return flags[name] + (" " if equals else "")

    return _NAMED.sub(typed, text)


@contextlib.contextmanager
def as_typed(classes: Iterable[type[Any]]) -> Iterator[None]:
    """Errors that name fields of these dataclasses name their flags instead, see `with_flags`.

    Raises:
      ConfigError, NonFiniteLossError, ValueError: as in the block.

    Example:
      >>> from jaxret.retrieval.options import VectorSearch
      >>> with as_typed([VectorSearch]):
      ...     raise ConfigError("every_clip needs metric=cosine, and space is the other")
      Traceback (most recent call last):
      jaxret.errors.ConfigError: --every-clip needs --metric cosine, and space is the other
    """
    flags = {name: flag for kind in classes for name, flag in flags_of(kind).items()}
    try:
        yield
    except (ValueError, NonFiniteLossError) as error:
        if type(error) not in (ConfigError, NonFiniteLossError, ValueError):
            raise
        raise type(error)(with_flags(str(error), flags)) from error
