"""Whether a file ends before its container says: what a download or a disk cut off, told without decoding."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import av

from jaxret.data.decode.containers import open_container
from jaxret.data.decode.packets import PacketTable
from jaxret.remote import open_binary

__all__ = ["missing_end"]

_TOLERANCE = 0.05  # of the length announced, for headers that are rounded or count the sound
_SECONDS = 0.25
_UNKNOWN = (1 << 32) - 1
_TAIL = 1 << 17  # bytes; longer than a packet of an MPEG program stream or a page of Ogg
# The lengths that FFmpeg gives for these it has taken from the packets, or guessed from the size of the file.
_WITHOUT_LENGTH = {"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "vvc", "m4v", "av1", "obu", "mjpeg", "dv", "vc1"}
_INDX, _OF_INDEXES = 24, 0  # of AVI's chunk `indx`: bytes before its entries, and the type of those that name indexes
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_SYSTEM_CODE = re.compile(rb"\x00\x00\x01[\xb9-\xff]")


def missing_end(path: str, container: Any, stream: Any, table: PacketTable) -> str | None:
    """One line on what is missing at the end of a file, or None where its container knows of nothing.

    Args:
      path: the file, or its URL.
      container, stream: it and its video stream, opened by PyAV.
      table: the packets of that stream.
    """
    if table.error:
        return None  # which tells more
    formats = set(container.format.name.split(","))
    is_avi = "avi" in formats
    there = _ticks_of_avi(table) if is_avi else len(table)
    lacking = there < stream.frames
    if table.cut or (_avi_ends_early(path) if is_avi else lacking):
        announced = f" of {stream.frames}" if lacking else ""
        return f"truncated: {there}{announced} frames are there"
    if table.damage:
        return None
    for name, check in _CHECKS.items():
        if name in formats:
            with open_binary(path) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                if told := check(file, size, stream.id):
                    return f"truncated: {told}"
    announced_seconds = (container.duration or 0) / av.time_base
    if is_avi or formats & _WITHOUT_LENGTH or not announced_seconds > 0:
        return None
    allowed = announced_seconds - max(_SECONDS, _TOLERANCE * announced_seconds)
    if table.end >= allowed or _end_of_everything(path) >= allowed:  # the sound may be longer than the film
        return None
    return f"truncated: {table.end:.1f} of {announced_seconds:.1f} seconds are there"


def _ticks_of_avi(table: PacketTable) -> int:
    """How many frames an AVI would count: those that it repeats by storing nothing, too, a tick each.

    Those that it repeats at its end give no packet, so that numbers do not tell whether it was cut.
    """
    return max(len(table), int(table.dts[-1]) + 1) if len(table) else 0


def _avi_ends_early(path: str) -> bool:
    """Whether an AVI ends before its lists of frames do, or before the parts that its index of indexes names.

    Files that were written to a pipe have neither.
    """
    with open_binary(path) as file:
        size, place = file.seek(0, os.SEEK_END), 0
        while place + 12 <= size:
            file.seek(place)
            head = file.read(12)
            name, length, kind = head[:4], int.from_bytes(head[4:8], "little"), head[8:]
            if name == b"RIFF" or (name == b"LIST" and kind in (b"hdrl", b"strl")):
                place += 12  # its chunks come next
                continue
            if not name.decode("latin-1").isprintable() or length == _UNKNOWN:
                return False  # no chunk, or one without an end: FFmpeg makes what it can of the rest
            if name == b"LIST" and kind == b"movi" and place + 8 + length > size:
                return True
            file.seek(place + 8)
            if name == b"indx" and any(offset >= size for offset in _indexes_of_avi(file, length)):
                return True
            place += 8 + length + length % 2
    return False


def _indexes_of_avi(file: BinaryIO, length: int) -> Iterator[int]:
    """Where in an AVI the indexes of its parts lie, by the content, of so many bytes, of a chunk `indx`: it comes next.

    See "OpenDML AVI file format extensions", version 1.02, 1997.
    """
    body = file.read(min(length, _TAIL))
    if len(body) < _INDX or body[3] != _OF_INDEXES:
        return
    end = min(len(body), _INDX + 16 * int.from_bytes(body[4:8], "little"))
    for entry in range(_INDX, end - 15, 16):
        yield int.from_bytes(body[entry : entry + 8], "little")


def _end_of_everything(path: str) -> float:
    """Seconds at which the last packet of any stream ends."""
    end = 0.0
    try:
        with open_container(path) as container:
            for packet in container.demux():
                if packet.size and packet.pts is not None and packet.time_base:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except (av.FFmpegError, OSError, ValueError):
        pass  # what came before counts
    return end


def _gif(file: BinaryIO, size: int, _: int) -> str | None:
    file.seek(max(0, size - 4096))
    return None if file.read().rstrip(b"\0").endswith(b";") else "the GIF has no end"


def _transport_stream(file: BinaryIO, size: int, stream: int) -> str | None:
    """The last packet of a frame is filled up with stuffing: one full of the film's data is not the last."""
    head = file.read(205)
    packet, sync = 188, 0
    if head[:1] != b"G":
        packet, sync = 192, 4
    elif head[188:189] != b"G" and head[204:205] == b"G":
        packet = 204
    if size % packet:
        return f"it ends within a packet of {packet} bytes"
    file.seek(max(0, size // packet - _TAIL // packet) * packet)
    tail = file.read()
    for place in range(len(tail) - packet + sync, -1, -packet):
        if int.from_bytes(tail[place + 1 : place + 3], "big") & 0x1FFF == stream:
            return None if _has_stuffing(tail[place : place + 188]) else "it ends within a frame"
    return None


def _has_stuffing(packet: bytes) -> bool:
    """Whether a transport packet has an adaptation field that is longer than what it says."""
    if not packet[3] & 0x20:
        return False
    length, flags = packet[4], packet[5]
    if length == 0:
        return True  # the one byte of its length fills the packet up
    said = 1 + 6 * bool(flags & 0x10) + 6 * bool(flags & 0x08) + bool(flags & 0x04)
    return length > said


def _program_stream(file: BinaryIO, size: int, _: int) -> str | None:
    """A program ends with a code, which the standard demands, or in padding, which many write in its place."""
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    codes = list(_SYSTEM_CODE.finditer(tail))
    if not codes:
        return None
    last, code = codes[-1].start(), tail[codes[-1].start() + 3]
    needed = 4 if code == 0xB9 else 14 if code == 0xBA else 6 + int.from_bytes(tail[last + 4 : last + 6], "big")
    if last + needed > len(tail):
        return "it ends within a packet"
    return None if code in (0xB9, 0xBE) else "neither an end code nor padding is at its end"


def _asf(file: BinaryIO, size: int, _: int) -> str | None:
    """ASF and WMV: the header says how large the file is, unless it was written as a broadcast."""
    head = file.read(1 << 16)
    place = head.find(_ASF_PROPERTIES)
    fields = head[place + 24 : place + 104]  # behind the mark and the object's size
    if place < 0 or len(fields) < 80:
        return None
    announced = int.from_bytes(fields[16:24], "little")
    is_broadcast = fields[64] & 1
    if is_broadcast or size >= announced:
        return None
    return f"{size} of {announced} bytes are there"


def _motion_jpeg(file: BinaryIO, size: int, _: int) -> str | None:
    file.seek(max(0, size - 4096))
    return None if file.read().rstrip(b"\0").endswith(b"\xff\xd9") else "it ends within an image"


def _ogg(file: BinaryIO, size: int, _: int) -> str | None:
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    page = tail.rfind(b"OggS\0")
    if page < 0 or page + 27 > len(tail):
        return "it ends within a page"
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    if len(segments) < tail[page + 26] or page + 27 + len(segments) + sum(segments) > len(tail):
        return "it ends within a page"
    return None if tail[page + 5] & 4 else "its last page is not marked as the end"


def _boxes(file: BinaryIO, size: int, _: int) -> str | None:
    """MP4 and QuickTime: the boxes on top say how long they are."""
    place = 0
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:
            return None  # to the end, however long
        if length < 8:
            return None  # no box: FFmpeg makes what it can of the rest
        if place + length > size:
            name = head[4:8].decode("ascii", "replace")
            return f"its box {name!r} has {size - place} of {length} bytes"
        place += length
    return None


_CHECKS: dict[str, Callable[[BinaryIO, int, int], str | None]] = {
    "gif": _gif,
    "mpegts": _transport_stream,
    "mpeg": _program_stream,
    "ogg": _ogg,
    "mp4": _boxes,
    "asf": _asf,
    "mjpeg": _motion_jpeg,
}
