"""Tables of media that `jaxret train --data FILE.csv` takes."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from jaxret.files import write_atomically

__all__ = ["write_table"]


def write_table(path: Path, rows: Iterable[tuple[object, ...]]) -> str:
    """Write paths, labels, sources and splits as a CSV, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "source", "split"), *rows])
    return str(path)
