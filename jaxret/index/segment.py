"""An opened segment: an immutable folder of items and their rows, one shard of the gallery."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jaxret.data.rows import Rows
from jaxret.errors import IndexFormatError
from jaxret.index.array_file import ArrayEntry, FileEntry, file_sha256, open_array
from jaxret.index.cells.cell_files import cells_of_files, problems_of_cells
from jaxret.index.cells.term_lists import TermLists, Terms, lists_of_files, problems_of_lists
from jaxret.index.items.item_file import ItemFile, open_items
from jaxret.index.items.keys import KeyTable, key_hashes, key_table, places_of_hashes
from jaxret.index.manifest import SegmentEntry
from jaxret.index.space import ARRAY_NAMES
from jaxret.rank import CentroidIndex, HammingIndex
from jaxret.rank.validation import FloatMatrix

if TYPE_CHECKING:
    from jaxret.rank.device import DeviceGallery

__all__ = ["Segment"]

SMALL_FILE = 1 << 18
"""Files up to this many bytes have their checksum checked whenever the index is opened."""


class Segment:
    """An opened segment; files are checked as far as is cheap.

    Attributes:
      entry: what the manifest says. `removed` changes from manifest to manifest, the files never do.
      items: all its items, removed ones included.
    """

    items: ItemFile

    def __init__(self, root: Path, entry: SegmentEntry):
        """Open it; IndexFormatError where a file is missing, of another form, or (small ones) altered."""
        self.entry = entry
        self._root = root
        for file in entry.files:
            if file.size <= SMALL_FILE:
                self._check_sum(file)
        self.items = open_items(root, entry.items, entry.n_items)
        self._keys = None if entry.keys is None else open_array(root, entry.keys)
        self._arrays = {
            space: {name: open_array(root, file) for name, file in arrays.items()}
            for space, arrays in entry.arrays.items()
        }
        self._kept_cells = {
            space: {name: open_array(root, file) for name, file in arrays.items()}
            for space, arrays in entry.cells.items()
        }
        self._rows: dict[str, Rows | None] = {}
        self._item_counts: dict[str, int] = {}
        self._hash_tables: dict[str, HammingIndex] = {}
        self._on_device: dict[tuple[str, str], DeviceGallery] = {}
        self._cells: dict[str, CentroidIndex] = {}

    def with_entry(self, entry: SegmentEntry) -> Segment:
        """The same opened files under a newer manifest's entry."""
        twin = object.__new__(Segment)
        twin.__dict__.update(self.__dict__, entry=entry)
        for name in ("alive", "live"):
            twin.__dict__.pop(name, None)
        return twin

    @functools.cached_property
    def alive(self) -> NDArray[np.bool_]:
        """bool (n_items,), False for removed items."""
        alive = np.ones(self.entry.n_items, bool)
        alive[list(self.entry.removed)] = False
        return alive

    @functools.cached_property
    def live(self) -> NDArray[np.int64]:
        """int64, the local numbers of the items that are not removed, ascending."""
        return np.flatnonzero(self.alive)

    def values(self, name: str) -> list[Any]:
        """A column of the items that are not removed, as Python has it; None where an item has no value."""
        values = self.items.values(name)
        return values if len(self.live) == len(values) else [values[local] for local in self.live.tolist()]

    def live_batches(self) -> Iterator[pa.RecordBatch]:
        """The items that are not removed, as columns."""
        first = 0
        for batch in self.items.batches():
            alive = self.alive[first : first + len(batch)]
            first += len(batch)
            yield batch if alive.all() else batch.filter(pa.array(alive))

    def rows(self, space: str) -> Rows | None:
        """The rows of a space in order of their local item numbers, memory-mapped; None where the segment has none.

        Raises:
          IndexFormatError: rows point to no item, or are out of order.
        """
        if space not in self._arrays:
            return None
        if space not in self._rows:
            arrays, files = self._arrays[space], self.entry.arrays[space]
            items = arrays["items"]
            # Everything after this trusts these numbers as positions.
            if items.size and (items[0] < 0 or items[-1] >= self.entry.n_items or (np.diff(items) < 0).any()):
                raise IndexFormatError(
                    f"{self._root / files['items'].file}: rows point outside the {self.entry.n_items} items "
                    f"or are out of order"
                )
            starts, ends = arrays["spans"].T
            self._rows[space] = Rows(arrays[_vectors_of(files)], items, starts, ends, self.entry.n_items)
        return self._rows[space]

    def count_items(self, space: str) -> int:
        """How many items, removed ones included, have rows of a space."""
        if space not in self._item_counts:
            rows = self.rows(space)
            items = np.zeros(0, np.int64) if rows is None else rows.items
            self._item_counts[space] = int(np.count_nonzero(np.diff(items))) + (len(items) > 0)
        return self._item_counts[space]

    def _cells_file(self, space: str) -> Path:
        return self._root / self.entry.cells[space]["offsets"].file

    def vectors_file(self, space: str) -> Path:
        """Where the vectors, codes or records of a space lie, for messages."""
        files = self.entry.arrays[space]
        return self._root / files[_vectors_of(files)].file

    def hash_tables(self, space: str) -> HammingIndex:
        """Multi-index hashing of all codes that the segment has of a space, removed items' too.

        Built in memory at the first call and kept as long as the opened segment, over later revisions too: the
        codes never change. Not safe to call from two threads at once.
        """
        if space not in self._hash_tables:
            rows = self.rows(space)
            assert rows is not None
            self._hash_tables[space] = HammingIndex(rows.vectors.shape[1])
            self._hash_tables[space].add(rows.vectors)
        return self._hash_tables[space]

    def on_device(self, space: str, device: str) -> DeviceGallery:
        """All vectors or codes that the segment has of a space, removed items' too, on accelerators.

        Sent at the first call and kept as the hash tables are. Not safe to call from two threads at once.

        Raises:
          ValueError: there is no such device here.
          IndexFormatError: a vector is not finite.
        """
        if (space, device) not in self._on_device:
            from jaxret.rank.device import DeviceGallery  # brings JAX
            from jaxret.rank.device.placement import mesh_of

            rows, mesh = self.rows(space), mesh_of(device)
            assert rows is not None
            try:
                self._on_device[space, device] = DeviceGallery(rows.vectors, mesh)
            except ValueError as error:
                # What was read from disk is refused.
                raise IndexFormatError(f"{self.vectors_file(space)}: {error}; `verify()` checks all") from error
        return self._on_device[space, device]

    def cells(self, space: str, centroids: FloatMatrix | None) -> CentroidIndex:
        """The cells of all vectors that the segment has of a space, removed items' too.

        Those on disk are memory-mapped. Where there are none, about the root as many as vectors are made in memory at
        the first call, with a float32 copy of the vectors, and kept as the hash tables are. Not safe to call from two
        threads at once.

        Args:
          space: its name.
          centroids: of the cells on disk; None where there are none.

        Raises:
          IndexFormatError: the files are damaged, or a vector is not finite.
        """
        if space not in self._cells and centroids is not None:
            self._cells[space] = cells_of_files(centroids, self._kept_cells[space], self._cells_file(space))
        if space not in self._cells:
            rows = self.rows(space)
            assert rows is not None
            try:
                cells = CentroidIndex.fit(rows.vectors)
                cells.add(rows.vectors)
            except ValueError as error:
                # What was read from disk is refused.
                raise IndexFormatError(f"{self.vectors_file(space)}: {error}; `verify()` checks all") from error
            self._cells[space] = cells
        return self._cells[space]

    @property
    def key_table(self) -> KeyTable:
        """Finds items by their keys; of JSON lines it is made at the first call."""
        if self._keys is None:
            self._keys = key_table(key_hashes(self.items.values("key")))
        return self._keys

    def find(self, keys: Sequence[str], hashes: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
        """For each of the keys that a live item has: its place among them, and the item's local number.

        Args:
          keys: looked for.
          hashes: of them, as `jaxret.index.items.keys.key_hashes` gives them.

        Raises:
          IndexFormatError: the table points to no item.
        """
        numbers, locals_ = places_of_hashes(self.key_table, hashes)
        if locals_.size and not 0 <= locals_.min() <= locals_.max() < self.entry.n_items:
            raise IndexFormatError(
                f"{self.items.path}: its table of keys points outside the {self.entry.n_items} items"
            )
        for number, local in zip(numbers.tolist(), locals_.tolist(), strict=True):
            if self.alive[local] and self.items.key(local) == keys[number]:
                yield number, local

    def term_lists(self, space: str, terms: Terms) -> TermLists:
        """The lists of all records that the segment has of a space, removed items' too, memory-mapped.

        Raises:
          IndexFormatError: the files are damaged.
        """
        return lists_of_files(terms, self._kept_cells[space], self._cells_file(space))

    def problems(self, terms: Mapping[str, Terms]) -> list[str]:
        """What a full check of all files finds wrong, one line each.

        Args:
          terms: of the spaces whose lists are kept.
        """
        found = []
        for file in self.entry.files:
            try:
                self._check_sum(file)
            except IndexFormatError as error:
                found.append(str(error))
        if not found:
            found += self._problems_of_items()
            for space, arrays in self._kept_cells.items():
                rows, place = self._arrays[space][_vectors_of(self.entry.arrays[space])], self._cells_file(space)
                if space in terms:
                    found += problems_of_lists(rows, terms[space], arrays, place)
                else:
                    found += problems_of_cells(rows, arrays, place)
        return found

    def _problems_of_items(self) -> list[str]:
        try:
            for _ in self.items.take(range(self.entry.n_items)):
                pass  # each is checked
            keys = key_table(key_hashes(self.items.values("key")))
        except IndexFormatError as error:
            return [str(error)]
        if not np.array_equal(keys, self.key_table):
            return [f"{self.items.path}: its table of keys is not that of its items"]
        return []

    def _check_sum(self, file: FileEntry) -> None:
        if file_sha256(self._root, file) != file.sha256:
            raise IndexFormatError(f"{self._root / file.file}: was altered: its checksum does not match")


def _vectors_of(arrays: Mapping[str, ArrayEntry]) -> str:
    """Under which of its names a space's vectors, codes or records are listed."""
    (name,) = arrays.keys() & set(ARRAY_NAMES.values())
    return name
