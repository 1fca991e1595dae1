"""What an evaluation measured."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxret.evaluation import GroupFigures

__all__ = ["Report"]

_COUNTS = ("queries", "queries_excluded")


@dataclasses.dataclass(frozen=True)
class Report:
    """Figures of an evaluation, one shape for all systems.

    Attributes:
      figures: by group of queries ("all", classes, or of the revisited sets easy, medium and hard), then by metric.
      measured: the protocol in words.
      options: of the search that was measured.
      settings: of the evaluation.
    """

    figures: GroupFigures
    measured: str
    options: Any
    settings: Any

    def to_json(self) -> GroupFigures:
        """The figures, what `jaxret evaluate --json` writes."""
        return {group: dict(row) for group, row in self.figures.items()}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Column names, and a row of text for each group.

        Example:
          >>> Report({"all": {"mAP": 0.5, "queries": 12.0}}, "by hand", None, None).table()
          (['', 'mAP', 'queries'], [['all', '0.5000', '12']])
        """
        names = list(dict.fromkeys(name for row in self.figures.values() for name in row))
        names = [name for name in names if name != "queries_excluded"]
        rows = [[group, *(_text(name, row.get(name)) for name in names)] for group, row in self.figures.items()]
        return ["", *names], rows

    def __str__(self) -> str:
        """What was measured, and the table in plain text."""
        header, rows = self.table()
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = [[f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])] for row in (header, *rows)]
        return "\n".join([self.measured, *("  ".join(line) for line in lines)])


def _text(name: str, value: float | None) -> str:
    return "" if value is None else f"{value:.{0 if name in _COUNTS else 4}f}"
