"""Every error that jaxret raises on purpose, apart from ValueError and TypeError for bad arguments.

Each message names the thing and the value that is wrong, so that a command can print it in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = [
    "ConfigError",
    "EncoderMismatchError",
    "IndexFormatError",
    "JaxretError",
    "MediaError",
    "NoMediaError",
    "NonFiniteLossError",
    "WeightsError",
    "WriteError",
    "first_of",
    "unknown_name_message",
]


class JaxretError(Exception):
    """Base of all errors of this library; commands print its message and exit with status 2."""


class ConfigError(JaxretError, ValueError):
    """A setting is unknown, out of range, or contradicts another."""


class NoMediaError(ConfigError):
    """A folder is there, and holds no media."""


class MediaError(JaxretError):
    """A media file cannot be read.

    Attributes:
      path: the file, as it was given.
      reason: why, in one line.
    """

    def __init__(self, path: str, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[MediaError], tuple[str, str]]:
        # Exceptions cross process borders in data workers; the default would call __init__ with one argument.
        return (type(self), (self.path, self.reason))


class IndexFormatError(JaxretError):
    """A folder is not an index, or its files are truncated, edited or of another format version."""


class WeightsError(JaxretError):
    """A weights file lacks arrays, has extra ones, or has some of another shape; the message lists them all."""


class WriteError(JaxretError, OSError):
    """A file cannot be written because the disk is full; the message names it and tells how much was free."""

    def __str__(self) -> str:
        return str(self.strerror)


class EncoderMismatchError(JaxretError):
    """Two things were made by different encoders (or preprocessing) and must not be compared."""


class NonFiniteLossError(JaxretError):
    """The training loss became NaN or infinite; the message names the step."""


def unknown_name_message(what: str, name: str, known: Iterable[str]) -> str:
    """One line that names an unknown thing, the nearest known one if one is near, and all known ones.

    Example:
      >>> unknown_name_message("backbone", "vgg", ["vgg16", "small-convnet"])
      "unknown backbone 'vgg': did you mean 'vgg16'? Known: small-convnet, vgg16"
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f": did you mean {nearest[0]!r}?" if nearest else "."
    return f"unknown {what} {name!r}{hint} Known: {', '.join(names) or 'none'}"


def first_of(problems: Sequence[str], most: int = 8) -> str:
    """The first of many problems as one line, and how many others there are."""
    others = len(problems) - most
    return "; ".join(problems[:most]) + (f"; and {others} more" if others > 0 else "")
