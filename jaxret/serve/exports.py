"""Results as files: tables, JSON, edit decision lists."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from jaxret.reporting import EditEvent, edit_list
from jaxret.retrieval import Hit

__all__ = ["as_csv", "as_edl", "as_json"]

_STILL = 1.0  # seconds that a single frame is shown for in an edit list
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(ranked: Sequence[tuple[int, Hit]]) -> str:
    """Results as a table with a header; the user's own columns come last.

    Texts that a spreadsheet would take for a formula have an apostrophe before them: file names are not ours.

    Args:
      ranked: results with their ranks.
    """
    own = sorted({name for _, hit in ranked for name in hit.item.columns})
    rows = [_flat(rank, hit) for rank, hit in ranked]
    fields = list(dict.fromkeys(name for row in rows for name in row)) or ["rank"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow([*fields, *map(_cell, own)])
    for row, (_, hit) in zip(rows, ranked, strict=True):
        table.writerow([_cell(row.get(name)) for name in fields] + [_cell(hit.item.columns.get(name)) for name in own])
    return text.getvalue()


def as_json(ranked: Sequence[tuple[int, Hit]]) -> str:
    """Results as a list of objects, as `Hit.to_json` makes them, with their ranks."""
    return json.dumps([{"rank": rank, **hit.to_json()} for rank, hit in ranked], indent=1)


def as_edl(title: str, ranked: Sequence[tuple[int, Hit]]) -> str:
    """The parts of films among the results as an edit decision list; images are left out.

    Raises:
      ValueError: there are too many.
    """
    return edit_list(
        title,
        (
            EditEvent(
                hit.item.path or hit.item.key,
                hit.start,
                hit.end if hit.end > hit.start else hit.start + _STILL,
                f"rank {rank}, distance {hit.distance:.4g}" + (", backwards" if hit.backwards else ""),
            )
            for rank, hit in ranked
            if hit.item.kind == "video"
        ),
    )


def _flat(rank: int, hit: Hit) -> dict[str, Any]:
    """The fields of a result that fit into cells."""
    fields = {"rank": rank, **hit.to_json()}
    fields.pop("columns", None)
    sides = fields.pop("box") or (None,) * 4
    size = fields.pop("size") or (None,) * 2
    boxes = dict(zip(("left", "top", "right", "bottom", "height", "width"), (*sides, *size), strict=True))
    return {**fields, **boxes} if any(side is not None for side in boxes.values()) else fields


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
