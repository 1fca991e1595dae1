"""JSON to dataclasses and back to their description: one class says what a request is, checks it, and documents it."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from jaxret.cli.option_fields import documentation
from jaxret.errors import ConfigError
from jaxret.ranges import check_ranges, ranges_of
from jaxret.serve.errors import ApiError

__all__ = ["read", "read_text", "schema_of"]

Read = TypeVar("Read")

_PLAIN: dict[Any, tuple[Any, str]] = {
    str: (str, "string"),
    int: (int, "integer"),
    float: ((int, float), "number"),
    bool: (bool, "boolean"),
}
_WORDS = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}


def read(kind: type[Read], data: Any, place: str = "") -> Read:
    """An instance of a dataclass from JSON.

    Args:
      kind: the class; its fields are of plain types, literals, tuples, mappings and such classes.
      data: what JSON said.
      place: where in the request it stands, for messages.

    Raises:
      ApiError: a field is unknown, missing, of another type or out of range; it is named.
    """
    if not isinstance(data, dict):
        raise ApiError(400, f"{place or 'the request'} must be an object", place or None)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    inside = f"{place}." if place else ""
    for name in data:
        if name not in fields:
            known = ", ".join(fields)
            raise ApiError(400, f"{inside}{name:.80} is unknown, there are {known}", f"{inside}{name:.80}")
    values = {}
    for name, field in fields.items():
        if data.get(name) is not None:
            values[name] = _value(hints[name], data[name], inside + name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ApiError(400, f"{inside}{name} is missing", inside + name)
    try:
        made = kind(**values)
        check_ranges(made)
    except (ConfigError, ValueError, TypeError) as error:
        raise ApiError(400, str(error), place or None) from error
    return made


def read_text(kind: type[Read], data: Mapping[str, str]) -> Read:
    """An instance of a dataclass from the parameters of an address.

    Raises:
      ApiError: as `read`.
    """
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, text in data.items():
        hint = _without_none(hints.get(name, str))
        try:
            if hint is bool:
                values[name] = {"1": True, "true": True, "0": False, "false": False}[text.lower()]
            else:
                values[name] = hint(text) if hint in (int, float) else text
        except (KeyError, ValueError):
            wanted = _WORDS[_PLAIN[hint][1]]
            raise ApiError(400, f"{name} must be {wanted}, got {text!r:.80}", name) from None
    return read(kind, values)


def _value(hint: Any, value: Any, place: str) -> Any:
    """A value of a field, as its type wants it."""
    hint = _without_none(hint)
    if dataclasses.is_dataclass(hint):
        return read(typing.cast(type, hint), value, place)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        chosen = next((kind for kind in inner if dataclasses.is_dataclass(kind) == isinstance(value, dict)), inner[0])
        return _value(chosen, value, place)
    if origin is Literal:
        if value not in inner or isinstance(value, bool):
            raise ApiError(400, f"{place} must be one of {', '.join(map(str, inner))}, got {value!r:.80}", place)
        return value
    if origin is tuple:
        if not isinstance(value, list) or (inner[-1] is not Ellipsis and len(value) != len(inner)):
            many = "values" if inner[-1] is Ellipsis else f"{len(inner)} values"
            raise ApiError(400, f"{place} must be a list of {many}, got {value!r:.80}", place)
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_value(kinds[n], each, f"{place}.{n}") for n, each in enumerate(value))
    if hint in _PLAIN:
        accepted, name = _PLAIN[hint]
        if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
            raise ApiError(400, f"{place} must be {_WORDS[name]}, got {value!r:.80}", place)
        if hint is float and not abs(value) < float("inf"):
            raise ApiError(400, f"{place} must be a finite number, got {value!r}", place)
        return hint(value)
    if isinstance(origin, type) and issubclass(origin, Mapping) and not isinstance(value, dict):
        raise ApiError(400, f"{place} must be an object, got {value!r:.80}", place)
    return value


def schema_of(kind: Any, known: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a type, as OpenAPI takes it.

    Args:
      kind: a dataclass, or the type of a field.
      known: the schemas of dataclasses by name, to which those that turn up are added.
    """
    plain = _without_none(kind)
    optional = {"nullable": True} if plain is not kind else {}
    if dataclasses.is_dataclass(plain):
        name = typing.cast(type, plain).__name__
        if name not in known:
            known[name] = {}  # it may hold itself
            known[name].update(_object(typing.cast(type, plain), known))
        return {"$ref": f"#/components/schemas/{name}"}
    origin, inner = typing.get_origin(plain), typing.get_args(plain)
    if origin in (types.UnionType, typing.Union):
        return {"oneOf": [schema_of(each, known) for each in inner]}
    if origin is Literal:
        return {"type": "string", "enum": list(inner), **optional}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        count = None if inner[-1] is Ellipsis or origin is not tuple else len(inner)
        bounds = {} if count is None else {"minItems": count, "maxItems": count}
        return {"type": "array", "items": schema_of(inner[0], known), **bounds, **optional}
    if plain in _PLAIN:
        return {"type": _PLAIN[plain][1], **optional}
    return {} if plain is Any else {"type": "object", **optional}


def _object(kind: type, known: dict[str, Any]) -> dict[str, Any]:
    hints, words, ranges = typing.get_type_hints(kind), documentation(kind), ranges_of(kind)
    properties: dict[str, Any] = {}
    required = []
    for field in dataclasses.fields(kind):
        schema = schema_of(hints[field.name], known)
        if field.name in ranges:
            schema |= {name: end for name, end in ranges[field.name].ends().items() if end is not None}
        if words.fields.get(field.name) and "$ref" not in schema:
            schema |= {"description": words.fields[field.name]}
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
        properties[field.name] = schema
    described = {"type": "object", "description": words.text, "properties": properties}
    return {**described, "required": required} if required else described


def _without_none(hint: Any) -> Any:
    """A type without None: what it is where there is something."""
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    parts = tuple(part for part in typing.get_args(hint) if part is not type(None))
    return parts[0] if len(parts) == 1 else typing.Union[parts]  # noqa: UP007
