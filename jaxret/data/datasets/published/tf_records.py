"""TFRecord files and the tf.train.Example messages in them, read without TensorFlow.

A file is records one after another: the length (8 bytes), its masked CRC32C (4), the data, their masked CRC32C (4), all
little-endian (TensorFlow's guide, "TFRecord and tf.train.Example"). The data are protocol buffers of the five message
types in `tensorflow/core/example/{example,feature}.proto`, all that is understood here: Example holds Features, a
SequenceExample Features and FeatureLists; a Feature is a list of bytes, floats or int64.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from jaxret.errors import MediaError
from jaxret.files import open_regular

__all__ = ["Feature", "parse_example", "read_tf_records"]

Feature: TypeAlias = list[bytes] | npt.NDArray[np.float32] | npt.NDArray[np.int64]
"""The values of a feature: bytes, float32 (N,) or int64 (N,)."""

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


def read_tf_records(path: str | os.PathLike[str], *, check_data: bool = False) -> Iterator[bytes]:
    """The records of a file, in order. Their lengths are checked, so that a damaged or foreign file is not misread.

    Args:
      path: an uncompressed TFRecord file.
      check_data: verify the checksum of every record's data as well, which takes about a second for 10 MB.

    Raises:
      MediaError: the file cannot be read, ends within a record, or a checksum is wrong.
    """
    name = os.fspath(path)
    try:
        with open_regular(name) as file:
            while head := file.read(12):
                if len(head) < 12 or _masked_crc32c(head[:8]) != int.from_bytes(head[8:], "little"):
                    raise MediaError(name, "is no TFRecord file, or damaged: the length of a record is wrong")
                length = int.from_bytes(head[:8], "little")
                data, tail = file.read(length), file.read(4)
                if len(data) < length or len(tail) < 4:
                    raise MediaError(name, "ends within a record")
                if check_data and _masked_crc32c(data) != int.from_bytes(tail, "little"):
                    raise MediaError(name, "the data of a record are damaged: their checksum is wrong")
                yield data
    except OSError as error:
        raise MediaError(name, error.strerror or str(error)) from error


def parse_example(record: bytes) -> dict[str, Feature]:
    """The features of a serialised tf.train.Example, by name.

    Raises:
      ValueError: the bytes are no such message.
    """
    features: dict[str, Feature] = {}
    for field, value in _fields(record):
        if field == 1:
            features |= _features(_message(value))
    return features


def _features(message: bytes) -> dict[str, Feature]:
    return {name: _feature(value) for name, value in _map_entries(message)}


def _map_entries(message: bytes) -> Iterator[tuple[str, bytes]]:
    """The entries of a `map<string, message>` in field 1; a missing key or value is empty."""
    for field, entry in _fields(message):
        if field == 1:
            parts = {number: _message(value) for number, value in _fields(_message(entry))}
            yield parts.get(1, b"").decode("utf-8"), parts.get(2, b"")


def _feature(message: bytes) -> Feature:
    for kind, values in _fields(message):
        content = list(_fields(_message(values)))
        if kind == 1:
            return [_message(value) for field, value in content if field == 1]
        if kind == 2:
            # Packed, as a rule; numbers one by one mean the same.
            return np.frombuffer(b"".join(_message(value) for field, value in content if field == 1), "<f4")
        if kind == 3:
            numbers = [number for field, value in content if field == 1 for number in _integers(value)]
            return np.array(numbers, np.uint64).astype(np.int64)
    return []


def _integers(value: int | bytes) -> list[int]:
    if isinstance(value, int):
        return [value]
    numbers, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        numbers.append(number)
    return numbers


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message or bytes must be: no tf.train.Example")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with their values: an int for a varint, else the bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        wire = key & 7
        if wire == _VARINT:
            number, place = _varint(message, place)
            yield key >> 3, number
            continue
        if wire == _DELIMITED:
            length, place = _varint(message, place)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}: no tf.train.Example")
        if place + length > len(message):
            raise ValueError("a field goes beyond the end: no tf.train.Example")
        yield key >> 3, message[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("a number does not end: no tf.train.Example")
        byte = data[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & (2**64 - 1), place
        shift += 7


@functools.cache
def _crc_table() -> tuple[int, ...]:
    """CRC-32C (Castagnoli) of each byte, reflected."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


def _masked_crc32c(data: bytes) -> int:
    """The checksum of TFRecord: CRC-32C turned by 15 bits, plus a constant."""
    crc = _crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _crc32c(data: bytes) -> int:
    """CRC-32C; the example is the check value of RFC 3720.

    Example:
      >>> hex(_crc32c(b"123456789"))
      '0xe3069283'
    """
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
