"""The figure of accuracy_convlstm.py: how well changed parts of videos find their videos."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
from common.paths import RESULTS
from common.spread import spread

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["draw_strengths"]

Curves = Mapping[str, Mapping[float, list[float]]]
"""By method: strength to mAP, one a seed."""


def draw_strengths(name: str, curves: Mapping[str, Curves]) -> None:
    """mAP by clip against the strength of the changes, mean and spread of seeds, a panel a data set.

    Args:
      name: of the PNG file in benchmarks/results.
      curves: by data set.
    """
    figure, panels = plt.subplots(
        1, len(curves), figsize=(5.5 * len(curves), 4.2), sharey=True, squeeze=False, layout="constrained"
    )
    names = sorted({method for methods in curves.values() for method in methods})
    colours = {name: f"C{number}" for number, name in enumerate(names)}  # the same in every panel
    for panel, (data, methods) in zip(panels[0], curves.items(), strict=True):
        for method, curve in sorted(methods.items()):
            strengths, colour = sorted(curve), colours[method]
            label = method if len(curve[strengths[0]]) > 1 else f"{method} (one split)"
            means = np.array([np.mean(curve[strength]) for strength in strengths])
            spreads = np.array([spread(curve[strength]) for strength in strengths])
            line = "--" if "untrained" in method else "-"
            panel.plot(strengths, means, marker="o", color=colour, linestyle=line, label=label)
            panel.fill_between(strengths, means - spreads, means + spreads, color=colour, alpha=0.15)
        panel.set(title=data, xlabel="strength of the changes", ylabel="mAP by clip", ylim=(0, 1.02))
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    plt.close(figure)
