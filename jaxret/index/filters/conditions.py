"""What a filter says, as a tree of conditions on columns."""

from __future__ import annotations

import dataclasses
from typing import Literal

from jaxret.data.items import ColumnValue

__all__ = [
    "All",
    "AnyOf",
    "Comparison",
    "Condition",
    "IsNull",
    "Like",
    "Not",
    "OfColumn",
    "OneOf",
    "Operator",
    "Truth",
]

Operator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclasses.dataclass(frozen=True)
class OfColumn:
    """A condition on a column.

    Attributes:
      column: its name.
      at: where it stands in the text, from 0.
    """

    column: str
    at: int


@dataclasses.dataclass(frozen=True)
class Comparison(OfColumn):
    """The column compared with a value."""

    operator: Operator
    value: ColumnValue


@dataclasses.dataclass(frozen=True)
class Like(OfColumn):
    """The column's text is like a pattern, in which % stands for any letters, _ for one, \\% and \\_ for themselves."""

    pattern: str
    ignore_case: bool


@dataclasses.dataclass(frozen=True)
class OneOf(OfColumn):
    """The column has one of these values."""

    values: tuple[ColumnValue, ...]


@dataclasses.dataclass(frozen=True)
class IsNull(OfColumn):
    """The column has no value."""


@dataclasses.dataclass(frozen=True)
class Truth(OfColumn):
    """The column is true."""


@dataclasses.dataclass(frozen=True)
class Not:
    """The condition does not hold."""

    condition: Condition


@dataclasses.dataclass(frozen=True)
class All:
    """All conditions hold."""

    conditions: tuple[Condition, ...]


@dataclasses.dataclass(frozen=True)
class AnyOf:
    """One of the conditions holds."""

    conditions: tuple[Condition, ...]


Condition = Comparison | Like | OneOf | IsNull | Truth | Not | All | AnyOf
