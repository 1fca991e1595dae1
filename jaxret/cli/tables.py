"""Results of a search and of an evaluation, as tables of text or as lines of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jaxret.plain_text import is_terminal, print_text, printable
from jaxret.rank import METRICS

if TYPE_CHECKING:
    from jaxret.retrieval import Hit, Report

__all__ = ["print_hits", "print_json", "print_report", "print_table"]

_UNBOUNDED = 1 << 16  # columns of a file or pipe


def print_json(hits: Sequence[Hit]) -> None:
    """Print hits as JSON, an object a line."""
    for hit in hits:
        print(json.dumps(hit.to_json()))


def print_hits(hits: Sequence[Hit], nothing: str = "nothing found", *, in_query: bool = False) -> None:
    """Print hits, a line each; `nothing` where there is none.

    Args:
      hits: of one search.
      nothing: what to print instead of no hits.
      in_query: name the span of the query, not that of the item.
    """
    if not hits:
        print_text(nothing)
        return
    metric = METRICS.get(hits[0].metric)  # none of sequences
    label, digits = ("distance", 4) if metric is None else (metric.label, 0 if metric.whole else 4)
    of_regions = any(hit.size is not None for hit in hits)
    columns: dict[str, Callable[[Hit], str]] = {label: lambda hit: f"{hit.distance:.{digits}f}"}
    if of_regions:
        if any(hit.inliers is not None for hit in hits):
            columns["points"] = lambda hit: "" if hit.inliers is None else str(hit.inliers)
        columns["box (x,y,width,height)"] = _box
        columns["at"] = _where
    else:
        columns["cosine"] = lambda hit: "" if hit.cosine is None else f"{hit.cosine:.4f}"
        columns["in query" if in_query else "where"] = lambda hit: _where(hit, in_query=in_query)
        if any(hit.moment is not None for hit in hits):
            columns["best frame"] = lambda hit: "" if hit.moment is None else f"{hit.moment:.1f} s"
        columns["label"] = lambda hit: hit.item.label or ""
    columns["item"] = lambda hit: hit.item.path or hit.item.key
    rows = [[str(place), *(cell(hit) for cell in columns.values())] for place, hit in enumerate(hits, start=1)]
    numbers = {"", label, "cosine", "points"}
    print_table(["", *columns], rows, ["right" if name in numbers else "left" for name in ["", *columns]])


def print_report(report: Report) -> None:
    """Print what was measured, the figures, a line a group, in tables that fit a terminal, and the warnings."""
    print_text(report.measured)
    for number, (header, rows) in enumerate(report.tables()):
        if number:
            print()
        print_table(header, rows, ["left", *["right"] * (len(header) - 1)])
    for warning in report.warnings:
        print_text(f"warning: {warning}")


def _box(hit: Hit) -> str:
    if hit.box is None:
        return "-"
    left, top, right, bottom = (round(side) for side in hit.box)
    return f"{left},{top},{right - left},{bottom - top}"


def _where(hit: Hit, *, in_query: bool = False) -> str:
    if hit.item.kind != "video":
        return ""
    start, end = hit.query_span if in_query else hit.span
    span = f"{start:.1f} s" if start == end else f"{start:.1f}-{end:.1f} s"
    return span + (" back" if hit.backwards else "")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], sides: Sequence[str]) -> None:
    """Print columns, in colours and no wider than the window on a terminal, else as plain lines; nothing is cut off."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for name, side in zip(header, sides, strict=True):
        table.add_column(Text(printable(name, encoding)), justify=side, no_wrap=name != header[-1], overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(Text(printable(cell, encoding)) for cell in row))
    console = Console(width=None if is_terminal(sys.stdout) else _UNBOUNDED, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        print(line.rstrip())
