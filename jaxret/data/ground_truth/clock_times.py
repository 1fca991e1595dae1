"""Times of day-long media as people write them: seconds, m:ss or h:mm:ss."""

from __future__ import annotations

import math

__all__ = ["format_clock", "parse_clock"]


def parse_clock(text: str) -> float:
    """Seconds from `ss`, `m:ss` or `h:mm:ss`; the last part may have a fraction.

    Raises:
      ValueError: the text is none of these.

    Example:
      >>> parse_clock("1:02:03.5"), parse_clock("90")
      (3723.5, 90.0)
    """
    parts = text.strip().split(":")
    try:
        numbers = [float(int(part)) for part in parts[:-1]] + [float(parts[-1])]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or not all(math.isfinite(n) and n >= 0 for n in numbers):
        raise ValueError(f"a time must be seconds, m:ss or h:mm:ss, got {text!r}")
    if any(number >= 60 for number in numbers[1:]):
        raise ValueError(f"minutes and seconds after a colon must be below 60, got {text!r}")
    seconds = 0.0
    for number in numbers:
        seconds = 60 * seconds + number
    return seconds


def format_clock(seconds: float) -> str:
    """Whole seconds, cut off, as `m:ss`, or `h:mm:ss` from an hour on.

    Example:
      >>> format_clock(75.9), format_clock(3723)
      ('1:15', '1:02:03')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
