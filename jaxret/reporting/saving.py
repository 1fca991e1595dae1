"""Figures as PNG files whose words are what they are called: no formula, no hidden name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text

from jaxret.files import write_atomically
from jaxret.plain_text import printable

__all__ = ["add_legend", "save_figure"]

_LONGEST = 48  # characters


def add_legend(on: Any, handles: Sequence[Any], names: Sequence[str], **options: Any) -> None:
    """A legend with every name in it, of a figure or of axes; Matplotlib leaves out those that begin with `_`."""
    legend = on.legend(handles, [f"entry {number}" for number in range(len(names))], **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def save_figure(figure: Figure, path: Path, *, dpi: int = 110) -> None:
    """Write a figure, with all its texts as they are: a `$` begins no formula."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_text("\n".join(map(_shown, text.get_text().split("\n"))))
    with write_atomically(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # a box stands for it
        figure.savefig(partial, dpi=dpi, format="png")


def _shown(line: str) -> str:
    """A line of text, cut where it would leave no room for what is drawn."""
    line = printable(line)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
