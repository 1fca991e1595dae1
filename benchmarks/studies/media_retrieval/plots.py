"""The figures of accuracy_media_retrieval.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from common.paths import RESULTS

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw_threshold_curves(
    curves: Mapping[str, Mapping[str, Sequence[float]]], thresholds: np.ndarray, chosen: Mapping[str, Sequence[float]]
) -> None:
    """Figures against PAR's threshold, one panel a representation; the thresholds that were chosen are marked."""
    figure, panels = plt.subplots(1, len(curves), figsize=(5 * len(curves), 4), squeeze=False, layout="constrained")
    for panel, (title, curve) in zip(panels[0], curves.items(), strict=True):
        for name, values in curve.items():
            panel.plot(thresholds, values, label=name)
        for threshold in chosen[title]:
            panel.axvline(threshold, color="grey", linestyle=":")
        panel.set(title=title, xlabel="cosine threshold of PAR", ylabel="validation clips, seed 0", ylim=(0, 1.02))
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    _save(figure, "par_thresholds")


def draw_comparison(rows: Sequence[Mapping[str, Any]], name: str, metrics: Sequence[str], settings: set[str]) -> None:
    """The paper's Figure 4: metrics of models and rankings on seen and unseen classes, ours beside the paper's own.

    Args:
      rows: of the result file.
      name: of the data.
      metrics: what is shown, from left to right.
      settings: which networks are shown.
    """
    figure, panels = plt.subplots(2, 2, figsize=(12, 8), sharex=True, sharey=True, layout="constrained")
    for line, group in zip(panels, ("seen", "unseen"), strict=True):
        ours: dict[str, dict[str, list[float]]] = {}
        paper: dict[str, dict[str, list[float]]] = {}
        for row in rows:
            shown = row["data"] == f"{name}, {group} classes" and row["metric"] in metrics
            if not shown or row.get("setting") not in settings or not row["method"].startswith(("CNN + LSTM", "C3D")):
                continue
            ours.setdefault(row["method"], {}).setdefault(row["metric"], []).append(row["value"])
            if "paper_value" in row:
                paper.setdefault(row["method"], {})[row["metric"]] = [row["paper_value"]]
        colours = {method: f"C{number}" for number, method in enumerate(ours)}
        for panel, bars, title in ((line[0], ours, name), (line[1], paper, "the paper's own data")):
            _draw_bars(panel, bars, metrics, colours)
            panel.set(title=f"{title}, {group} classes", ylim=(0, 1))
            panel.set_xticks(range(len(metrics)), metrics)
            panel.grid(alpha=0.3, axis="y")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    _save(figure, "media_retrieval_comparison")


def _draw_bars(
    panel: Any, bars: Mapping[str, Mapping[str, Sequence[float]]], metrics: Sequence[str], colours: Mapping[str, str]
) -> None:
    """A group of bars a metric, one a method, with the spread over seeds where there are several."""
    width = 0.8 / max(len(bars), 1)
    for place, (method, values) in enumerate(bars.items()):
        heights = [np.mean(values[metric]) for metric in metrics]
        spreads = [np.std(values[metric]) for metric in metrics]
        positions = np.arange(len(metrics)) + (place + 0.5) * width - 0.4
        panel.bar(
            positions, heights, width, yerr=spreads if any(spreads) else None, label=method, color=colours[method]
        )


def draw_dimensions(curves: Mapping[str, Mapping[int, Sequence[float]]], kept: float) -> None:
    """mAP against the number of principal components.

    Args:
      curves: what is drawn, by its name: components to one figure a seed.
      kept: mean number of components that keep 90 % of the variance.
    """
    figure, panel = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for label, curve in curves.items():
        sizes = sorted(curve)
        means = np.array([np.mean(curve[size]) for size in sizes])
        spread = np.array([np.std(curve[size]) for size in sizes])
        panel.plot(sizes, means, marker="o", label=label, linestyle="--" if "whitened" in label else "-")
        panel.fill_between(sizes, means - spread, means + spread, alpha=0.15)
    panel.axvline(kept, color="grey", linestyle=":", label=f"90 % of the variance ({kept:.0f})")
    panel.set(xscale="log", xlabel="principal components of the clip vectors", ylabel="mAP, mean and spread of seeds")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    _save(figure, "pca_dimensions")


def _save(figure: Any, name: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    plt.close(figure)
