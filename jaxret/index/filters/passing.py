"""Which items pass a filter, batch by batch of their columns.

As in SQL a condition on a missing value is neither true nor false; an item passes where the whole is true.
"""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jaxret.data.items import ColumnValue
from jaxret.index.filters.arrow_values import MISSING, arrow_scalar, arrow_strings, numpy_booleans
from jaxret.index.filters.conditions import (
    All,
    AnyOf,
    Comparison,
    Condition,
    IsNull,
    Like,
    Not,
    OfColumn,
    OneOf,
    Operator,
    Truth,
)
from jaxret.index.filters.parse import FilterError, parse_filter
from jaxret.index.items.columns import FIELDS, kind_of_type

__all__ = ["Filter"]

_COMPARE = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


class Filter:
    """A filter that fits the columns of an index.

    Args:
      text: of the filter, see `jaxret.index.filters.parse`.
      own: the user's own columns of the index, with their types.

    Raises:
      TypeError: the text is no string.
      FilterError: it is malformed, names a column that the index lacks, or compares one with a value of another kind.
    """

    def __init__(self, text: str, own: Mapping[str, pa.DataType]):
        self._text = text
        self._types = {**FIELDS, **own}
        self._condition = parse_filter(text)
        for part in _of_columns(self._condition):
            self._check(part)

    def passing(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """bool (n,), which items of a batch pass."""
        found = self._holds(self._condition, batch)
        return numpy_booleans(pc.fill_null(found, arrow_scalar(False)))

    def _check(self, part: OfColumn) -> None:
        if part.column not in self._types:
            raise FilterError(self._text, part.at, f"no column {part.column}, there are {', '.join(self._types)}")
        kind = self._kind(part.column)
        if isinstance(part, Like) and kind != "text":
            raise FilterError(self._text, part.at, f"column {part.column} holds {kind}, and LIKE wants text")
        if isinstance(part, Truth) and kind != "truth values":
            raise FilterError(self._text, part.at, f"column {part.column} holds {kind}: compare it with a value")
        values = part.values if isinstance(part, OneOf) else (part.value,) if isinstance(part, Comparison) else ()
        for value in values:
            if kind == "times":
                self._moment(part, value)
            elif kind != _kind_of_value(value):
                raise FilterError(self._text, part.at, f"column {part.column} holds {kind}, got {value!r} for it")
        if isinstance(part, Comparison) and kind == "truth values" and part.operator not in ("=", "!="):
            raise FilterError(self._text, part.at, f"column {part.column} holds truth values, which have no order")

    def _kind(self, column: str) -> str:
        return kind_of_type(self._types[column]) or "times"

    def _moment(self, part: OfColumn, value: ColumnValue) -> datetime.datetime:
        """What a time is compared with, in UTC where the text names no zone."""
        try:
            moment = datetime.datetime.fromisoformat(str(value))
        except ValueError:
            problem = f"column {part.column} holds times, such as '2026-11-28' or '2026-11-28T20:30', got {value!r}"
            raise FilterError(self._text, part.at, problem) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)

    def _holds(self, condition: Condition, batch: pa.RecordBatch) -> Any:
        """Arrow booleans (n,), null where it is not known."""
        match condition:
            case Not(inner):
                return pc.invert(self._holds(inner, batch))
            case All(parts):
                return functools.reduce(pc.and_kleene, (self._holds(part, batch) for part in parts))
            case AnyOf(parts):
                return functools.reduce(pc.or_kleene, (self._holds(part, batch) for part in parts))
        name = condition.column
        column = batch.column(name) if name in batch.schema.names else pa.nulls(len(batch), self._types[name])
        match condition:
            case IsNull():
                return pc.is_null(column)
            case Truth():
                return column
            case Like(pattern=pattern, ignore_case=ignore_case):
                return pc.match_like(column, pattern, ignore_case=ignore_case)
            case OneOf(values=values) if self._kind(name) == "text":
                among = pc.is_in(column, value_set=arrow_strings([str(value) for value in values]))
                return pc.if_else(pc.is_valid(column), among, MISSING)
            case OneOf(values=values):
                equal = (self._compared(column, "=", condition, value) for value in values)
                return functools.reduce(pc.or_kleene, equal)
        return self._compared(column, condition.operator, condition, condition.value)

    def _compared(self, column: pa.Array, operator: Operator, part: OfColumn, value: ColumnValue) -> Any:
        if self._kind(part.column) == "times":
            return _COMPARE[operator](column, arrow_scalar(self._moment(part, value)))
        if pa.types.is_int64(column.type) and isinstance(value, float):
            return _whole_compared(column, operator, value)
        numbers = pa.types.is_float64(column.type)
        return _COMPARE[operator](column, arrow_scalar(float(value) if numbers else value))


def _whole_compared(column: pa.Array, operator: Operator, value: float) -> Any:
    """Whole numbers compared with another one, without the rounding of large ones to floats."""
    if value.is_integer() or operator not in ("=", "!="):
        bound = math.ceil(value) if operator in ("<", ">=") else math.floor(value)
        if -(1 << 63) <= bound < 1 << 63:
            return _COMPARE[operator](column, arrow_scalar(bound))
    always = operator == "!=" or ((operator in ("<", "<=")) == (value > 0) and operator != "=")
    return pc.if_else(pc.is_valid(column), arrow_scalar(always), MISSING)


def _of_columns(condition: Condition) -> Iterator[OfColumn]:
    match condition:
        case Not(inner):
            yield from _of_columns(inner)
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _of_columns(part)
        case _:
            yield condition


def _kind_of_value(value: ColumnValue) -> str:
    return "truth values" if isinstance(value, bool) else "text" if isinstance(value, str) else "numbers"
