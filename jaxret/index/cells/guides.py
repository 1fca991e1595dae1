"""What guides the searches of a space, and the files that each segment keeps for it beside its rows.

Of vectors they are centroids, whose cells a segment keeps; of records terms, whose lists it keeps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from jaxret.index.array_file import ArrayEntry
from jaxret.index.cells.cell_files import write_cells
from jaxret.index.cells.term_lists import Terms, write_lists
from jaxret.rank.validation import FloatMatrix

__all__ = ["Guide", "write_guided"]

Guide = FloatMatrix | Terms
"""Centroids float32 (C, D) of a space of vectors, or the terms of one of records."""


def write_guided(
    folder: Path, place: str, space: str, rows: NDArray[Any], guide: Guide, *, revision: int | None = None
) -> dict[str, ArrayEntry]:
    """Write what a segment keeps of its rows.

    Args:
      folder: where it is written.
      place: the folder's path within the index.
      space: its name.
      rows: vectors or records (N, ...); may be memory-mapped.
      guide: of the space.
      revision: that writes it into a segment that is there already.
    """
    suffix = "" if revision is None else f"-{revision}"
    if isinstance(guide, Terms):
        return write_lists(folder, place, f"{space}.lists{suffix}", rows, guide)
    return write_cells(folder, place, f"{space}.cells{suffix}", rows, guide)
