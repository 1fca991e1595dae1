"""The lines of a CSV, with one clear error for whatever else a file of that name can be."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from jaxret.errors import ConfigError
from jaxret.files import kind_of_file

__all__ = ["csv_header", "read_csv_lines"]

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_csv_lines(path: str | os.PathLike[str]) -> list[tuple[int, list[str]]]:
    """Every line of a CSV in UTF-8 as its cells, with the number that it ends at, from 1.

    Raises:
      ConfigError: it cannot be read, is no regular file, no UTF-8 (the message says what to do), or no CSV.
    """
    source = Path(path)
    try:
        if (kind := kind_of_file(os.stat(source).st_mode)) is not None:
            raise ConfigError(f"{source}: is no CSV: {kind}")
        with source.open("rb") as file:
            if file.read(2) in _UTF16:
                raise ConfigError(f"{source}: is written in UTF-16: save it as UTF-8 (a choice of the spreadsheet)")
        with source.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text)
            return [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{source}: is not UTF-8 ({error.reason}, byte 0x{error.object[error.start]:02x}): save it as UTF-8, or"
            f" convert it, from Latin-1 by: iconv -f LATIN1 -t UTF-8 {source.name}"
        ) from error
    except csv.Error as error:
        raise ConfigError(f"{source}, after line {reader.line_num}: {error}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{source}: {getattr(error, 'strerror', None) or error}") from error


def csv_header(path: str | os.PathLike[str]) -> set[str]:
    """The names in the first line; none of what is no CSV, cannot be read or is no file. UTF-16 is read, too."""
    try:
        if kind_of_file(os.stat(path).st_mode) is not None:
            return set()
        with open(path, "rb") as file:
            encoding = "utf-16" if file.read(2) in _UTF16 else "utf-8-sig"
        with open(path, newline="", encoding=encoding, errors="replace") as text:
            return {name.strip() for name in next(csv.reader(text), [])}
    except (OSError, ValueError, csv.Error):
        return set()
