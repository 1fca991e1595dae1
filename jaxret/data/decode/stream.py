"""The video stream of an open file: its packets in order, and the frames that come out of them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from typing import Any

import av

from jaxret.data.decode.containers import open_container
from jaxret.data.decode.packets import PacketTable
from jaxret.errors import MediaError
from jaxret.files import require_regular

__all__ = ["VideoStream"]

_SKIP_PACKETS = 64  # up to this many packets are read and dropped rather than sought over


class VideoStream:
    """The first stream of a file that moves, and its decoder.

    Args:
      path: a file that FFmpeg can read, or its URL.
      threads: of the decoder.

    Attributes:
      table: of the packets; None where packets do not say which frames come out, so that nothing can be sought.
      position: number, in the table, of the packet that the demuxer gives next.
      failures: packets that the decoder refused, of the pass under way.
      straight: whether everything is decoded from the start, as seeking proved wrong in this file.
      before: the last frame of the pass that came out in front of one that was wanted, or was that one.

    Raises:
      MediaError: the file cannot be opened, or has no video stream.
    """

    def __init__(self, path: str, threads: int):
        self._path, self._threads = path, threads
        self._container: Any = None
        self._number: int | None = None  # of the stream among those of video
        self.table: PacketTable | None = None
        self.straight = False
        try:
            self.open()
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether there is anything to read from."""
        return self._container is not None

    @property
    def container(self) -> Any:
        """The file, of PyAV."""
        return self._container

    @property
    def stream(self) -> Any:
        """Of PyAV."""
        return self._stream

    @property
    def waiting(self) -> Any | None:
        """The next frame, where one is decoded already."""
        return self._frames[0] if self._frames else None

    def open(self) -> None:
        """(Re)open the file at its start, with a fresh decoder."""
        self.close()
        if os.path.exists(self._path):
            require_regular(self._path)
        try:
            self._container = open_container(self._path)
            streams = self._container.streams.video
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(self._path, _reason(error)) from error
        if self._number is None:
            playable = [
                number
                for number, stream in enumerate(streams)
                if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None
            ]
            if not playable:
                raise MediaError(self._path, "no video stream that can be decoded")
            self._number = playable[0]
            if len(playable) > 1:
                self._number = _moving(self._container, playable)
                self.open()
                return
        self._stream = streams[self._number]
        context = self._stream.codec_context
        # Set outright: FFmpeg's own choice is one thread a core, which is slower for short clips, many
        # at once, and several frames of memory each.
        context.thread_count = self._threads
        context.thread_type = "FRAME" if self._threads > 1 else "NONE"
        self.position = 0
        self._packets = _video_packets(self._container, self._stream)
        self._frames: deque[Any] = deque()  # decoded, not yet wanted
        self._after_seek = False
        self.failures = 0
        self.before: Any | None = None

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            # A generator left half-way would be finished at some later time, at the latest when Python exits.
            self._packets = iter(())
            self._container.close()
            self._container = None

    def scan(self) -> PacketTable:
        """Read all packets of the file, which was just opened, without decoding them; `start` comes next."""
        self.table = PacketTable.scan(self._container, self._stream)
        self.position = len(self.table)
        return self.table

    def start(self, key: int) -> None:
        """Make packet number `key` the next one decoded, by reading on or by seeking."""
        self._stream.codec_context.flush_buffers()
        self._stream.codec_context.skip_frame = "DEFAULT"
        self._frames.clear()
        near = 0 <= key - self.position <= _SKIP_PACKETS
        if not near and (self.straight or not self._seek(key)):
            self.open()
        while self.position < key:
            packet = next(self._packets, None)
            if packet is None:
                return
            self.position += bool(packet.size)

    def advance_to(self, stamp: int, needed: frozenset[int] | None) -> Any | None:
        """The frame with this stamp from the pass under way, or None if a later one comes out first."""
        while (frame := self.next_frame(needed)) is not None:
            if frame.pts == stamp:
                self.before = frame
                return frame
            if frame.pts is not None and frame.pts > stamp:
                self.put_back(frame)
                return None
            self.before = frame
        return None

    def next_frame(self, needed: frozenset[int] | None = None) -> Any | None:
        """Decode on to the next frame, None at the end; images not in `needed` may be dropped."""
        context = self._stream.codec_context
        while not self._frames:
            packet = next(self._packets, None)
            if packet is None:
                return None
            if packet.size:
                if self._after_seek and not self._in_step(packet):
                    return None
                self.position += 1
                if needed is not None:
                    context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
            # A broken packet costs its own frame, which is missed only if it is wanted.
            try:
                self._frames.extend(self._decode(packet))
            except (av.FFmpegError, ValueError):
                self.failures += 1
        return self._frames.popleft()

    def put_back(self, frame: Any) -> None:
        """Let a frame be the next one once more."""
        self._frames.appendleft(frame)

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
        return self.table is not None and self.table.matches(self.position, packet)

    def _seek(self, key: int) -> bool:
        """Let the demuxer go to packet `key` or a little before it; False if that cannot be made sure of."""
        assert self.table is not None
        try:
            self._container.seek(self.table.seek_target(key), stream=self._stream, backward=True)
            packets = _video_packets(self._container, self._stream)
            first = next(packets, None)
        except (av.FFmpegError, OSError):
            return False
        landed = None if first is None else self.table.find(first)
        if landed is None or landed > key:
            return False
        self.position = landed
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
    packets = container.demux(stream)
    while True:
        try:  # around no `yield`: a reader that is never closed is taken down while Python exits, `av` before it
            packet = next(packets, None)
        except (av.FFmpegError, OSError):
            break
        if packet is None:
            yield from held[1:]
            return
        if held and packet.size:
            yield from held
            held = []
        if held or (packet.size and packet.is_corrupt):
            held.append(packet)
        else:
            yield packet
    # The decoder still holds the frames before the break.
    flush = av.Packet()
    flush.stream = stream
    yield flush
