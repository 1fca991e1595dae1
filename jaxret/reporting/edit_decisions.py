"""Parts of films as an edit decision list (CMX 3600), which editing programs open."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import PurePath

from jaxret.plain_text import printable

__all__ = ["EditEvent", "edit_list"]


@dataclasses.dataclass(frozen=True)
class EditEvent:
    """A part of a film.

    Attributes:
      file: the film, by its name or path.
      start, end: seconds in it.
      note: a line for people.
    """

    file: str
    start: float
    end: float
    note: str = ""


def edit_list(title: str, events: Iterable[EditEvent], *, rate: int = 25) -> str:
    """The parts one after the other, as video cuts.

    Time codes count frames at `rate`, from 0 at the first frame of each film and from one hour in the sequence, as is
    the custom. A part of less than a frame is one frame.

    Args:
      title: of the list.
      events: the parts, in order; at most 999, which is all that the format counts.
      rate: whole frames a second of the time codes, without dropped ones.

    Raises:
      ValueError: a part ends before it starts, or there are too many.

    Example:
      >>> print(edit_list("found", [EditEvent("a b.mp4", 1.0, 2.5)], rate=10))
      TITLE: found
      FCM: NON-DROP FRAME
      <BLANKLINE>
      001  A_B      V     C        00:00:01:00 00:00:02:05 01:00:00:00 01:00:01:05
      * FROM CLIP NAME: a b.mp4
      <BLANKLINE>
    """
    lines = [f"TITLE: {_line(title)}", "FCM: NON-DROP FRAME", ""]
    place = 3600 * rate
    for number, event in enumerate(events, start=1):
        if number > 999:
            raise ValueError("an edit decision list holds at most 999 events: export fewer results")
        if not 0 <= event.start <= event.end:
            raise ValueError(f"an event must start at 0 s or later and not end before that, got {event}")
        first = round(event.start * rate)
        length = max(1, round(event.end * rate) - first)
        codes = (first, first + length, place, place + length)
        reel = re.sub(r"\W", "_", PurePath(event.file).stem, flags=re.ASCII).upper()[:8] or "AX"
        told = " ".join(_time_code(frames, rate) for frames in codes)
        lines += [f"{number:03d}  {reel:<8} V     C        {told}", f"* FROM CLIP NAME: {_line(event.file)}"]
        if event.note:
            lines.append(f"* COMMENT: {_line(event.note)}")
        place += length
    return "\n".join([*lines, ""])


def _time_code(frames: int, rate: int) -> str:
    seconds, rest = divmod(frames, rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"


def _line(text: str) -> str:
    """A text that stays on its line."""
    return printable(text).replace("\n", " ")
