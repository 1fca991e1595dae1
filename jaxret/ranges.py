"""Which numbers a setting takes: said once, at the field, told by its help, and checked wherever the value comes from.

batch_size: Count = 64
image_size: Annotated[int | None, at_least(32)] = None
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import typing
from typing import Annotated, Any

import tyro

from jaxret.errors import ConfigError

__all__ = [
    "MOST_THREADS",
    "MOST_UNITS",
    "Bits",
    "Count",
    "CountOrZero",
    "Layers",
    "Positive",
    "Range",
    "Share",
    "Threads",
    "Units",
    "Weight",
    "above",
    "at_least",
    "check_ranges",
    "ranges_of",
]


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of numbers.

    Attributes:
      low, high: its ends; infinite where there is none.
      without_low, without_high: whether an end is no part of it.

    Example:
      >>> str(Range(0, 1)), str(Range(0, without_low=True)), str(Range(0, 1, without_high=True)), 1 in Range(0, 1)
      ('0 to 1', 'above 0', 'at least 0 and below 1', True)
    """

    low: float = -math.inf
    high: float = math.inf
    without_low: bool = False
    without_high: bool = False

    def __contains__(self, value: float) -> bool:
        after = value > self.low if self.without_low else value >= self.low
        return after and (value < self.high if self.without_high else value <= self.high)

    def __str__(self) -> str:
        first = f"{'above' if self.without_low else 'at least'} {self.low}"
        if self.high == math.inf:
            return first
        if not (self.without_low or self.without_high):
            return f"{self.low} to {self.high}"
        return f"{first} and {'below' if self.without_high else 'at most'} {self.high}"

    def ends(self) -> dict[str, float | bool | None]:
        """The ends by the names that JSON's schemas have for them, None where there is none.

        Example:
          >>> Range(0, 1, without_low=True).ends()
          {'minimum': 0, 'maximum': 1, 'exclusiveMinimum': True}
        """
        ends: dict[str, float | bool | None] = {
            "minimum": None if self.low == -math.inf else self.low,
            "maximum": None if self.high == math.inf else self.high,
        }
        if self.without_low:
            ends["exclusiveMinimum"] = True
        if self.without_high:
            ends["exclusiveMaximum"] = True
        return ends

    def __call__(self, default: str) -> str:
        """The end of the help of a setting with this default."""
        return f"({self}; default: {default})"


def at_least(low: float, *, most: float = math.inf, below: float | None = None) -> Any:
    """The annotation of a setting of this number or more: up to `most`, or, if given, less than `below`."""
    return tyro.conf.arg(help_behavior_hint=Range(low, most if below is None else below, False, below is not None))


def above(low: float, *, most: float = math.inf, below: float | None = None) -> Any:
    """The annotation of a setting of more than this number: up to `most`, or, if given, less than `below`."""
    return tyro.conf.arg(help_behavior_hint=Range(low, most if below is None else below, True, below is not None))


MOST = 2**31 - 1
MOST_THREADS = 1024
"""Threads that may be asked for: more are a slip of the finger, and take memory."""

Threads = Annotated[int, at_least(1, most=MOST_THREADS)]
"""Threads of one call."""
MOST_UNITS = 2**14
"""The widest layer that may be asked for: more is a slip of the finger, and takes memory by its square."""

Units = Annotated[int, at_least(1, most=MOST_UNITS)]
"""Numbers that a layer gives."""
Bits = Annotated[int, at_least(0, most=MOST_UNITS)]
"""Length of a binary code, 0 for none: a layer gives the number behind each bit."""
Layers = Annotated[int, at_least(1, most=1000)]
"""Layers above each other; the deepest networks that were published have as many."""
Count = Annotated[int, at_least(1)]
"""A number of things."""
CountOrZero = Annotated[int, at_least(0)]
"""A number of things, or none of them."""
Positive = Annotated[float, above(0)]
"""A length, a rate."""
Weight = Annotated[float, at_least(0)]
"""What a term counts, 0 for nothing."""
Share = Annotated[float, at_least(0, most=1)]
"""A part of a whole, a probability."""


def ranges_of(kind: type[Any]) -> dict[str, Range]:
    """The ranges of the fields of a dataclass, by name; of those that state one."""
    found = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(stated := getattr(mark, "help_behavior_hint", None), Range):
                found[name] = stated
    return found


def check_ranges(settings: Any) -> None:
    """Refuse values that lie outside the ranges of their fields, and whole numbers beyond 32 bits.

    None is in every range, a tuple where all its members are.

    Raises:
      ConfigError: one does; the message names the field, its range and the value.

    Example:
      >>> @dataclasses.dataclass
      ... class Settings:
      ...     epochs: Count = 1
      >>> check_ranges(Settings(0))
      Traceback (most recent call last):
      jaxret.errors.ConfigError: epochs must be at least 1, got 0
    """
    for name, stated in ranges_of(type(settings)).items():
        value = getattr(settings, name)
        for each in value if isinstance(value, tuple) else (value,):
            if not isinstance(each, numbers.Real):
                continue
            if float(each) not in stated:
                none = " or none" if _takes_none(type(settings), name) else ""
                raise ConfigError(f"{name} must be {stated}{none}, got {each}")
            if isinstance(each, int) and each > MOST:
                raise ConfigError(f"{name} must be at most {MOST}, got {each}")


def _takes_none(kind: type[Any], name: str) -> bool:
    return type(None) in typing.get_args(typing.get_type_hints(kind)[name])
