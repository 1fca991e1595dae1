"""One HTML file with everything in it: no scripts, no links to other files, readable offline for good."""

from __future__ import annotations

import base64
import dataclasses
import html
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from jaxret.files import write_atomically
from jaxret.plain_text import printable

__all__ = ["Section", "drawn_figure", "figure", "paragraph", "preformatted", "table", "write_report"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: .7em 0; } th, td { padding: .25em .8em; border-bottom: 1px solid #e4e4e4; }
th { text-align: left; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f5f5f5; padding: .7em; overflow-x: auto; } img { max-width: 100%; } figcaption { color: #555; }
"""


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and pieces of HTML made by `paragraph`, `table`, `figure` and `preformatted`."""

    title: str
    parts: Sequence[str]


def _escaped(text: str) -> str:
    return html.escape("\n".join(map(printable, text.split("\n"))))


def paragraph(text: str) -> str:
    """Plain text, escaped."""
    return f"<p>{_escaped(text)}</p>"


def preformatted(text: str) -> str:
    """Text whose line breaks count, such as commands."""
    return f"<pre>{_escaped(text)}</pre>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; floats are shown with three decimals, numbers are set to the right."""

    def cell(value: object) -> str:
        shown = f"{value:z.3f}" if isinstance(value, float) else str(value)
        kind = ' class="number"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
        return f"<td{kind}>{_escaped(shown)}</td>"

    head = "".join(f"<th>{_escaped(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def drawn_figure(path: Path, caption: str, draw: Callable[[], object]) -> str:
    """A PNG, drawn now and embedded; a paragraph with the reason where it cannot be drawn.

    Args:
      path: of the PNG file.
      caption: below it.
      draw: writes the file.
    """
    try:
        draw()
        return figure(path, caption)
    except Exception as error:  # a run is worth more than its figures
        return paragraph(f"{path.name} could not be drawn: {type(error).__name__}: {error}")


def figure(path: Path, caption: str) -> str:
    """A PNG, embedded."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    text = _escaped(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def write_report(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write the page, replacing an older one at once."""
    content = "\n".join(
        f"<section><h2>{_escaped(section.title)}</h2>\n" + "\n".join(section.parts) + "</section>"
        for section in sections
    )
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_escaped(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{_escaped(title)}</h1>\n{content}\n</body></html>\n"
    )
    with write_atomically(path) as partial:
        partial.write_text(page, encoding="utf-8")
