"""Items as Arrow columns, and back.

    key, kind, label, source, split, path, origin, content   strings
    duration   float64, seconds      size   int64, bytes      modified   timestamp in nanoseconds
    and the user's own columns, after these: strings, int64, float64 or booleans

A string that is no valid UTF-8, as names of files may be, is kept as NUL and its escaped form.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from jaxret.data.items import FileState, MediaItem, check_column_name

__all__ = [
    "BATCH_ITEMS",
    "FIELDS",
    "batches_of_items",
    "cast_batch",
    "check_schema",
    "column_array",
    "items_of_columns",
    "kind_of_type",
    "plain_columns",
    "plain_value",
    "plain_values",
    "schema_of",
    "united_columns",
]

BATCH_ITEMS = 1 << 14
"""Items in a record batch: all batches of a file but the last hold as many."""

_TEXT = ("key", "kind", "label", "source", "split", "path", "origin", "content")
FIELDS = {
    **{name: pa.string() for name in _TEXT},
    "duration": pa.float64(),
    "size": pa.int64(),
    "modified": pa.timestamp("ns", "UTC"),
}
"""The columns that every file of items has, with their types."""

_OWN_TYPES = {"text": (pa.string(),), "numbers": (pa.int64(), pa.float64()), "truth values": (pa.bool_(),)}


def kind_of_type(found: pa.DataType) -> str | None:
    """What a column of this type holds, in words; None where no column of the user's own has it."""
    return next((words for words, types in _OWN_TYPES.items() if found in types), None)


def schema_of(own: Mapping[str, pa.DataType]) -> pa.Schema:
    """The schema of a file of items with these columns of the user's own."""
    return pa.schema([*FIELDS.items(), *own.items()])


def check_schema(schema: pa.Schema) -> dict[str, pa.DataType]:
    """The user's own columns of a file of items.

    Raises:
      ValueError: the schema is not that of one.
    """
    found = list(zip(schema.names, schema.types, strict=True))
    if found[: len(FIELDS)] != list(FIELDS.items()):
        raise ValueError(f"must begin with the columns {', '.join(FIELDS)} of their types")
    own = dict(found[len(FIELDS) :])
    if len(own) < len(found) - len(FIELDS):
        raise ValueError("has two columns of one name")
    for name, type_ in own.items():
        check_column_name(name)
        if kind_of_type(type_) is None:
            raise ValueError(f"column {name!r} is of type {type_}")
    return own


def united_columns(parts: Iterable[Mapping[str, pa.DataType]]) -> dict[str, pa.DataType]:
    """The columns of all parts; whole and other numbers become float64.

    Raises:
      ValueError: a column holds text in one part and numbers in another, or the like.
    """
    united: dict[str, pa.DataType] = {}
    for part in parts:
        for name, type_ in part.items():
            known = united.setdefault(name, type_)
            if kind_of_type(known) != kind_of_type(type_):
                raise ValueError(f"column {name!r} holds {kind_of_type(known)}, got {kind_of_type(type_)} for it")
            if known != type_:
                united[name] = pa.float64()
    return united


def batches_of_items(items: Sequence[MediaItem]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Items as record batches, made when they are needed, and their schema.

    Raises:
      ValueError: a column of the user's own holds values of several kinds.
    """
    own: dict[str, pa.DataType] = {}
    for item in items:
        if item.columns:
            try:
                own = united_columns((own, {name: _type_of(value) for name, value in item.columns.items()}))
            except ValueError as error:
                raise ValueError(f"item {item.key!r}: {error}") from error
    schema = schema_of(own)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(items), BATCH_ITEMS):
            block = items[start : start + BATCH_ITEMS]
            values = {name: [getattr(item, name) for item in block] for name in (*_TEXT[:-1], "duration")}
            for name in ("size", "modified", "content"):
                values[name] = [None if item.file is None else getattr(item.file, name) for item in block]
            values |= {name: [item.columns.get(name) for item in block] for name in own}
            yield pa.record_batch([column_array(values[field.name], field.type) for field in schema], schema=schema)

    return schema, batches()


def _type_of(value: Any) -> pa.DataType:
    if isinstance(value, bool):
        return pa.bool_()
    return pa.int64() if isinstance(value, int) else pa.float64() if isinstance(value, float) else pa.string()


def column_array(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Values as a column keeps them."""
    if type_ == pa.timestamp("ns", "UTC"):
        return pa.array(values, pa.int64()).view(type_)
    if type_ != pa.string():
        return pa.array(values, type_)
    try:
        array = pa.array(values, type_)
        if not any(value is not None and value[:1] == "\0" for value in values):
            return array
    except UnicodeEncodeError:
        pass
    return pa.array([None if value is None else _storable(value) for value in values], type_)


def _storable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "\0" + text.encode("unicode_escape").decode("ascii")
    return "\0" + text.encode("unicode_escape").decode("ascii") if text[:1] == "\0" else text


def plain_value(value: Any) -> Any:
    """A value of a column as Python has it, the escaped form of a string undone.

    Raises:
      ValueError: the escaped form is malformed.
    """
    if isinstance(value, str) and value[:1] == "\0":
        return value[1:].encode("ascii").decode("unicode_escape")
    return value


def plain_columns(batch: pa.RecordBatch) -> dict[str, pa.Array | None]:
    """The columns of a record batch by name, `modified` as nanoseconds; None for one without a value."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns["modified"] = columns["modified"].view(pa.int64())
    return {name: column if column.null_count < len(column) else None for name, column in columns.items()}


def plain_values(column: pa.Array) -> list[Any]:
    """The values of a column as Python has them.

    Raises:
      ValueError: as `plain_value`.
    """
    values = column.to_pylist()
    return [plain_value(value) for value in values] if pa.types.is_string(column.type) else values


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the columns of a schema, nulls where it has none."""
    if batch.schema.equals(schema):
        return batch
    have = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type) if field.name in have else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)


def items_of_columns(columns: Mapping[str, pa.Array | None], rows: Iterable[int] | None = None) -> Iterator[MediaItem]:
    """The items that `plain_columns` describe, in order; of some rows alone if given.

    Raises:
      TypeError, ValueError: a row describes none.
    """
    own = list(columns)[len(FIELDS) :]
    arrays = tuple(columns.values())
    described: Iterable[Sequence[Any]]
    if rows is None:
        described = zip(*(itertools.repeat(None) if one is None else plain_values(one) for one in arrays), strict=False)
    else:  # `take` would import pyarrow.compute, for as long as many searches last
        described = ([None if one is None else plain_value(one[row].as_py()) for one in arrays] for row in rows)
    for values in described:
        key, kind, label, source, split, path, origin, content, duration, size, modified = values[: len(FIELDS)]
        file = None if size is None else FileState(size, modified, content)
        given = dict(zip(own, values[len(FIELDS) :], strict=True))
        yield MediaItem(key, kind, label, source, split, path, duration, origin, file, given)
