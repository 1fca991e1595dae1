"""Differences that are paired by seed, written as rows beside those of the result file that they are of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common import results_file
from common.paths import RESULTS

__all__ = ["Comparison", "Place", "paired_differences", "write_differences"]

Place = tuple[str, str, str]
"""Data, method and setting of rows; "" where they have no setting."""


class Comparison(NamedTuple):
    """What is taken from what.

    Attributes:
      data: of the difference, whose rows are of "<data>: differences".
      method: of the difference.
      setting: of the difference; says what is taken away.
      ours: the rows that it is taken from.
      theirs: the rows that are taken away.
    """

    data: str
    method: str
    setting: str
    ours: Place
    theirs: Place


def paired_differences(
    rows: Iterable[Mapping[str, Any]], compared: Iterable[Comparison], metrics: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Of what is compared the difference of each figure that both have with a seed.

    Args:
      rows: of a result file.
      compared: what is taken from what; what the rows lack is left out.
      metrics: the figures; None: all.
    """
    found: dict[Place, dict[tuple[int, str], float]] = defaultdict(dict)
    for row in rows:
        if "seed" in row and (metrics is None or row["metric"] in metrics):
            place = (row["data"], row["method"], row.get("setting", ""))
            found[place][row["seed"], row["metric"]] = row["value"]
    made = []
    for data, method, setting, ours, theirs in compared:
        for seed, metric in sorted(found[ours].keys() & found[theirs].keys()):
            difference = found[ours][seed, metric] - found[theirs][seed, metric]
            made.append(
                results_file.row(f"{data}: differences", method, metric, difference, setting=setting, seed=seed)
            )
    return made


def write_differences(
    name: str, compared: Iterable[Comparison], packages: Sequence[str], metrics: Collection[str] | None = None
) -> Path:
    """Write into a result file the differences of all rows that it holds, and return its path.

    Args:
      name, packages: as for `results_file.update`.
      compared, metrics: as for `paired_differences`.
    """
    rows = results_file.stored_rows(RESULTS / f"{name}.json")
    return results_file.update(name, paired_differences(rows, compared, metrics), packages)
