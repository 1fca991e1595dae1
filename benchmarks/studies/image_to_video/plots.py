"""The figures of accuracy_image_to_video.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from common.paths import RESULTS
from common.spread import spread

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["draw_bytes", "draw_methods"]

Rows = Sequence[Mapping[str, Any]]
TITLES = {"R@1": "R@1 of films", "R@1 of clips": "R@1 of clips"}


def gathered(rows: Rows, data: str, metric: str) -> dict[tuple[str, str], list[float]]:
    """One figure a seed, by setting and method."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["data"] == data and row["metric"] == metric:
            found.setdefault((row["setting"], row["method"]), []).append(row["value"])
    return found


def draw_methods(rows: Rows, data: str, backbone: str, rules: Sequence[str], baseline: str) -> None:
    """R@1 of films and of clips, a group of bars a rule of cuts, frame-wise search as a line; the paper's beside them.

    Args:
      rows: of the result file.
      data: of the rows.
      backbone: whose rows are drawn; settings begin with it.
      rules: how settings end, from left to right.
      baseline: the method that knows no cuts.
    """
    figure, panels = plt.subplots(1, 3, figsize=(15, 4.8), sharey=True, layout="constrained")
    own = [row for row in rows if row["data"] == data and row["setting"].startswith(f"{backbone}, ")]
    methods = list(dict.fromkeys(row["method"] for row in own))
    colours = {method: f"C{place}" for place, method in enumerate(methods)}
    for panel, (metric, title) in zip(panels, TITLES.items(), strict=False):
        found = gathered(rows, data, metric)
        bars = {(rule, method): found[f"{backbone}, {rule}", method] for rule in rules for method in methods}
        _bars(panel, bars, rules, colours)
        panel.axhline(np.mean(found[backbone, baseline]), color="black", linestyle=":", label=baseline)
        panel.set(title=f"{backbone}: {title}", ylim=(0, 1.02))
    paper = {
        (row["setting"].removeprefix(f"{backbone}, "), row["method"]): [row["paper_value"]]
        for row in rows
        if row["data"] == data and row["metric"] == "R@1" and "paper_value" in row
    }
    # Of the two trainings of one network the paper has one.
    _bars(
        panels[2], {key: value for key, value in paper.items() if key[0] in rules and "," not in key[1]}, rules, colours
    )
    panels[2].axhline(paper[backbone, baseline][0], color="black", linestyle=":")
    panels[2].set(title="the paper's R@1 (VGG16, SI2V-600k)", xlim=panels[0].get_xlim())
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(methods) + 1)
    _save(figure, "image_to_video_methods")


def _bars(
    panel: Any, values: Mapping[tuple[str, str], Sequence[float]], rules: Sequence[str], colours: Mapping[str, str]
) -> None:
    """A group a rule, a colour a method; the whisker is the standard deviation over seeds."""
    width = 0.8 / len(colours)
    for place, (method, colour) in enumerate(colours.items()):
        here = [number for number, rule in enumerate(rules) if (rule, method) in values]
        means = [np.mean(values[rules[number], method]) for number in here]
        spreads = [spread(values[rules[number], method]) for number in here]
        positions = np.array(here) + (place + 0.5) * width - 0.4
        yerr = spreads if any(spreads) else None
        panel.bar(positions, means, width, yerr=yerr, color=colour, label=method)
    panel.set_xticks(range(len(rules)), rules)
    panel.grid(alpha=0.3, axis="y")


def draw_bytes(points: Mapping[str, tuple[float, float]]) -> None:
    """mAP of films against megabytes an hour, a point a method.

    Args:
      points: name to megabytes an hour and mAP.
    """
    figure, panel = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, (megabytes, score) in points.items():
        panel.plot(megabytes, score, marker="o", linestyle="none", label=name)
    panel.set(
        xscale="log", xlabel="MB an hour of film, float32", ylabel="mAP of films, mean over seeds", ylim=(0, 1.02)
    )
    panel.grid(alpha=0.3, which="both")
    panel.legend(fontsize=8, loc="lower right")
    _save(figure, "image_to_video_bytes")


def _save(figure: Any, name: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    plt.close(figure)
