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
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from jaxret.data.decode.containers import open_container
from jaxret.data.decode.convert import FrameConverter
from jaxret.data.decode.endings import missing_end
from jaxret.data.decode.errors import MAX_PIXELS, OneLineErrors
from jaxret.data.decode.packets import PacketTable, seconds_from_first
from jaxret.data.readers import Indices, MediaInfo, MediaReader, Pixels, check_indices
from jaxret.data.sampling.frames import gaps_in_words, lost_frames_in_words, parts_between_gaps
from jaxret.data.sampling.transforms import FrameGeometry
from jaxret.errors import MediaError
from jaxret.files import require_regular

__all__ = ["VideoReader"]

_MISSING = 0.5  # share of the wanted frames above which a film that does not decode is given up
_BROADCAST = {"mpegts", "mpeg"}  # formats of a steady rate, and of lost packets
_SKIP_PACKETS = 64  # up to this many packets are read and dropped rather than sought over
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
        self._threads = threads
        self._container: Any = None
        self._packets: Iterator[Any] = iter(())
        self._fresh = False  # whether the pass under way began at the first packet and has skipped nothing
        self._straight = False  # decode everything from the start: seeking proved wrong in this file
        self._stream_number: int | None = None
        self._failures = 0  # packets that the decoder refused, of the pass under way
        self._holes: set[int] = set()  # frames that were wanted and do not decode
        self._before: Any = None  # the last frame that came out in front of the one wanted
        try:
            with OneLineErrors(self.path):
                self._learn()
        except BaseException:
            self.close()
            raise

    def _learn(self) -> None:
        """Find out what there is to decode, by the packets and the first frame."""
        self._open()
        context = self._stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            raise MediaError(self.path, f"{context.width}x{context.height} is above {MAX_PIXELS} pixels")
        self._table: PacketTable | None = PacketTable.scan(self._container, self._stream)
        self._notes = [self._table.damage] if self._table.damage else []
        if not len(self._table):
            raise MediaError(self.path, self._table.damage or "no video frame in the file")
        if not self._notes and (cut := missing_end(self.path, self._container, self._stream, self._table.end)):
            self._notes.append(cut)
        self._position = len(self._table)
        self._start_decoding(0)
        first = self._next_frame()
        if first is None or not self._can_be_trusted(self._table, first):
            first = self._count_by_decoding()
        else:
            self.times = self._table.times
            self._frames.appendleft(first)
            self._fresh = True
        self._converter = FrameConverter(first, self._stream.sample_aspect_ratio)
        if self._converter.note:
            self._notes.append(self._converter.note)
        size = self._converter.displayed_size
        duration = float(self.times[-1]) + self._last_duration()
        parts = parts_between_gaps(self.times, duration)
        if parts:
            self._notes.append(gaps_in_words(parts))
        if self._container.format.name in _BROADCAST and (lost := lost_frames_in_words(self.times)):
            self._notes.append(lost)
        self.info = MediaInfo(len(self.times), duration, size[1], size[0], parts)
        self._tell()

    def _can_be_trusted(self, table: PacketTable, first: Any) -> bool:
        """Whether the packets say which frames come out, as far as the first frame shows."""
        if not hasattr(self._stream.codec_context, "field_order") and first.interlaced_frame:  # PyAV before 18.1
            return False
        if table.reliable and first.pts != table.shown_pts[0]:
            # A first frame that does not decode is a hole like others, unless stamps are not what they seem.
            return self._failures > 0 and first.pts in table.shown_pts
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
        if self._container is None:
            raise ValueError(f"{self.path} is closed")
        unique, repeats = np.unique(wanted, return_counts=True)
        decoded = self._by_count(unique) if self._table is None else self._by_time_stamp(unique)
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
        if self._container is not None:
            # A generator left half-way would be finished at some later time, at the latest when Python exits.
            self._packets = iter(())
            self._container.close()
            self._container = None

    # Opening and counting

    def _open(self) -> None:
        """(Re)open the file at its start, with a fresh decoder."""
        self.close()
        if os.path.exists(self.path):
            require_regular(self.path)
        try:
            self._container = open_container(self.path)
            streams = self._container.streams.video
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(self.path, _reason(error)) from error
        if self._stream_number is None:
            playable = [
                number
                for number, stream in enumerate(streams)
                if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None
            ]
            if not playable:
                raise MediaError(self.path, "no video stream that can be decoded")
            self._stream_number = playable[0]
            if len(playable) > 1:
                self._stream_number = _moving(self._container, playable)
                self._open()
                return
        self._stream = streams[self._stream_number]
        context = self._stream.codec_context
        # Set outright: FFmpeg's own choice is one thread a core, which is slower for short clips, many
        # at once, and several frames of memory each.
        context.thread_count = self._threads
        context.thread_type = "FRAME" if self._threads > 1 else "NONE"
        self._position = 0  # number, in the packet table, of the packet that the demuxer gives next
        self._packets = _video_packets(self._container, self._stream)
        self._frames: deque[Any] = deque()  # decoded, not yet wanted
        self._after_seek = False
        self._failures = 0
        self._before = None

    def _count_by_decoding(self) -> Any:
        """Decode everything once to learn which frames there are; returns the first."""
        packets = len(self._table) if self._table is not None else 0
        self._table = None
        self._open()
        first, stamps, last = None, [], None
        while (frame := self._next_frame()) is not None:
            first = first or frame
            last = frame
            stamps.append(frame.pts)
        if first is None or last is None:
            raise MediaError(self.path, "; ".join([*self._notes, "no frame decodes"]))
        if self._failures:
            told = f"{self._failures} of {packets} packets do not decode"
            if self._failures > _MISSING * packets:
                raise MediaError(self.path, told)
            if not self._notes:  # of a file that was cut the last packet, too
                self._notes.append(told)
        rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self.times = np.arange(len(stamps)) / float(rate)
        if None not in stamps and len(set(stamps)) == len(stamps):
            # The set of stamps is right even where they are dealt to the wrong frames (B-frames in AVI).
            ordered = np.sort(np.array(stamps, np.int64))
            self.times = seconds_from_first(ordered, float(first.time_base))
        return first

    def _last_duration(self) -> float:
        """Seconds for which the last frame is shown."""
        if self._table is not None:
            return self._table.last_duration
        rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        return 1 / float(rate)

    # Decoding

    def _by_count(self, wanted: npt.NDArray[np.int64]) -> Iterator[Any]:
        """Frames by their number in the decoder's output, from the start of the file."""
        self._open()
        number = 0
        for place, target in enumerate(wanted.tolist()):
            while number <= target and (frame := self._next_frame()) is not None:
                self._before = frame
                number += 1
            if number <= target:  # it was there when the frames were counted
                self._lose(target, len(wanted) - place, len(wanted))
            yield self._before

    def _by_time_stamp(self, wanted: npt.NDArray[np.int64]) -> Iterator[Any]:
        """Frames by their time stamps, each from the key frame before it or from the pass under way."""
        table = self._table
        assert table is not None
        stamps = table.shown_pts[wanted].tolist()
        needed = frozenset(stamps) if self._stream.codec_context.name in _SAFE_TO_SKIP else None
        running = self._fresh
        self._fresh = False
        lost = 0
        for number, stamp in zip(wanted.tolist(), stamps, strict=True):
            key = 0 if self._straight else table.key_before(stamp)
            waiting = bool(self._frames) and self._frames[0].pts == stamp
            if not (running and (waiting or key <= self._position)):
                self._start_decoding(key)
            running = True
            frame = self._advance_to(stamp, None if self._straight else needed)
            if frame is None and not self._straight:
                # After a seek the demuxer may guess other stamps, and a stream without true key frames
                # needs more than one of them to recover: the slow road settles whether the frame exists.
                self._straight = True
                self._open()
                frame = self._advance_to(stamp, None)
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
        instead = self._before or (self._frames[0] if self._frames else None)
        if lost > _MISSING * wanted or instead is None:
            named = f"frame {number} of {self.info.frame_count} (at {self.times[number]:.3f} s) does not decode"
            others = f", as {lost - 1} others of {wanted} that are wanted" if lost > 1 else ""
            raise MediaError(self.path, named + others)
        return instead

    def _advance_to(self, stamp: int, needed: frozenset[int] | None) -> Any | None:
        """The frame with this stamp from the pass under way, or None if a later one comes out first."""
        while (frame := self._next_frame(needed)) is not None:
            if frame.pts == stamp:
                self._before = frame
                return frame
            if frame.pts is not None and frame.pts > stamp:
                self._frames.appendleft(frame)
                return None
            self._before = frame
        return None

    def _next_frame(self, needed: frozenset[int] | None = None) -> Any | None:
        """Decode on to the next frame, None at the end; images not in `needed` may be dropped."""
        context = self._stream.codec_context
        while not self._frames:
            packet = next(self._packets, None)
            if packet is None:
                return None
            if packet.size:
                if self._after_seek and not self._in_step(packet):
                    return None
                self._position += 1
                if needed is not None:
                    context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
            # A broken packet costs its own frame, which is missed only if it is wanted.
            try:
                self._frames.extend(self._decode(packet))
            except (av.FFmpegError, ValueError):
                self._failures += 1
        return self._frames.popleft()

    def _decode(self, packet: Any) -> list[Any]:
        try:
            decoded: list[Any] = packet.decode()
        except av.BlockingIOError:
            # After an error the decoder holds frames that PyAV does not fetch, and takes nothing until it is emptied.
            self._stream.codec_context.flush_buffers()
            decoded = packet.decode()
        return decoded

    def _in_step(self, packet: Any) -> bool:
        """Whether this is the packet that the table expects: after a seek FFmpeg may guess other stamps."""
        table = self._table
        return table is not None and table.matches(self._position, packet)

    def _start_decoding(self, key: int) -> None:
        """Make packet number `key` the next one decoded, by reading on or by seeking."""
        table = self._table
        assert table is not None
        self._stream.codec_context.flush_buffers()
        self._stream.codec_context.skip_frame = "DEFAULT"
        self._frames.clear()
        near = 0 <= key - self._position <= _SKIP_PACKETS
        if not near and (self._straight or not self._seek(key)):
            self._open()
        while self._position < key:
            packet = next(self._packets, None)
            if packet is None:
                return
            self._position += bool(packet.size)

    def _seek(self, key: int) -> bool:
        """Let the demuxer go to packet `key` or a little before it; False if that cannot be made sure of."""
        table = self._table
        assert table is not None
        try:
            self._container.seek(table.seek_target(key), stream=self._stream, backward=True)
            packets = _video_packets(self._container, self._stream)
            first = next(packets, None)
        except (av.FFmpegError, OSError):
            return False
        landed = None if first is None else table.find(first)
        if landed is None or landed > key:
            return False
        self._position = landed
        self._packets = _chain(first, packets)
        self._after_seek = True
        return True


def _reason(error: Exception) -> str:
    """FFmpeg's own words, without the path and number around them."""
    return str(getattr(error, "strerror", None) or error).splitlines()[0]


def _moving(container: Any, numbers: list[int]) -> int:
    """Which of several video streams is the film: the first with at least a tenth of the packets of the fullest.

    A cover image that is not marked as one has a single packet.
    """
    streams = [container.streams.video[number] for number in numbers]
    counts = dict.fromkeys((stream.index for stream in streams), 0)
    try:
        for packet in container.demux(*streams):
            counts[packet.stream.index] += bool(packet.size)
    except (av.FFmpegError, OSError):
        pass  # what is there decides
    most = max(counts.values())
    return next(n for n, stream in zip(numbers, streams, strict=True) if 10 * counts[stream.index] >= most)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _video_packets(container: Any, stream: Any) -> Iterator[Any]:
    """The stream's packets and the empty one that flushes the decoder; a read error ends the stream.

    A packet that the end of the file cuts is left out, as `PacketTable.scan` leaves it out: it would give a frame, too.
    """
    held: list[Any] = []  # a broken packet and the empty ones behind it, while it may be the last
    try:
        for packet in container.demux(stream):
            if held and packet.size:
                yield from held
                held = []
            if held or (packet.size and packet.is_corrupt):
                held.append(packet)
            else:
                yield packet
        yield from held[1:]
    except (av.FFmpegError, OSError):
        # The decoder still holds the frames before the break.
        flush = av.Packet()
        flush.stream = stream
        yield flush
