"""Columns of the user's own for the items of a data set, from a CSV that names each by its key or its path."""

from __future__ import annotations

import copy
import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.csv_lines import read_csv_lines
from jaxret.data.items import ColumnValue, check_column_name
from jaxret.errors import ConfigError
from jaxret.remote import real_path, url_of

__all__ = ["ItemColumns", "read_item_columns", "with_columns"]

_OF_DATA_SETS = ("key", "path", "label", "source", "split")
"""Columns of the CSV that are no columns of the user's own: one may be the list of a data set as well."""


@dataclasses.dataclass(frozen=True)
class ItemColumns:
    """Values of the user's own.

    Attributes:
      by: "key" or "path", what items are named by.
      values: by that name (a path absolute, without links) the values by column; those that are missing are left out.
      passed_over: columns of the CSV that are none of the user's own, for every item has them from its data set.
    """

    by: str
    values: Mapping[str, Mapping[str, ColumnValue]]
    passed_over: tuple[str, ...] = ()


def read_item_columns(path: str | os.PathLike[str]) -> ItemColumns:
    """Read a CSV with a column `key`, or `path` relative to the CSV, and columns of the user's own.

    A column whose every cell is a whole number holds whole numbers, one of numbers numbers, one of `true` and `false`
    truth values; all others text. An empty cell is a missing value. Columns label, source and split are passed over.

    Raises:
      ConfigError: the file cannot be read, has neither `key` nor `path`, no columns beside them, a name that a field of
        every item has, two columns or items of one name, or lines of other lengths.
    """
    source = Path(path)
    lines = [(number, row) for number, row in read_csv_lines(source) if any(cell.strip() for cell in row)]
    header = [name.strip() for name in lines[0][1]] if lines else []
    by = next((name for name in ("key", "path") if name in header), None)
    own = [name for name in header if name not in _OF_DATA_SETS]
    passed_over = tuple(name for name in header if name in _OF_DATA_SETS and name != by)
    if by is None:
        raise ConfigError(f"{source}: must have a column key or path, got {', '.join(header)}")
    if not own:
        given = f"; {' and '.join(passed_over)} come from the data set" if passed_over else ""
        raise ConfigError(f"{source}: has no columns of your own beside {by}{given}")
    if len(set(header)) < len(header):
        raise ConfigError(f"{source}: has two columns of one name")
    for name in own:
        try:
            check_column_name(name)
        except ValueError as error:
            raise ConfigError(f"{source}: {error}") from error
    rows: dict[str, list[str]] = {}
    for number, row in lines[1:]:
        if len(row) != len(header):
            raise ConfigError(f"{source}, line {number}: has {len(row)} cells where the header has {len(header)}")
        named = row[header.index(by)].strip()
        name = real_path(url_of(named) or source.parent / named) if by == "path" else named
        if not named or name in rows:
            raise ConfigError(f"{source}, line {number}: {by} {named!r} is {'there twice' if named else 'empty'}")
        rows[name] = row
    parsed = {name: _parsed([row[header.index(name)] for row in rows.values()]) for name in own}
    values = {
        item: {name: cells[place] for name, cells in parsed.items() if cells[place] is not None}
        for place, item in enumerate(rows)
    }
    return ItemColumns(by, values, passed_over)


def with_columns(dataset: MediaDataset, columns: ItemColumns) -> tuple[MediaDataset, int]:
    """The data set with these values at its items, and how many items of the CSV it does not have."""
    found = [
        columns.values.get(item.key if columns.by == "key" else real_path(item.path or os.devnull))
        for item in dataset.items
    ]
    described = copy.copy(dataset)
    described.items = tuple(
        item if own is None else dataclasses.replace(item, columns={**item.columns, **own})
        for item, own in zip(dataset.items, found, strict=True)
    )
    return described, len(columns.values) - sum(own is not None for own in found)


def _parsed(cells: Sequence[str]) -> list[Any]:
    """The cells of a column as what all of them are; None for an empty one."""
    stripped = [cell.strip() for cell in cells]
    given = [cell for cell in stripped if cell]
    parse: Callable[[str], Any] = str
    if given and all(re.fullmatch(r"[+-]?\d{1,18}", cell) for cell in given):
        parse = int
    elif given and all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", cell) for cell in given):
        parse = float
    elif given and {cell.lower() for cell in given} <= {"true", "false"}:
        parse = _truth
    return [parse(cell) if cell else None for cell in stripped]


def _truth(cell: str) -> bool:
    return cell.lower() == "true"
