"""Which frames of a video an encoder sees: arithmetic on frame times, no pixels.

Sampling goes by time, not by frame number, so that constant and variable frame rates are one case: a
frame is on display from its own time until the next frame's. A clip with fewer frames than are wanted
repeats its frames evenly and never fails.

A frame on display for longer than `LONGEST_FRAME` is taken for a gap, as damaged clocks, joined recordings and stopped
cameras leave them: nothing is sampled there, so that work goes by the frames that exist and not by what a clock says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "LONGEST_FRAME",
    "chunk_spans",
    "even_samples",
    "evenly_spaced",
    "frames_on_display",
    "gaps_in_words",
    "lost_frames_in_words",
    "moments_at_rate",
    "parts_between_gaps",
    "random_chunk",
    "random_samples",
]

LONGEST_FRAME = 60.0
"""Seconds: what passes without a new frame for longer than this is a gap."""

_ALONE = 1.0  # seconds for which a frame between two gaps counts

Times = npt.NDArray[np.float64]
Parts: TypeAlias = Sequence[tuple[float, float]]


def parts_between_gaps(times: Times, duration: float) -> tuple[tuple[float, float], ...]:
    """What of a video lies between gaps longer than `LONGEST_FRAME`.

    Args:
      times: (N,) ascending frame times in seconds, the first at 0, N at least 1.
      duration: seconds to the end of the last frame.

    Returns:
      Start and end of each part, ascending; empty where there is no gap. The last frame of a part counts for as long as
      most frames of the video do, for a second where none is followed by another in time.

    Example:
      >>> parts_between_gaps(np.array([0.0, 1.0, 2.0, 8000.0]), 8001.0)
      ((0.0, 3.0), (8000.0, 8001.0))
      >>> parts_between_gaps(np.array([0.0, 1.0]), 2.0)
      ()
    """
    steps = np.diff(times, append=max(duration, float(times[-1])))
    gaps = np.flatnonzero(steps > LONGEST_FRAME)
    if not len(gaps):
        return ()
    steady = steps[steps <= LONGEST_FRAME]
    usual = float(np.median(steady)) if len(steady) else _ALONE
    firsts = [0, *(gaps + 1).tolist()]
    lasts = [*gaps.tolist(), len(times) - 1]
    ends = [float(times[last] + (steps[last] if steps[last] <= LONGEST_FRAME else usual)) for last in lasts]
    return tuple((float(times[first]), end) for first, end in zip(firsts, ends, strict=True) if first < len(times))


def lost_frames_in_words(times: Times) -> str | None:
    """One line on frames that a steady rate lacks, or None; of recordings whose format promises a steady rate.

    The rate is steady if nine of ten steps are alike. Gaps (`parts_between_gaps`) are not counted.

    Example:
      >>> lost_frames_in_words(np.delete(np.arange(50) / 25, [20, 21]))
      'frames are missing: 2 after 0.8 s'
      >>> lost_frames_in_words(np.array([0.0, 1.0, 3.0, 4.0])) is None
      True
    """
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if not usual or np.mean(np.abs(steps - usual) < 0.1 * usual) < 0.9:
        return None
    lost = np.where(steps <= LONGEST_FRAME, np.rint(steps / usual).astype(np.int64) - 1, 0)
    places = np.flatnonzero(lost > 0)
    if not len(places):
        return None
    shown = [f"{lost[place]} after {times[place]:.1f} s" for place in places[:5]]
    return f"frames are missing: {', '.join(shown)}{' ...' if len(places) > 5 else ''}"


def gaps_in_words(parts: Parts) -> str:
    """One line on the gaps beside the parts of a video, for reports.

    Example:
      >>> gaps_in_words(((0.0, 3.0), (8000.0, 8001.0)))
      'no new frame for more than 60 s in 1 place: after 3.0 s'
    """
    ends = [end for _, end in parts[:-1]] or [parts[0][1]]
    shown = ", ".join(f"{end:.1f} s" for end in ends[:3]) + (" ..." if len(ends) > 3 else "")
    places = f"{len(ends)} place{'s' if len(ends) > 1 else ''}"
    return f"no new frame for more than {LONGEST_FRAME:.0f} s in {places}: after {shown}"


def chunk_spans(duration: float, chunk_seconds: float, overlap: float = 0.0, parts: Parts = ()) -> Times:
    """Cut `duration` seconds into equal chunks of about `chunk_seconds`, that follow each other or overlap.

    Equal chunks leave no short rest at the end that would be embedded like a whole one: without overlap there are
    max(1, round(duration / chunk_seconds)). With it each chunk begins (1 - overlap) of its length after the one before,
    and as many are taken as bring their length nearest to `chunk_seconds`, at least 1; a video no longer than a chunk
    is one.

    Args:
      duration: seconds.
      chunk_seconds: the length wanted.
      overlap: share of a chunk that the next one covers too, at least 0 and below 1.
      parts: of a video with gaps (`parts_between_gaps`): each is cut by itself.

    Returns:
      float64 (chunks, 2), start and end in seconds.

    Raises:
      ValueError: duration is negative or not finite, chunk_seconds is not above 0, or overlap is out of range.

    Example:
      >>> chunk_spans(24.0, 10.0).tolist()
      [[0.0, 12.0], [12.0, 24.0]]
      >>> chunk_spans(25.0, 10.0, overlap=0.5).tolist()
      [[0.0, 10.0], [5.0, 15.0], [10.0, 20.0], [15.0, 25.0]]
    """
    if not (math.isfinite(duration) and duration >= 0):
        raise ValueError(f"duration must be a finite number of seconds of at least 0, got {duration!r}")
    if not chunk_seconds > 0:
        raise ValueError(f"chunk_seconds must be above 0, got {chunk_seconds!r}")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be a share of at least 0 and below 1, got {overlap!r}")
    if parts:
        return np.concatenate([start + chunk_spans(end - start, chunk_seconds, overlap) for start, end in parts])
    if overlap:
        return _overlapping_spans(duration, chunk_seconds, 1 - overlap)
    # Halves round up, so that the rule does not depend on the parity of the count as Python's round would.
    count = max(1, math.floor(duration / chunk_seconds + 0.5))
    edges = np.arange(count + 1) * (duration / count)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def _overlapping_spans(duration: float, chunk_seconds: float, step: float) -> Times:
    """Chunks that begin every `step` of their length L; n of them cover L (1 + (n - 1) step)."""
    exact = 1 + (duration / chunk_seconds - 1) / step
    fewer = max(1, math.floor(exact))
    lengths = {count: duration / (1 + (count - 1) * step) for count in (fewer, fewer + 1)}
    # A video no longer than a chunk would only be cut to shreds; the longer chunks win a tie.
    count = fewer if exact <= 1 else min(lengths, key=lambda n: (abs(lengths[n] - chunk_seconds), n))
    starts = np.arange(count) * (step * lengths[count])
    spans = np.stack([starts, starts + lengths[count]], axis=1)
    spans[-1, 1] = duration
    return spans


def frames_on_display(times: Times, seconds: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The number of the frame on display at each of `seconds`: the last whose time is not after it.

    Args:
      times: (N,) ascending frame times, N at least 1.
      seconds: any shape; before the first frame gives 0, after the last gives N - 1.

    Raises:
      ValueError: no frames.
    """
    if not len(times):
        raise ValueError("times must hold at least one frame, got none")
    # A sample placed on a frame's very time must not fall to the frame before through rounding.
    after = np.searchsorted(times, np.asarray(seconds, np.float64) + 1e-9, side="right")
    return np.maximum(after - 1, 0).astype(np.int64)


def moments_at_rate(duration: float, rate: float, parts: Parts = ()) -> Times:
    """The moments 0, 1 / rate, 2 / rate, ... before the end of `duration` seconds; always at least the first.

    Where there are `parts` (`parts_between_gaps`), the moments of each count from its start.

    Returns:
      float64 (M,), seconds.

    Raises:
      ValueError: duration is negative or not finite, or rate is not a finite number above 0.

    Example:
      >>> moments_at_rate(1.0, rate=4.0).tolist(), moments_at_rate(0.1, rate=4.0).tolist()
      ([0.0, 0.25, 0.5, 0.75], [0.0])
    """
    if not (math.isfinite(duration) and duration >= 0):
        raise ValueError(f"duration must be a finite number of seconds of at least 0, got {duration!r}")
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate must be a finite number of frames a second above 0, got {rate!r}")
    if parts:
        return np.concatenate([start + moments_at_rate(end - start, rate) for start, end in parts])
    # Ten frames of a thirtieth of a second are a hair more than a third: no moment starts in that hair.
    return np.arange(max(1, math.ceil(duration * rate - 1e-6))) / rate


def even_samples(times: Times, start: float, end: float, count: int) -> npt.NDArray[np.int64]:
    """`count` frames evenly spaced over start..end: those on display at the centres of equal segments.

    Returns:
      int64 (count,), not decreasing.

    Example:
      >>> even_samples(np.arange(8) / 4.0, start=0.0, end=2.0, count=4).tolist()
      [1, 3, 5, 7]
      >>> even_samples(np.array([0.0, 1.0]), start=0.0, end=2.0, count=4).tolist()
      [0, 0, 1, 1]
    """
    _check_count(count)
    return frames_on_display(times, start + (np.arange(count) + 0.5) * ((end - start) / count))


def evenly_spaced(count: int, limit: int) -> npt.NDArray[np.int64]:
    """At most `limit` of the indices 0 .. count - 1, evenly spaced, the first and the last among them.

    Returns:
      int64 (min(count, limit),), ascending, each once; index 0 alone for a limit of 1.

    Example:
      >>> evenly_spaced(10, 4).tolist(), evenly_spaced(3, 4).tolist(), evenly_spaced(0, 4).tolist()
      ([0, 3, 6, 9], [0, 1, 2], [])
    """
    return np.linspace(0, count - 1, min(count, limit)).round().astype(np.int64)


def random_samples(
    times: Times, start: float, end: float, count: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """One random frame from each of `count` equal segments of start..end (random temporal sampling).

    Returns:
      int64 (count,), not decreasing. Every moment of a segment is equally likely, so a frame is drawn in
      proportion to how long it is on display.
    """
    _check_count(count)
    return frames_on_display(times, start + (np.arange(count) + rng.random(count)) * ((end - start) / count))


def random_chunk(
    duration: float, chunk_seconds: float, rng: np.random.Generator, overlap: float = 0.0, parts: Parts = ()
) -> tuple[float, float]:
    """A random span as long as the chunks of `chunk_spans`, anywhere in the video: (start, end) seconds.

    Of `parts` one is drawn, in proportion to its length, and the span lies in it.
    """
    if parts:
        lengths = np.array([end - start for start, end in parts])
        shares = lengths / lengths.sum() if lengths.sum() > 0 else None
        first, last = parts[int(rng.choice(len(parts), p=shares))]
        start, end = random_chunk(last - first, chunk_seconds, rng, overlap)
        return first + start, first + end
    start, end = chunk_spans(duration, chunk_seconds, overlap)[0]
    start = float(rng.uniform(0.0, duration - end)) if end < duration else 0.0
    return start, start + float(end)


def _check_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count!r}")
