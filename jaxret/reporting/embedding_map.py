"""A map of embeddings: each a point, coloured by its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.figure import Figure

from jaxret.reporting.saving import add_legend, save_figure

__all__ = ["draw_embedding_map"]

_COLOURED = 20


def draw_embedding_map(path: Path, maps: Mapping[str, npt.NDArray[np.floating]], labels: Sequence[str | None]) -> None:
    """Draw maps of the same items side by side, as a PNG.

    Args:
      path: the file to write.
      maps: title to the places of the items, (N, 2).
      labels: the class of each; those of the 20 largest classes have colours of their own, the others are grey.
    """
    classes = [str(label) for label, _ in Counter(label for label in labels if label is not None).most_common()]
    shown, palette = sorted(classes[:_COLOURED]), colormaps["tab20" if len(classes) > 10 else "tab10"]
    of_item = np.array([shown.index(str(label)) if str(label) in shown else -1 for label in labels])
    figure = Figure(figsize=(5.2 * len(maps) + 1.8, 4.8), layout="constrained")
    entries: dict[str, Any] = {}
    for axis, (title, places) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        for number in range(-1, len(shown)):
            chosen = places[of_item == number]
            name = shown[number] if number >= 0 else "no class" if not classes else "other classes"
            if len(chosen):
                colour = palette(number) if number >= 0 else "lightgrey"
                entries[name] = axis.scatter(*chosen.T, s=14, color=colour, linewidths=0)
        axis.set_title(title)
        axis.set_xticks([])
        axis.set_yticks([])
    add_legend(figure, list(entries.values()), list(entries), loc="outside right center", fontsize=8)
    save_figure(figure, path)
