"""The progress bar of long work."""

from __future__ import annotations

import sys
from typing import TextIO

from tqdm import tqdm

from jaxret.plain_text import is_terminal

__all__ = ["progress_bar"]

_SECONDS_A_LINE = 10.0


class _Lines:
    """A stream in which every drawing of a bar is a line of its own."""

    def __init__(self, stream: TextIO):
        self.encoding = getattr(stream, "encoding", None)
        self._stream = stream

    def write(self, text: str) -> None:
        if drawn := text.strip():
            self._stream.write(drawn + "\n")

    def flush(self) -> None:
        self._stream.flush()


def progress_bar(
    description: str | None, unit: str, *, total: int | None, done: int = 0, shown: bool = True
) -> tqdm[None]:
    """A progress bar on standard error, to `update` and, as a context, to close.

    A terminal shows one line that is drawn again; a file or a pipe, such as the log of a job, gets a line every ten
    seconds. Where there is nothing to do, or no standard error, nothing is drawn.

    Args:
      description: what stands before the bar; None for nothing.
      unit: what is counted, in the singular.
      total: how many there will be; None where that is not known.
      done: how many of them an earlier call did.
      shown: whether it is drawn at all.
    """
    terminal = is_terminal(sys.stderr)
    return tqdm(
        desc=description,
        unit=unit,
        total=total,
        initial=done,
        disable=not shown or sys.stderr is None or total == 0,
        dynamic_ncols=terminal,
        file=sys.stderr if terminal or sys.stderr is None else _Lines(sys.stderr),
        mininterval=0.1 if terminal else _SECONDS_A_LINE,
    )
