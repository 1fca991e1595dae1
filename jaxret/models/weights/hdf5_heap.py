"""The heaps in which an HDF5 file keeps texts of variable length, looked at before HDF5 follows them.

HDF5 takes memory for as much as a reference to a text claims, before it looks at the text, and never comes to the end
of a heap that has free space without size (HDF5 File Format Specification, III.E, "Global Heap").
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["check_heaps"]

_START = b"GCOL\x01\x00\x00\x00"
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
            break
        numbers.add(number)
        place += _HEADER + -(-length // 8) * 8
    return numbers


def _places(data: mmap.mmap, pattern: bytes) -> Iterator[int]:
    place = data.find(pattern)
    while place >= 0:
        yield place
        place = data.find(pattern, place + 1)
