"""The figures of accuracy_media_retrieval.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from common.paths import RESULTS
from common.spread import spread

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw_selective_curves(
    curves: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]],
    paper: Mapping[str, tuple[float, float]],
) -> None:
    """Accuracy of the vote against the share of queries answered; the paper's two figures are lines.

    Args:
      curves: by data, by group of queries and by method: `coverage`, and accuracy where the others are `left out` or
        counted `wrong`.
      paper: by group, its accuracy by Euclidean distance (all answered) and by PAR (coverage not told).
    """
    figure, panels = plt.subplots(
        len(curves), 2, figsize=(11, 3.6 * len(curves)), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for line, (data, groups) in zip(panels, curves.items(), strict=True):
        for panel, (group, methods) in zip(line, groups.items(), strict=True):
            for number, (method, curve) in enumerate(methods.items()):
                panel.plot(curve["coverage"], curve["left out"], color=f"C{number}", label=f"{method}, rest left out")
                panel.plot(curve["coverage"], curve["wrong"], color=f"C{number}", linestyle=":", label="rest wrong")
            for value, name in zip(paper[group], ("Euclidean", "PAR"), strict=True):
                panel.axhline(value, color="grey", linestyle="--", linewidth=0.8)
                panel.annotate(f"the paper's {name}", (0.02, value + 0.01), fontsize=7, color="grey")
            panel.set(title=f"{data}, {group} classes", xlabel="share of queries answered", ylabel="vote accuracy")
            panel.set(xlim=(0, 1), ylim=(0, 1.02))
            panel.grid(alpha=0.3)
    panels[0, 0].legend(fontsize=7)
    _save(figure, "par_coverage")


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
        spreads = np.array([spread(curve[size]) for size in sizes])
        panel.plot(sizes, means, marker="o", label=label, linestyle="--" if "whitened" in label else "-")
        panel.fill_between(sizes, means - spreads, means + spreads, alpha=0.15)
    panel.axvline(kept, color="grey", linestyle=":", label=f"90 % of the variance ({kept:.0f})")
    panel.set(xscale="log", xlabel="principal components of the clip vectors", ylabel="mAP, mean and spread of seeds")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    _save(figure, "pca_dimensions")


def _save(figure: Any, name: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    plt.close(figure)
