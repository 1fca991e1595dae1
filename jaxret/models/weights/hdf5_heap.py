"""The heaps in which an HDF5 file keeps texts of variable length, looked at before HDF5 follows them.

HDF5 takes memory for as much as a reference to a text claims, before it looks at the text, and never comes to the end
of a heap that has free space without size (HDF5 File Format Specification, III.E, "Global Heap").
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["check_heaps"]

_START = b"GCOL\x01"
_ATTRIBUTES = (b"layer_names\0", b"weight_names\0", b"name\0")
_VARIABLE = 9  # the class of types of variable length
_HEADER = 16  # of a heap, and of an object in it


def check_heaps(path: Path) -> None:
    """Refuse a file with a heap that has no end, or with a reference to a text larger than the file.

    Raises:
      ValueError: it is one.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for heap in _places(data, _START):
            numbers = _objects(data, heap)
            for place in _places(data, struct.pack("<Q", heap)):
                if not 4 <= place <= len(data) - 12:
                    continue
                length, _, number = struct.unpack_from("<IQI", data, place - 4)
                if number in numbers and length > len(data):
                    raise ValueError(f"a text claims {length} bytes")
        for name in _ATTRIBUTES:
            for place in _places(data, name):
                _check_attribute(data, place)


def _check_attribute(data: mmap.mmap, place: int) -> None:
    """Refuse texts that claim too much, wherever they refer to; `place` is that of the attribute's name."""
    for version, header in ((1, 8), (2, 8), (3, 9)):
        if place < header or data[place - header] != version:
            continue
        sizes = struct.unpack_from("<HHH", data, place - header + 2)  # of name, type and shape
        name, kind, shape = (-(-size // 8) * 8 for size in sizes) if version == 1 else sizes
        space, texts = place + name + kind, place + name + kind + shape
        if texts > len(data) or space + 2 > len(data) or data[place + name] & 15 != _VARIABLE:
            continue
        rank, dimensions = data[space + 1], space + (8 if data[space] == 1 else 4)
        if dimensions + 8 * rank > len(data):
            continue
        count = math.prod(struct.unpack_from(f"<{rank}Q", data, dimensions))
        for text in range(texts, min(texts + 16 * count, len(data) - 15), 16):
            (length,) = struct.unpack_from("<I", data, text)
            if length > len(data):
                raise ValueError(f"a text claims {length} bytes")


def _objects(data: mmap.mmap, heap: int) -> set[int]:
    """The numbers of the objects in a heap."""
    if heap + _HEADER > len(data):
        return set()
    (size,) = struct.unpack_from("<Q", data, heap + 8)
    place, end = heap + _HEADER, min(heap + size, len(data))
    numbers = set()
    while place + _HEADER <= end:
        number, _, _, length = struct.unpack_from("<HHIQ", data, place)
        if number == 0:  # what is free: its length counts the header, too
            if length < _HEADER:
                raise ValueError("the heap of its texts has no end")
            place += length  # HDF5 goes on behind it
        elif length > len(data):
            raise ValueError(f"a text claims {length} bytes")
        else:
            numbers.add(number)
            place += _HEADER + -(-length // 8) * 8
    return numbers


def _places(data: mmap.mmap, pattern: bytes) -> Iterator[int]:
    place = data.find(pattern)
    while place >= 0:
        yield place
        place = data.find(pattern, place + 1)
