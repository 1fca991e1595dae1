"""The CSV that lists media with their labels: a header, a line an item, errors that name the line."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from jaxret.data.datasets.csv_lines import read_csv_lines
from jaxret.errors import ConfigError

__all__ = ["TableRow", "read_media_table"]

_COLUMNS = ("path", "label", "source", "split")


@dataclasses.dataclass(frozen=True, slots=True)
class TableRow:
    """One line of the table.

    Attributes:
      place: file and line, for messages.
      key: the path as it is listed, with `/`.
      label, split: None where the table does not say.
      source: the key where the table does not say.
    """

    place: str
    key: str
    label: str | None
    source: str
    split: str | None


def read_media_table(table: str | os.PathLike[str], *, split_column: str = "split") -> tuple[TableRow, ...]:
    """The lines of a CSV (UTF-8) with a header and at least the column `path`, in its order.

    Known columns are path, label, source and split; empty cells mean "not said". Other columns are allowed only if
    their names begin with `split`, for several official splits.

    Args:
      table: the CSV.
      split_column: the column to take the split from.

    Raises:
      ConfigError: no such file or column, an unknown or repeated column, a missing or repeated path, a row with too
        many or too few cells, or no rows.
    """
    source = Path(table)
    lines = read_csv_lines(source)
    header = [name.strip() for name in lines[0][1]] if lines else []
    _check_header(source, header, split_column)
    rows: dict[str, TableRow] = {}
    for number, line in lines[1:]:
        if not line:
            continue
        place = f"{source}, line {number}"
        if len(line) != len(header):
            raise ConfigError(f"{place}: {len(line)} cells, but the header names {len(header)}")
        cells = {name: cell.strip() for name, cell in zip(header, line, strict=True)}
        key = Path(cells["path"]).as_posix()
        if not cells["path"]:
            raise ConfigError(f"{place}: the path is empty")
        if key in rows:
            raise ConfigError(f"{place}: path {key!r} is listed twice")
        rows[key] = TableRow(
            place, key, cells.get("label") or None, cells.get("source") or key, cells.get(split_column) or None
        )
    if not rows:
        raise ConfigError(f"{source} lists no files")
    return tuple(rows.values())


def _check_header(source: Path, header: list[str], split_column: str) -> None:
    if "path" not in header:
        found = ", ".join(header) or "nothing"
        raise ConfigError(f"{source}: the header must name a column `path`, got {found}")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise ConfigError(f"{source}: column {repeated[0]!r} is there twice")
    unknown = [name for name in header if name not in _COLUMNS and not name.startswith("split")]
    if unknown:
        known = ", ".join(_COLUMNS)
        raise ConfigError(f"{source}: unknown column {unknown[0]!r}; known are {known} and others in split...")
    if split_column != "split" and split_column not in header:
        splits = [name for name in header if name.startswith("split")]
        found = ", ".join(splits) or "not there"
        raise ConfigError(f"{source}: no column {split_column!r}; columns of splits are {found}")
