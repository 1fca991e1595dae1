"""Learning curves from the rows of a run log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxret.reporting.saving import add_legend, save_figure

__all__ = ["draw_curves"]


def draw_curves(
    path: Path, rows: Sequence[Mapping[str, Any]], *, panels: Mapping[str, Sequence[str]], x: str = "epoch"
) -> None:
    """Draw one panel per group of figures against `x`, as a PNG.

    Args:
      path: the file to write.
      rows: from `jaxret.training.read_run_log`.
      panels: panel title to the names of the figures in it; names that no row has are left out, and so is
        a panel without any.
      x: the row entry on the horizontal axis.
    """
    drawn = {
        title: names
        for title, wanted in panels.items()
        if (names := [name for name in wanted if any(name in row for row in rows)])
    }
    # A Figure of its own, not pyplot: no global state, no display needed, no figure left open.
    figure = Figure(figsize=(5.2 * max(1, len(drawn)), 3.6), layout="constrained")
    axes = figure.subplots(1, max(1, len(drawn)), squeeze=False)[0]
    for axis, (title, names) in zip(axes, drawn.items(), strict=False):
        lines: list[Any] = []
        for name in names:
            points = [(row[x], row[name]) for row in rows if name in row]
            marker = "o" if len(points) < 40 else None
            lines += axis.plot(*zip(*points, strict=True), marker=marker, markersize=3)
        axis.set_title(title)
        axis.set_xlabel(x)
        if all(isinstance(row.get(x, 0), int) for row in rows):  # epochs and steps, of which there may be one
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            if len(places := {row[x] for row in rows if x in row}) == 1:
                axis.set_xlim(min(places) - 1, max(places) + 1)
        axis.grid(alpha=0.3)
        add_legend(axis, lines, [name.replace("_", " ") for name in names])
    save_figure(figure, path)
