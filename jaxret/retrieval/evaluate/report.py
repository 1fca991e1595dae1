"""What an evaluation measured."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxret.evaluation import GroupFigures, undecided

__all__ = ["Report", "TextTable"]

TextTable = tuple[list[str], list[list[str]]]
"""Column names, and rows of text."""

_COUNTS = ("queries", "queries_excluded")
_WIDTH = 100  # characters of a line, from which on a table is cut into several
_CUT_OFF = re.compile(r"@(\d+)")


@dataclasses.dataclass(frozen=True)
class Report:
    """Figures of an evaluation, one shape for all systems.

    Attributes:
      figures: by group of queries ("all", classes, or of the revisited sets easy, medium and hard), then by metric.
      measured: the protocol in words.
      options: of the search that was measured.
      settings: of the evaluation.
      baselines: figures of the same queries to compare with, by their name: what is to be beaten ("chance", a random
        ranking), or the other way of counting ("unannotated wrong").
      votes: figures of the vote of the nearest, by the name of the threshold; empty where none was wanted.
      remarks: what a reader of the figures must know of the queries, a line each, such as how many could not be read.
    """

    figures: GroupFigures
    measured: str
    options: Any
    settings: Any
    baselines: Mapping[str, GroupFigures] = dataclasses.field(default_factory=dict)
    votes: Mapping[str, GroupFigures] = dataclasses.field(default_factory=dict)
    remarks: Sequence[str] = ()

    @property
    def warnings(self) -> list[str]:
        """What a reader of the figures must know: the remarks, and that any ranking has them, see `undecided`."""
        return [*self.remarks, *undecided(self.baselines.get("chance", {}))]

    def rows(self) -> GroupFigures:
        """Figures by the name of their line: each group, its baselines, as "all: chance", and at the end the votes.

        Example:
          >>> list(Report({"all": {"mAP": 0.5}}, "by hand", None, None, {"chance": {"all": {"mAP": 0.1}}}).rows())
          ['all', 'all: chance']
        """
        rows: GroupFigures = {}
        for group, row in self.figures.items():
            rows[group] = dict(row)
            rows |= _lines(group, self.baselines)
        for group in self.figures:
            rows |= _lines(group, self.votes)
        return rows

    def to_json(self) -> dict[str, Any]:
        """The lines, what `jaxret evaluate --json` writes, and, where there are some, "warnings", a list of texts."""
        return {**self.rows(), **({"warnings": self.warnings} if self.warnings else {})}

    def tables(self) -> list[TextTable]:
        """Lines as tables: one, or where it would be too wide to read, one without cut-offs and one for each cut-off.

        Example:
          >>> Report({"all": {"mAP": 0.5, "queries": 12.0}}, "by hand", None, None).tables()
          [(['', 'mAP', 'queries'], [['all', '0.5000', '12']])]
        """
        voted = {line: row for group in self.figures for line, row in _lines(group, self.votes).items()}
        ranked = {line: row for line, row in self.rows().items() if line not in voted}
        of_votes = [_table(voted, _names(voted))] if voted else []
        names = _names(self.figures)
        whole = _table(ranked, names)
        if sum(width + 2 for width in _widths(whole)) - 2 <= _WIDTH:
            return [whole, *of_votes]
        parts: dict[str, list[str]] = {"": []}
        for name in names:
            cut_off = _CUT_OFF.search(name)
            parts.setdefault(cut_off[1] if cut_off else "", []).append(name)
        return [*(_table(ranked, part) for part in parts.values() if part), *of_votes]

    def __str__(self) -> str:
        """What was measured, the tables in plain text, and the warnings."""
        blocks = []
        for header, rows in self.tables():
            widths = _widths((header, rows))
            lines = [[f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])] for row in (header, *rows)]
            blocks.append("\n".join("  ".join(line) for line in lines))
        warnings = [f"warning: {line}" for line in self.warnings]
        return "\n".join([self.measured, "\n\n".join(blocks), *warnings])


def _lines(group: str, methods: Mapping[str, GroupFigures]) -> GroupFigures:
    return {f"{group}: {name}": dict(found[group]) for name, found in methods.items() if group in found}


def _names(rows: GroupFigures) -> list[str]:
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return [name for name in names if name != "queries_excluded"]


def _table(rows: GroupFigures, names: Sequence[str]) -> TextTable:
    table = [[line, *(_text(name, row.get(name)) for name in names)] for line, row in rows.items()]
    return ["", *names], [row for row in table if any(row[1:])]


def _widths(table: TextTable) -> list[int]:
    header, rows = table
    return [max(map(len, column)) for column in zip(header, *rows, strict=True)]


def _text(name: str, value: float | None) -> str:
    digits = 0 if name in _COUNTS else 1 if name == "relevant items" else 4
    return "" if value is None else f"{value:.{digits}f}"
