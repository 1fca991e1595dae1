"""Queries in groups: a device works on one while the CPU finishes the one before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


def groups_of(numbers: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Consecutive parts of at most `size` numbers."""
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def filled_up(queries: NDArray[Any], size: int) -> NDArray[Any]:
    """The queries with rows of zeros behind them, (size, ...), so that few sizes are ever compiled."""
    return np.concatenate([queries, np.zeros((size - len(queries), *queries.shape[1:]), queries.dtype)])


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each when the next has been made: what it started runs meanwhile."""
    before = next(items, None)
    for item in items:
        assert before is not None
        yield before
        before = item
    if before is not None:
        yield before


def power_of_two(count: int, *, least: int = 1) -> int:
    """The smallest power of two that is at least `count` and `least`, itself one."""
    return max(least, 1 << (count - 1).bit_length())


def rounded_up(width: int) -> int:
    """A number of results at least `width`, one of few: four to each power of two."""
    step = max(8, 1 << max(0, width.bit_length() - 3))
    return -(-width // step) * step
