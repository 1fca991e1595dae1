"""Names of files and classes as plain text, which any file, figure and terminal can hold."""

from __future__ import annotations

import sys
import unicodedata
from typing import TextIO

__all__ = ["counted", "print_text", "printable"]

_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NEVER_RAW = frozenset({"Cc", "Cs", "Zl", "Zp"})


def printable(text: str, encoding: str = "utf-8") -> str:
    r"""The text with escapes for what must not, or cannot, be shown as it is.

    These are control characters, which can clear a terminal, marks that turn the direction of writing, bytes of a file
    name that are no text, and what an encoding lacks.

    Args:
      text: such as the name of a file or class, in one line.
      encoding: of what it is shown on.

    Example:
      >>> print(printable("Ba$$in_\x1b[2J \u00e9"), printable("\u00e9", "ascii"))
      Ba$$in_\x1b[2J é \xe9
    """
    shown = "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _NEVER_RAW or character in _TURNING
        else character
        for character in text
    )
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def print_text(text: str, file: TextIO | None = None) -> None:
    """Print lines of text, escaped as `printable` does it for the encoding of `file` (default: standard output)."""
    out = sys.stdout if file is None else file
    encoding = getattr(out, "encoding", None) or "utf-8"
    print("\n".join(printable(line, encoding) for line in text.split("\n")), file=out, flush=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at what is written there; a stream that cannot tell, or is none, is no terminal."""
    tells = getattr(stream, "isatty", None)
    return tells is not None and tells()


def counted(count: int, noun: str) -> str:
    """A number of things in words.

    Example:
      >>> counted(1, "line"), counted(1200, "item")
      ('1 line', '1200 items')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
