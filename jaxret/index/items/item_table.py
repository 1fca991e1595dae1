"""Items from a table that someone has: checked column by column, and made objects when they are looked at."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa

from jaxret.data.items import MediaItem, check_column_name
from jaxret.index.items.columns import FIELDS, items_of_columns, kind_of_type, plain_columns, schema_of

__all__ = ["ItemTable", "items_of_table"]

_OPTIONAL_TEXT = ("label", "split", "path", "origin")
_GIVEN = ("key", "kind", "source", *_OPTIONAL_TEXT, "duration")
_FEW = 10_000  # items that are made objects at once: to load pyarrow.compute takes longer


def items_of_table(table: Any) -> Sequence[MediaItem]:
    """Items from a table that someone has.

    Those of a large table are checked a column at a time, stay columns, and go into an index as such
    (`MediaIndex.add`); each becomes an object when it is looked at.

    Args:
      table: an Arrow table, a data frame of pandas, or a mapping of names to columns. `key` is needed; `kind`, "image"
        where there is no such column, `label`, `source`, `split`, `path`, `duration` and `origin` are fields of the
        items, and all others columns of the user's own.

    Raises:
      ValueError: there is no column `key`, two columns have one name, or a row describes no item; the message names the
        row, from 0.
      TypeError: it is no table, or Arrow knows no type for a column; the message names the column.

    Example:
      >>> items_of_table({"key": ["a.jpg", "b.jpg"], "year": [1999, None]})[0].columns
      {'year': 1999}
    """
    given = _arrow_table(table)
    if "key" not in given.column_names:
        raise ValueError(f"table must have a column key, got {', '.join(given.column_names) or 'none'}")
    columns = _plain_columns(given) if len(given) > _FEW else None
    if columns is None:  # what is wrong, or out of the ordinary, is looked at row by row
        return _items_of_rows(given)
    own = {name: column.type for name, column in columns.items() if name not in FIELDS}
    return ItemTable(pa.table(columns, schema=schema_of(own)).combine_chunks())


def _arrow_table(table: Any) -> pa.Table:
    """The same as an Arrow table, no two of whose columns have one name."""
    if isinstance(table, Mapping):
        table = {name: _arrow_column(name, column) for name, column in table.items()}
    given = table if isinstance(table, pa.Table) else pa.table(table)
    names = Counter(given.column_names)
    if twice := [name for name in names if names[name] > 1]:
        raise ValueError(f"table must have one column of each name, got {', '.join(map(repr, twice))} more than once")
    return given


def _arrow_column(name: Any, column: Any) -> Any:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column
    try:
        return pa.array(column)
    except (pa.ArrowException, UnicodeError, OverflowError) as error:
        raise TypeError(f"column {name!r} of the table is none that Arrow knows: {error}") from error


def _items_of_rows(given: pa.Table) -> list[MediaItem]:
    items = []
    for number, row in enumerate(given.to_pylist()):
        own = {name: value for name, value in row.items() if name not in _GIVEN}
        known = {name: value for name, value in row.items() if name in _GIVEN and value is not None}
        if "key" not in known:
            raise ValueError(f"row {number} of the table: key must be a string, got None")
        try:
            items.append(MediaItem(**{"kind": "image", **known}, columns=own))
        except (TypeError, ValueError) as error:
            raise ValueError(f"row {number} of the table: {error}") from error
    return items


class ItemTable(Sequence[MediaItem]):
    """Checked items as a table, see `items_of_table`; it equals any sequence of equal items.

    Args:
      table: with the columns of a file of items.

    Attributes:
      table: as given.
    """

    def __init__(self, table: pa.Table):
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, number: int) -> MediaItem: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[MediaItem, ...]: ...

    def __getitem__(self, number: int | slice) -> MediaItem | tuple[MediaItem, ...]:
        if isinstance(number, slice):
            return tuple(items_of_columns(self._columns, range(*number.indices(len(self)))))
        place = operator.index(number)
        if not -len(self) <= place < len(self):
            raise IndexError(f"items must lie in 0 .. {len(self) - 1}, got {number}")
        (item,) = items_of_columns(self._columns, [place % len(self)])
        return item

    def __iter__(self) -> Iterator[MediaItem]:
        return items_of_columns(self._columns)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    @functools.cached_property
    def _columns(self) -> dict[str, pa.Array | None]:
        (batch,) = self.table.to_batches()
        return plain_columns(batch)


def _plain_columns(given: pa.Table) -> dict[str, pa.ChunkedArray] | None:
    """The columns of items, all that a file of them has; None where one must be looked at row by row."""
    import pyarrow.compute as pc  # slow to import; a search does without it

    columns = {name: _plain_column(given.column(name), name) for name in given.column_names}
    if any(column is None for column in columns.values()):
        return None
    found = {name: column for name, column in columns.items() if column is not None}
    key = found["key"]
    if key.null_count or pc.any(pc.equal(key, "")).as_py():
        return None
    none = {name: pa.chunked_array([pa.nulls(len(given), type_)]) for name, type_ in FIELDS.items()}
    kind = pc.fill_null(found.get("kind", none["kind"]), "image")
    if not pc.all(pc.is_in(kind, pa.array(["image", "video"]))).as_py():
        return None
    source = found.get("source", none["source"])
    source = pc.if_else(pc.equal(pc.fill_null(source, ""), ""), key, source)
    own = {name: column for name, column in found.items() if name not in _GIVEN and column.null_count < len(given)}
    return {**none, **{name: found[name] for name in _GIVEN if name in found}, "kind": kind, "source": source, **own}


def _plain_column(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray | None:
    """A column in the type that a file of items has, all of whose values are of the ordinary; None else."""
    import pyarrow.compute as pc

    if name in _GIVEN:
        type_ = FIELDS[name]
        if name == "duration" and not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            return None if column.null_count < len(column) else pa.chunked_array([pa.nulls(len(column), type_)])
    else:
        try:
            check_column_name(name)
        except (TypeError, ValueError):
            return None
        integer, floating = pa.types.is_integer(column.type), pa.types.is_floating(column.type)
        type_ = pa.int64() if integer else pa.float64() if floating else column.type
    if pa.types.is_null(column.type):
        return pa.chunked_array([pa.nulls(len(column), type_ if name in _GIVEN else pa.string())])
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if text:
        type_ = pa.string()
    if (type_ == pa.string()) != text or kind_of_type(type_) is None:
        return None
    try:
        column = column.cast(type_)
        column.validate(full=True)
    except pa.ArrowException:
        return None
    if text and pc.any(pc.starts_with(column, "\0")).as_py():  # these are kept in another form
        return None
    if type_ == pa.float64():
        least = 0.0 if name == "duration" else -np.inf
        fine = pc.and_(pc.is_finite(column), pc.greater_equal(column, least))
        return column if pc.all(fine).as_py() is not False else None
    return column
