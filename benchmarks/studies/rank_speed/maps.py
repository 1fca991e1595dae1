"""Maps of ratios: how many times faster than the fastest peer, red where slower."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from common.paths import RESULTS
from studies.rank_speed.cells import CODE_KERNELS, KERNELS, LEVELS, Cell

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import TwoSlopeNorm

__all__ = ["draw"]

_WIDTHS = {"dtw": "frames"} | dict.fromkeys(CODE_KERNELS, "bits")


def draw(processor: str, ratios: Mapping[Cell, float], threads: int) -> None:
    """Writes speed_rank_<processor>_codes.png and speed_rank_<processor>_floats.png, a panel a level and gallery.

    Of two threads and more they have their number in the name.

    Args:
      processor: on which the cells were measured.
      ratios: of cells.
      threads: of the cells to draw.
    """
    for name, kernels in (("codes", CODE_KERNELS), ("floats", KERNELS[len(CODE_KERNELS) :])):
        rows = [(kernel, level) for kernel in kernels for level in LEVELS]
        panels = [
            (row, (items, k))
            for row in rows
            for items, k in sorted(
                {(c.items, c.k) for c in ratios if (c.kernel, c.level) == row and c.threads == threads}
            )
        ]
        if panels:
            words = re.sub(r"\W+", "_", f"{processor} {name}".lower())
            _draw(words if threads == 1 else f"{words}_{threads}_threads", panels, ratios, threads)


def _draw(
    name: str,
    panels: Sequence[tuple[tuple[str, str], tuple[int, int]]],
    ratios: Mapping[Cell, float],
    threads: int,
) -> None:
    rows = list(dict.fromkeys(row for row, _ in panels))
    columns = max(sum(row == other for other, _ in panels) for row in rows)
    figure, axes = plt.subplots(len(rows), columns, figsize=(4.2 * columns, 2.9 * len(rows)), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for place, row in enumerate(rows):
        for axis, (items, k) in zip(axes[place], [gallery for other, gallery in panels if other == row], strict=False):
            kernel, level = row
            shown = {
                (c.width, c.queries): ratio
                for c, ratio in ratios.items()
                if (c.kernel, c.level, c.items, c.k, c.threads) == (kernel, level, items, k, threads)
            }
            widths, queries = (sorted({key[side] for key in shown}) for side in (0, 1))
            values = np.full((len(widths), len(queries)), np.nan)
            for (width, count), ratio in shown.items():
                values[widths.index(width), queries.index(count)] = ratio
            axis.axis("on")
            axis.imshow(np.log2(values), cmap="RdBu", norm=TwoSlopeNorm(0, -2, 3), aspect="auto", origin="lower")
            axis.set_xticks(range(len(queries)), [str(count) for count in queries])
            axis.set_yticks(range(len(widths)), [str(width) for width in widths])
            axis.set_xlabel("queries")
            axis.set_ylabel(_WIDTHS.get(kernel, "dimensions"))
            axis.set_title(f"{kernel}, {level}, {items:,} items, top {k}", fontsize=9)
            for (y, x), value in np.ndenumerate(values):
                if np.isfinite(value):
                    dark = abs(np.log2(value)) > 1.7
                    axis.text(
                        x, y, f"{value:.2g}", ha="center", va="center", fontsize=7, color="white" if dark else "black"
                    )
    figure.tight_layout()
    figure.savefig(RESULTS / f"speed_rank_{name}.png", dpi=75)
    plt.close(figure)
