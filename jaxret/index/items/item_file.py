"""The items of a segment: an Arrow file that is mapped and read batch by batch, or JSON lines of an older version."""

from __future__ import annotations

import itertools
import json
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from jaxret.data.items import MediaItem
from jaxret.errors import IndexFormatError
from jaxret.index.array_file import FileEntry, write_through
from jaxret.index.items.columns import (
    BATCH_ITEMS,
    batches_of_items,
    check_schema,
    items_of_columns,
    plain_columns,
    plain_value,
    plain_values,
)

__all__ = ["ItemFile", "open_items", "write_items"]


def write_items(path: Path, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> FileEntry:
    """Write a new Arrow file of items.

    Args:
      path: where it is written.
      name: its path within the index folder.
      schema: of the batches.
      batches: of any sizes, which are cut and joined to `BATCH_ITEMS`.
    """

    def write(out: Any) -> None:
        with pa.ipc.new_file(pa.PythonFile(out, mode="w"), schema) as writer:
            for batch in _of_one_size(batches):
                writer.write_batch(batch)

    return write_through(path, name, write)


def _of_one_size(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + len(batch) >= BATCH_ITEMS:
            yield pa.concat_batches([*held, batch.slice(0, BATCH_ITEMS - count)])
            batch, held, count = batch.slice(BATCH_ITEMS - count), [], 0
        if len(batch):
            held.append(batch)
            count += len(batch)
    if held:
        yield pa.concat_batches(held)


class ItemFile:
    """The items of a segment, removed ones included.

    Args:
      path: of the file, for messages.
      n_items: items in it.
      schema: of its batches.
      n_batches: how many there are.
      read: gives a batch by its number.

    Attributes:
      path, n_items: as given.
      own: the user's own columns with their types.

    Raises:
      IndexFormatError: the form is not that of a file of so many items.
    """

    def __init__(
        self, path: Path, n_items: int, schema: pa.Schema, n_batches: int, read: Callable[[int], pa.RecordBatch]
    ):
        self.path, self.n_items = path, n_items
        self._schema = schema
        self._n_batches, self._read = n_batches, read
        self._checked: dict[int, pa.RecordBatch] = {}
        self._columns: dict[int, dict[str, pa.Array | None]] = {}
        try:
            self.own = check_schema(schema)
        except (ValueError, TypeError) as error:
            raise IndexFormatError(f"{path}: is no file of items: {error}") from error
        if n_batches != -(-n_items // BATCH_ITEMS):
            raise IndexFormatError(f"{path}: has {n_batches} batches where the manifest says {n_items} items")

    def take(self, numbers: Iterable[int]) -> Iterator[MediaItem]:
        """Some items, in this order.

        Raises:
          IndexFormatError: the file describes none at one of these places.
        """
        for number, run in itertools.groupby(numbers, lambda number: number // BATCH_ITEMS):
            yield from self._items(number, [local % BATCH_ITEMS for local in run])

    def _items(self, number: int, rows: list[int]) -> Iterator[MediaItem]:
        batch = self.batch(number)
        if number not in self._columns:
            self._columns[number] = plain_columns(batch)
        whole = len(rows) == len(batch) and rows == list(range(len(batch)))
        try:
            yield from items_of_columns(self._columns[number], None if whole else rows)
        except (ValueError, TypeError) as error:
            raise IndexFormatError(f"{self.path}: {error}") from error

    def key(self, number: int) -> str:
        """The key of one item."""
        return str(plain_value(self.batch(number // BATCH_ITEMS).column("key")[number % BATCH_ITEMS].as_py()))

    def batch(self, number: int) -> pa.RecordBatch:
        """A batch, checked as a whole when it is first read.

        Raises:
          IndexFormatError: it is damaged.
        """
        if number not in self._checked:
            wanted = min(BATCH_ITEMS, self.n_items - number * BATCH_ITEMS)
            try:
                batch = self._read(number)
                batch.validate(full=True)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise IndexFormatError(f"{self.path}: is damaged: {error}") from error
            if len(batch) != wanted or any(batch.column(name).null_count for name in ("key", "kind", "source")):
                raise IndexFormatError(f"{self.path}: batch {number} does not hold {wanted} items with key and kind")
            self._checked[number] = batch
        return self._checked[number]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All batches, in order."""
        return map(self.batch, range(self._n_batches))

    @property
    def columns(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """The schema, and all batches in order."""
        return self._schema, self.batches()

    def values(self, name: str) -> list[Any]:
        """All values of a column, as Python has them; None where there is none."""
        try:
            return [value for batch in self.batches() for value in _values(batch, name)]
        except ValueError as error:
            raise IndexFormatError(f"{self.path}: column {name!r}: {error}") from error


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    column = plain_columns(batch).get(name)
    return [None] * len(batch) if column is None else plain_values(column)


def open_items(root: Path, entry: FileEntry, n_items: int) -> ItemFile:
    """Open the items of a segment.

    Args:
      root: the index folder.
      entry: the file, `.arrow`, or `.jsonl` of an older version, which is read as a whole.
      n_items: items in it.

    Raises:
      IndexFormatError: the file is missing, or not as the manifest says.
    """
    path = root / entry.file
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry.size:
                raise IndexFormatError(f"{path}: has {size} bytes where the manifest says {entry.size}")
            if entry.file.endswith(".jsonl"):
                return _of_lines(path, file.read(), n_items)
            # One handle from the check to the mapping, as of arrays.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        raise IndexFormatError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
        return ItemFile(path, n_items, reader.schema, reader.num_record_batches, reader.get_batch)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise IndexFormatError(f"{path}: is no Arrow file: {error}") from error


def _of_lines(path: Path, text: bytes, n_items: int) -> ItemFile:
    items = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            items.append(MediaItem.from_json(json.loads(line)))
        except (ValueError, TypeError, RecursionError) as error:
            raise IndexFormatError(f"{path}: line {number}: {error}") from error
    if len(items) != n_items:
        raise IndexFormatError(f"{path}: holds {len(items)} items where the manifest says {n_items}")
    schema, batches = batches_of_items(items)
    held = list(batches)
    return ItemFile(path, n_items, schema, len(held), held.__getitem__)
