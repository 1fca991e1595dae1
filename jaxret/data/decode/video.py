"""Exact frames out of video files: time stamps first, then only the wanted frames, in one pass.

Opening a file reads its packets without decoding them, which gives every frame's time (constant or
variable rate alike). A request then starts at the key frame before its first frame, skips whole groups of
images that hold nothing wanted, lets the decoder drop images that nothing refers to, and converts and
scales only the wanted frames, both at once. One frame is in memory at a time.

Where packets do not say which frames will come out (no or repeated time stamps, interlaced fields, a
stream that begins between key frames), the file is decoded once at opening and its frames are counted:
slower, but as exact. Damaged files give what is there and say so in `VideoReader.damage`: in the place of a frame
that does not decode stands the one before it, as in a player, up to half of the frames that are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.data.decode.convert import FrameConverter
from jaxret.data.decode.endings import missing_end
from jaxret.data.decode.errors import MAX_PIXELS, OneLineErrors
from jaxret.data.decode.packets import PacketTable, seconds_from_first
from jaxret.data.decode.stream import VideoStream
from jaxret.data.readers import Indices, MediaInfo, MediaReader, Pixels, check_indices
from jaxret.data.sampling.frames import gaps_in_words, lost_frames_in_words, parts_between_gaps
from jaxret.data.sampling.transforms import FrameGeometry
from jaxret.errors import MediaError

__all__ = ["VideoReader"]

_MISSING = 0.5  # share of the wanted frames above which a film that does not decode is given up
_BROADCAST = {"mpegts", "mpeg"}  # formats of a steady rate, and of lost packets
_SAFE_TO_SKIP = {"h264", "mpeg4", "mpeg2video", "mpeg1video"}  # "non-reference" is exact in these codecs


class VideoReader(MediaReader):
    """Frames of one video file by number or by time.

    Times count from the first frame shown (edit lists are obeyed). Rotation and mirroring that the file
    prescribes are applied, and pixels that are not square are made so, so that frames look as in a player.

    Args:
      path: a file that FFmpeg can read, or its URL; the first video stream that moves is taken, not a cover image.
      threads: decoding threads of this reader. 1 is best where many files are read in parallel.

    Attributes:
      info, times, damage: see `MediaReader`. Frames that turned out not to decode are told in `damage` once they were
        wanted.

    Raises:
      MediaError: the file cannot be opened, has no video stream, no frame of it decodes, or a frame has more than
        `MAX_PIXELS`.
      ValueError: threads is below 1.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1):
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads!r}")
        self.path = os.fspath(path)
        self._fresh = False  # whether the pass under way began at the first packet and has skipped nothing
        self._holes: set[int] = set()  # frames that were wanted and do not decode
        with OneLineErrors(self.path):
            self._video = VideoStream(self.path, threads)
            try:
                self._learn()
            except BaseException:
                self.close()
                raise

    def _learn(self) -> None:
        """Find out what there is to decode, by the packets and the first frame."""
        context = self._video.stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            raise MediaError(self.path, f"{context.width}x{context.height} is above {MAX_PIXELS} pixels")
        table = self._video.scan()
        cut = missing_end(self.path, self._video.container, self._video.stream, table)
        self._notes = [note for note in (cut, table.damage) if note]
        if not len(table):
            raise MediaError(self.path, "; ".join(self._notes) or "no video frame in the file")
        self._video.start(0)
        first = self._video.next_frame()
        if first is None or not self._can_be_trusted(table, first):
            first = self._count_by_decoding(len(table))
        else:
            self.times = table.times
            self._video.put_back(first)
            self._fresh = True
        self._converter = FrameConverter(first, self._video.stream.sample_aspect_ratio)
        if self._converter.note:
            self._notes.append(self._converter.note)
        size = self._converter.displayed_size
        duration = float(self.times[-1]) + self._last_duration()
        parts = parts_between_gaps(self.times, duration)
        if parts:
            self._notes.append(gaps_in_words(parts))
        if self._video.container.format.name in _BROADCAST and (lost := lost_frames_in_words(self.times)):
            self._notes.append(lost)
        self.info = MediaInfo(len(self.times), duration, size[1], size[0], parts)
        self._tell()

    def _can_be_trusted(self, table: PacketTable, first: Any) -> bool:
        """Whether the packets say which frames come out, as far as the first frame shows."""
        if not hasattr(self._video.stream.codec_context, "field_order") and first.interlaced_frame:  # PyAV before 18.1
            return False
        if table.reliable and first.pts != table.shown_pts[0]:
            # A first frame that does not decode is a hole like others, unless stamps are not what they seem.
            return self._video.failures > 0 and first.pts in table.shown_pts
        return table.reliable

    def _tell(self) -> None:
        """Put all that is known to be wrong into `damage`."""
        notes = list(self._notes)
        if self._holes:
            shown = [f"{number} (at {self.times[number]:.3f} s)" for number in sorted(self._holes)[:5]]
            more = " ..." if len(self._holes) > 5 else ""
            notes.append(f"{len(self._holes)} frames do not decode: {', '.join(shown)}{more}")
        self.damage = "; ".join(notes) or None

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        """Yield the wanted frames, in one forward pass; see `MediaReader.frames`."""
        wanted = check_indices(indices, self.info.frame_count)
        if not self._video.is_open:
            raise ValueError(f"{self.path} is closed")
        unique, repeats = np.unique(wanted, return_counts=True)
        decoded = self._by_count(unique) if self._video.table is None else self._by_time_stamp(unique)
        for count in repeats.tolist():
            with OneLineErrors(self.path):
                pixels = self._converter.convert(next(decoded), geometry, channels)
            yield pixels
            for _ in range(count - 1):
                yield pixels.copy()
        with OneLineErrors(self.path):
            next(decoded, None)  # what there is to say at its end

    def close(self) -> None:
        """Close the file."""
        self._video.close()

    def _count_by_decoding(self, packets: int) -> Any:
        """Decode everything, so many packets, once to learn which frames there are; returns the first."""
        self._video.table = None
        self._video.open()
        first, stamps, last = None, [], None
        while (frame := self._video.next_frame()) is not None:
            first = first or frame
            last = frame
            stamps.append(frame.pts)
        if first is None or last is None:
            raise MediaError(self.path, "; ".join([*self._notes, "no frame decodes"]))
        if failures := self._video.failures:
            told = f"{failures} of {packets} packets do not decode"
            if failures > _MISSING * packets:
                raise MediaError(self.path, told)
            if not self._notes:  # of a file that was cut the last packet, too
                self._notes.append(told)
        self.times = np.arange(len(stamps)) / self._rate
        if None not in stamps and len(set(stamps)) == len(stamps):
            # The set of stamps is right even where they are dealt to the wrong frames (B-frames in AVI).
            ordered = np.sort(np.array(stamps, np.int64))
            self.times = seconds_from_first(ordered, float(first.time_base))
        return first

    def _last_duration(self) -> float:
        """Seconds for which the last frame is shown."""
        table = self._video.table
        return 1 / self._rate if table is None else table.last_duration

    @property
    def _rate(self) -> float:
        """Frames a second, as the file states them."""
        stream = self._video.stream
        return float(stream.average_rate or stream.guessed_rate or 25)

    def _by_count(self, wanted: npt.NDArray[np.int64]) -> Iterator[Any]:
        """Frames by their number in the decoder's output, from the start of the file."""
        video = self._video
        video.open()
        number = 0
        for place, target in enumerate(wanted.tolist()):
            while number <= target and (frame := video.next_frame()) is not None:
                video.before = frame
                number += 1
            if number <= target:  # it was there when the frames were counted
                self._lose(target, len(wanted) - place, len(wanted))
            yield video.before

    def _by_time_stamp(self, wanted: npt.NDArray[np.int64]) -> Iterator[Any]:
        """Frames by their time stamps, each from the key frame before it or from the pass under way."""
        video, table = self._video, self._video.table
        assert table is not None
        stamps = table.shown_pts[wanted].tolist()
        needed = frozenset(stamps) if video.stream.codec_context.name in _SAFE_TO_SKIP else None
        running = self._fresh
        self._fresh = False
        lost = 0
        for number, stamp in zip(wanted.tolist(), stamps, strict=True):
            key = 0 if video.straight else table.key_before(stamp)
            waiting = video.waiting is not None and video.waiting.pts == stamp
            if not (running and (waiting or key <= video.position)):
                video.start(key)
            running = True
            frame = video.advance_to(stamp, None if video.straight else needed)
            if frame is None and not video.straight:
                # After a seek the demuxer may guess other stamps, and a stream without true key frames
                # needs more than one of them to recover: the slow road settles whether the frame exists.
                video.straight = True
                video.open()
                frame = video.advance_to(stamp, None)
            if frame is None:
                lost += 1
                frame = self._lose(number, lost, len(wanted))
            yield frame

    def _lose(self, number: int, lost: int, wanted: int) -> Any:
        """The frame to show in the place of one that does not decode: the last before it, else the next.

        Raises:
          MediaError: more than half of the wanted frames are lost by now, or none decodes at all.
        """
        self._holes.add(number)
        self._tell()
        instead = self._video.before or self._video.waiting
        if lost > _MISSING * wanted or instead is None:
            named = f"frame {number} of {self.info.frame_count} (at {self.times[number]:.3f} s) does not decode"
            others = f", as {lost - 1} others of {wanted} that are wanted" if lost > 1 else ""
            raise MediaError(self.path, named + others)
        return instead
