"""Files of an index: written with a checksum, read memory-mapped, believed only as far as checked.

`.npy` headers are matched against the one form that NumPy writes instead of being evaluated, so a hostile
file can do no more than be refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from jaxret.errors import IndexFormatError

__all__ = [
    "ArrayEntry",
    "FileEntry",
    "HashingFile",
    "file_sha256",
    "open_array",
    "write_array",
    "write_through",
]

ALLOWED_DTYPES = ("float16", "float32", "float64", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_HEADER = re.compile(
    rb"\{'descr': '([<|][a-z]\d)', 'fortran_order': False, 'shape': \(((?:\d{1,19}, ?)*\d{0,19})\), \} *\n"
)
_HASH_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class FileEntry:
    """A file as the manifest knows it.

    Attributes:
      file: path within the index folder, with `/`.
      size: bytes.
      sha256: hexadecimal digest of the whole file.
    """

    file: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class ArrayEntry(FileEntry):
    """An `.npy` file as the manifest knows it: also its dtype name and shape."""

    dtype: str
    shape: tuple[int, ...]


class HashingFile:
    """Writes through to a file, counting and hashing what passes.

    Attributes:
      closed: what libraries look at before they write.
    """

    closed = False

    def __init__(self, path: Path):
        self._file = open(path, "xb")  # noqa: SIM115 - closed by finish()
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Write and hash."""
        self._file.write(data)
        self._sha256.update(data)
        self._size += len(data)

    def finish(self) -> tuple[int, str]:
        """Put everything on disk; bytes and digest."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._size, self._sha256.hexdigest()

    def flush(self) -> None:
        """Nothing: `finish` does."""

    def abandon(self) -> None:
        """Close the file, whatever is in it."""
        self._file.close()


def write_through(path: Path, name: str, write: Callable[[HashingFile], None]) -> FileEntry:
    """Write a new file; FileExistsError where there is one.

    Args:
      path: where it is written.
      name: its path within the index folder.
      write: writes what is to be in it.
    """
    out = HashingFile(path)
    try:
        write(out)
        return FileEntry(name, *out.finish())
    finally:
        out.abandon()


def write_array(
    path: Path, name: str, blocks: Iterable[NDArray[Any]], dtype: str, shape: tuple[int, ...]
) -> ArrayEntry:
    """Write a new little-endian C-order `.npy` file from consecutive blocks of rows.

    Args:
      path: where it is written.
      name: its path within the index folder.
      blocks: arrays that together have `shape`.
      dtype: NumPy name.
      shape: of the whole.

    Raises:
      ValueError: the blocks hold more or fewer numbers than `shape`.
    """
    little = np.dtype(dtype).newbyteorder("<")
    out = HashingFile(path)
    try:
        header = {"descr": npy_format.dtype_to_descr(little), "fortran_order": False, "shape": shape}
        npy_format.write_array_header_1_0(out, header)  # it only calls write
        written = 0
        for block in blocks:
            data = np.ascontiguousarray(block, dtype=little)
            written += data.size
            if data.size:
                out.write(data.reshape(-1).view(np.uint8).data)
        if written != math.prod(shape):
            raise ValueError(f"{name}: {written} numbers written for shape {shape}")
        size, digest = out.finish()
        return ArrayEntry(name, size, digest, dtype, shape)
    finally:
        out.abandon()


def open_array(root: Path, entry: ArrayEntry) -> NDArray[Any]:
    """A read-only, memory-mapped view of a file that agrees with its entry in dtype, shape and size.

    Raises:
      IndexFormatError: the file is missing, or its size or header is not what the manifest says.
    """
    path = root / entry.file
    dtype = np.dtype(entry.dtype).newbyteorder("<")
    try:
        # One handle from the first check to the mapping: what is mapped is what was checked, even if a writer
        # deletes the file in between.
        with open(path, "rb") as file:
            return _map_checked(file, path, entry, dtype)
    except OSError as error:
        raise IndexFormatError(f"{path}: cannot be read: {error.strerror}") from error


def _map_checked(file: BinaryIO, path: Path, entry: ArrayEntry, dtype: np.dtype[Any]) -> NDArray[Any]:
    size = os.fstat(file.fileno()).st_size
    start = file.read(10)
    header = file.read(int.from_bytes(start[8:10], "little"))
    if size != entry.size:
        raise IndexFormatError(f"{path}: has {size} bytes where the manifest says {entry.size}")
    found = _HEADER.fullmatch(header)
    if start[:8] != b"\x93NUMPY\x01\x00" or found is None:
        raise IndexFormatError(f"{path}: is not a plain .npy file of version 1.0")
    shape = tuple(int(length) for length in found[2].split(b",") if length.strip())
    if found[1].decode() != npy_format.dtype_to_descr(dtype) or shape != entry.shape:
        raise IndexFormatError(
            f"{path}: holds {found[1].decode()} {shape} where the manifest says {entry.dtype} {entry.shape}"
        )
    offset = len(start) + len(header)
    # Python integers: a huge claim cannot overflow, and it must agree with the size on disk.
    if size - offset != math.prod(shape) * dtype.itemsize:
        raise IndexFormatError(f"{path}: has {size} bytes, too few or too many for {entry.dtype} {shape}")
    if size == offset:
        return np.zeros(shape, dtype)  # an empty file cannot be mapped
    return np.memmap(file, dtype, "r", offset, shape)


def file_sha256(root: Path, entry: FileEntry) -> str:
    """Digest of the file as it is now; IndexFormatError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(root / entry.file, "rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
    except OSError as error:
        raise IndexFormatError(f"{root / entry.file}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()
