"""The figures of accuracy_deep_hashing.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from common.paths import RESULTS
from common.spread import spread

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["draw_lengths", "draw_weights"]

Curves = dict[str, dict[str, dict[float, list[float]]]]  # by data set, line and place on the axis: of all seeds


def curves_of(rows: Sequence[dict[str, Any]], place: str, line: Callable[[dict[str, Any]], str | None]) -> Curves:
    """The curves in rows of a result file.

    Args:
      rows: of any studies.
      place: a pattern of those settings that are points; its group is the place on the axis.
      line: the name of the line that a row is a point of; None: of none.
    """
    curves: Curves = {}
    for row in rows:
        found, shown = re.fullmatch(place, row.get("setting", "")), line(row)
        if found and shown:
            points = curves.setdefault(row["data"], {}).setdefault(shown, {})
            points.setdefault(float(found[1]), []).append(row["value"])
    return curves


def draw_lengths(rows: Sequence[dict[str, Any]]) -> None:
    """mAP@10 against the length of the codes, a line a method."""
    curves = curves_of(rows, r"(\d+) bits", lambda row: row["method"] if row["metric"] == "mAP@10" else None)
    draw("deep_hashing_lengths", "bits", curves, log=True)


def draw_weights(rows: Sequence[dict[str, Any]]) -> None:
    """mAP@10 against beta, of validation and of test clips."""
    parts = {"validation mAP@10": "validation", "mAP@10": "test"}
    curves = curves_of(rows, r"alpha .*, beta ([\d.]+)", lambda row: parts.get(row["metric"]))
    draw("deep_hashing_weights", "beta = 1 - alpha", curves)


def draw(name: str, axis: str, curves: Curves, *, log: bool = False) -> None:
    """Mean over seeds with its spread, one panel a data set, as benchmarks/results/<name>.png."""
    if not curves:
        return
    figure, panels = plt.subplots(1, len(curves), figsize=(5.5 * len(curves), 4), squeeze=False, layout="constrained")
    for panel, (data, methods) in zip(panels[0], curves.items(), strict=True):
        for method, points in methods.items():
            places = sorted(points)
            mean = np.array([np.mean(points[place]) for place in places])
            spreads = np.array([spread(points[place]) for place in places])
            (line,) = panel.plot(places, mean, marker="o", label=method)
            panel.fill_between(places, mean - spreads, mean + spreads, alpha=0.15, color=line.get_color())
        if log:
            panel.set_xscale("log", base=2)
            panel.set_xticks(places, [f"{place:g}" for place in places])
        panel.set(title=data, xlabel=axis, ylabel="mAP@10")
        panel.grid(alpha=0.3)
    panels[0][-1].legend(fontsize=7)
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    plt.close(figure)
