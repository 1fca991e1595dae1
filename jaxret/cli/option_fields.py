"""The fields of a dataclass of options, told from the class itself: types, ranges, choices, and the docstring's words.

A field that is added to such a class appears by itself where its fields are shown, as a flag or in a form.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, Literal

import docstring_parser

from jaxret.ranges import Range, ranges_of

__all__ = ["Documentation", "OptionField", "documentation", "option_fields", "plain_types"]


@dataclasses.dataclass(frozen=True)
class OptionField:
    """A field that somebody fills in.

    Attributes:
      name: of the field.
      type: "boolean", "integer", "number", "string", or "choice" where there are choices.
      choices: the values that it takes; None where it takes others.
      range: of numbers; None where none is stated.
      default: None where the class chooses, or the field is required.
      required: whether there is no default.
      help: what the class's docstring says of it.
    """

    name: str
    type: str
    choices: tuple[Any, ...] | None
    range: Range | None
    default: Any
    required: bool
    help: str

    def to_json(self) -> dict[str, Any]:
        """The field in JSON values, with the ends of its range, see `Range.ends`."""
        ends = {"minimum": None, "maximum": None} if self.range is None else self.range.ends()
        choices = None if self.choices is None else list(self.choices)
        named = {"name": self.name, "type": self.type, "choices": choices, **ends}
        return {**named, "default": self.default, "required": self.required, "help": self.help}


def option_fields(kind: type[Any], without: Collection[str] = ()) -> list[OptionField]:
    """The fields of a dataclass, in their order.

    Args:
      kind: the class.
      without: fields to leave out.

    Example:
      >>> from jaxret.retrieval.options import SequenceSearch
      >>> [(field.name, field.type, field.required) for field in option_fields(SequenceSearch)[:3]]
      [('measure', 'choice', True), ('part', 'choice', False), ('length_normalised', 'boolean', False)]
    """
    hints, words, ranges = plain_types(kind), documentation(kind).fields, ranges_of(kind)
    found = []
    for field in dataclasses.fields(kind):
        if field.name in without:
            continue
        hint = hints[field.name]
        choices = tuple(field.metadata["choices"]) if "choices" in field.metadata else None
        if typing.get_origin(hint) is Literal:
            choices = typing.get_args(hint)
        name = {bool: "boolean", int: "integer", float: "number"}.get(hint, "string")
        name = name if choices is None else "choice"
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        default = None if field.default is dataclasses.MISSING else field.default
        found.append(
            OptionField(field.name, name, choices, ranges.get(field.name), default, required, words.get(field.name, ""))
        )
    return found


def plain_types(kind: type[Any]) -> dict[str, Any]:
    """The types of a class's fields, without None."""
    found = typing.get_type_hints(kind)
    for name, hint in found.items():
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            found[name] = next(part for part in typing.get_args(hint) if part is not type(None))
    return found


@dataclasses.dataclass(frozen=True)
class Documentation:
    """A docstring: the text before the fields, and what is said of each."""

    text: str
    fields: Mapping[str, str]


def documentation(kind: type[Any]) -> Documentation:
    """What the docstring of a class says."""
    parsed = docstring_parser.parse(kind.__doc__ or "")
    text = "\n\n".join(part for part in (parsed.short_description, parsed.long_description) if part)
    return Documentation(text, {p.arg_name: " ".join((p.description or "").split()) for p in parsed.params})
