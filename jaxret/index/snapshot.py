"""One revision of an index, opened: what a search reads. It never changes."""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jaxret.data.rows import Rows
from jaxret.errors import EncoderMismatchError, IndexFormatError
from jaxret.index.array_file import ArrayEntry, open_array
from jaxret.index.cells.guides import Guide
from jaxret.index.cells.term_lists import TermLists
from jaxret.index.items.columns import cast_batch, schema_of, united_columns
from jaxret.index.items.item_list import ItemList
from jaxret.index.items.keys import key_hashes
from jaxret.index.items.media_root import whole_path
from jaxret.index.manifest import Manifest
from jaxret.index.manifest_reader import read_manifest
from jaxret.index.segment import Segment
from jaxret.index.space import Space
from jaxret.rank import CentroidIndex
from jaxret.rank.validation import FloatMatrix

__all__ = ["Snapshot", "open_snapshot"]

BLOCK_ROWS = 1 << 15
"""Rows that are copied at once where rows must be gathered, so that no whole segment is ever in memory."""

_KEPT_FILTERS = 16  # answers of the last filters: a byte an item each


class Snapshot:
    """The live items of a manifest, numbered 0 .. n-1 in the order they were added, and their rows.

    Attributes:
      manifest: the revision.
      segments: opened, in order.
      items: live items; the position in this list is the id that searches return.
      positions: for each segment int64 (n_items,), the id of each of its items, -1 for removed ones.
      centroids: float32 (C, D), of each space whose cells are kept.
      guides: those, and the terms of the spaces whose lists are kept.
      galleries: what `item_search` has prepared from this snapshot.
      kept: what others have, see `OpenedIndex.kept`.
    """

    def __init__(self, root: Path, manifest: Manifest, segments: Sequence[Segment]):
        """Number the live items."""
        self.root = root
        self.manifest = manifest
        self.segments = tuple(segments)
        self.items = ItemList([(segment.items, segment.live) for segment in self.segments], manifest.media_root)
        self.positions: list[NDArray[np.int64]] = []
        first = 0
        for segment in self.segments:
            position = np.full(segment.entry.n_items, -1, np.int64)
            position[segment.live] = np.arange(first, first + len(segment.live))
            self.positions.append(position)
            first += len(segment.live)
        self.centroids = {space: _open_centroids(root, file) for space, file in manifest.centroids.items()}
        self.guides: dict[str, Guide] = {**self.centroids, **manifest.terms}
        self.galleries: dict[Any, Any] = {}
        self.kept: dict[Any, Any] = {}
        self._passing: dict[Any, list[NDArray[np.bool_]]] = {}
        self._row_counts: dict[str, int] = {}

    def places(self, keys: Sequence[str], hashes: NDArray[np.uint64] | None = None) -> list[tuple[int, int] | None]:
        """For each key (segment number, local item number) of the live item that has it, None where none has.

        Args:
          keys: looked for.
          hashes: of them, where they are at hand.

        Raises:
          IndexFormatError: two items have the key.
        """
        hashes = key_hashes(keys) if hashes is None else hashes
        found: list[tuple[int, int] | None] = [None] * len(keys)
        for number, segment in enumerate(self.segments):
            for place, local in segment.find(keys, hashes):
                if found[place] is not None:
                    raise IndexFormatError(f"{self.root}: two items have the key {keys[place]!r}")
                found[place] = number, local
        return found

    def values(self, name: str) -> list[Any]:
        """A column of the live items, in order of their ids; None where an item has no value."""
        values = [value for segment in self.segments for value in segment.values(name)]
        root = self.manifest.media_root
        return values if name != "path" or root is None else [whole_path(path, root) for path in values]

    @functools.cached_property
    def own_columns(self) -> dict[str, pa.DataType]:
        """The user's own columns of all segments.

        Raises:
          IndexFormatError: segments disagree about one.
        """
        try:
            return united_columns(segment.items.own for segment in self.segments)
        except ValueError as error:
            raise IndexFormatError(f"{self.root}: {error}") from error

    def item_batches(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """The live items as columns, those of the user's own that any segment has included."""
        schema = schema_of(self.own_columns)
        batches = (batch for segment in self.segments for batch in segment.live_batches())
        return schema, (cast_batch(batch, schema) for batch in batches)

    def repeated_keys(self) -> list[str]:
        """Keys that two live items have, which no sound index holds."""
        keys = self.values("key")
        hashes = key_hashes(keys)
        numbers, counts = np.unique(hashes, return_counts=True)
        if not (suspect := numbers[counts > 1]).size:
            return []
        chosen = collections.Counter(keys[place] for place in np.flatnonzero(np.isin(hashes, suspect)))
        return sorted(key for key, count in chosen.items() if count > 1)

    @functools.cached_property
    def spaces(self) -> dict[str, Space]:
        """The spaces by name, in the order they were declared."""
        return {space.name: space for space in self.manifest.spaces}

    def cells(self, number: int, space: str) -> CentroidIndex:
        """The cells of the rows that a segment has of a space: those that are kept, or else made in memory.

        Raises:
          IndexFormatError: the files are damaged, or a vector is not finite.
        """
        return self.segments[number].cells(space, self.centroids.get(space))

    def term_lists(self, space: str) -> list[tuple[TermLists, NDArray[np.bool_]]]:
        """Of each segment with rows of a space whose lists are kept: the lists, and which rows are of live items.

        Raises:
          IndexFormatError: the files are damaged.
        """
        terms = self.manifest.terms[space]
        return [
            (self.segments[number].term_lists(space, terms), self.positions[number][rows.items] >= 0)
            for number, rows in self.segment_rows(space)
        ]

    @functools.cached_property
    def source_codes(self) -> dict[str, int]:
        """Every source among the live items, numbered."""
        table: dict[str, int] = {}
        for source in self.values("source"):
            table.setdefault(source, len(table))
        return table

    @functools.cached_property
    def item_sources(self) -> NDArray[np.int64]:
        """int64 (n,), the number of each live item's source."""
        codes = self.source_codes
        return np.fromiter((codes[source] for source in self.values("source")), np.int64, len(self.items))

    def segment_rows(self, space: str) -> Iterator[tuple[int, Rows]]:
        """(segment number, rows) for each segment that has rows of a space."""
        for number, segment in enumerate(self.segments):
            rows = segment.rows(space)
            if rows is not None:
                yield number, rows

    def row_blocks(self, space: str) -> Iterator[Rows]:
        """All rows of live items, in order, a bounded number at a time; `items` are ids."""
        for number, rows in self.segment_rows(space):
            for start in range(0, len(rows.items), BLOCK_ROWS):
                block = slice(start, start + BLOCK_ROWS)
                ids = self.positions[number][rows.items[block]]
                live = ids >= 0
                if live.any():
                    yield self._live(rows.take(block).take(live), ids[live])

    def rows_of_items(self, space: str, ids: NDArray[np.int64]) -> Iterator[Rows]:
        """All rows of some live items, in order, a segment at a time; `items` are ids. Nothing else is read."""
        wanted = np.zeros(len(self.items) + 1, bool)  # the last place is that of removed items, id -1
        wanted[ids] = True
        for number, rows in self.segment_rows(space):
            numbers = np.flatnonzero(wanted[self.positions[number]])
            first, end = np.searchsorted(rows.items, numbers), np.searchsorted(rows.items, numbers, side="right")
            places = np.concatenate([np.arange(0), *(np.arange(a, b) for a, b in zip(first, end, strict=True))])
            if len(places):
                yield self._live(rows.take(places), self.positions[number][rows.items[places]])

    def _live(self, rows: Rows, ids: NDArray[np.int64]) -> Rows:
        """Rows of a segment whose items are numbered by their ids."""
        return Rows(rows.vectors, ids, rows.starts, rows.ends, len(self.items))

    def count_rows(self, space: str) -> int:
        """How many rows of live items a space has."""
        if space not in self._row_counts:
            live = (self.positions[number][rows.items] >= 0 for number, rows in self.segment_rows(space))
            self._row_counts[space] = sum(int(part.sum()) for part in live)
        return self._row_counts[space]

    def rows_per_item(self, space: str) -> NDArray[np.int64]:
        """int64 (n,), how many rows of a space each live item has."""
        counts = np.zeros(len(self.items) + 1, np.int64)
        for number, rows in self.segment_rows(space):
            # Removed items, id -1, are counted in the last place.
            counts += np.bincount(self.positions[number][rows.items] % len(counts), minlength=len(counts))
        return counts[:-1]

    def passing(self, kinds: frozenset[str] | None = None, where: str | None = None) -> list[NDArray[np.bool_]]:
        """For each segment bool (n_items,), which of its items are live, of one of the kinds, and pass the filter.

        Args:
          kinds: None for all.
          where: see `jaxret.index.filters.parse`; None for none.

        Raises:
          FilterError: the filter is malformed, or does not fit the columns.
        """
        if kinds is None and where is None:
            return [segment.alive for segment in self.segments]
        chosen = (kinds, where)
        if chosen not in self._passing:
            self._passing[chosen] = self._find_passing(kinds, where)
            if len(self._passing) > _KEPT_FILTERS:
                self._passing.pop(next(iter(self._passing)))
        return self._passing[chosen]

    def _find_passing(self, kinds: frozenset[str] | None, where: str | None) -> list[NDArray[np.bool_]]:
        from jaxret.index.filters.passing import Filter  # brings pyarrow.compute, which most searches do without

        filters = [] if where is None else [Filter(where, self.own_columns)]
        if kinds is not None:
            filters.append(Filter(f"kind IN ({', '.join(map(repr, sorted(kinds)))})", {}))
        found = []
        for segment in self.segments:
            passing = [
                np.logical_and.reduce([one.passing(batch) for one in filters]) for batch in segment.items.batches()
            ]
            found.append(np.concatenate([np.zeros(0, bool), *passing]) & segment.alive)
        return found

    def ids_passing(self, kinds: frozenset[str] | None = None, where: str | None = None) -> NDArray[np.bool_]:
        """bool (n,), which live items are of one of the kinds and pass the filter, see `passing`."""
        parts = zip(self.passing(kinds, where), self.segments, strict=True)
        return np.concatenate([np.zeros(0, bool), *(passing[segment.live] for passing, segment in parts)])


def _open_centroids(root: Path, file: ArrayEntry) -> FloatMatrix:
    centroids = open_array(root, file)
    if not np.isfinite(centroids).all():
        raise IndexFormatError(f"{root / file.file}: holds numbers that are not finite")
    return centroids


def open_snapshot(root: Path, known: Snapshot | None = None) -> Snapshot:
    """Open the current revision, reusing an earlier one or its opened segments.

    Raises:
      IndexFormatError: the manifest or a file it names is not as it should be.
      EncoderMismatchError: the index was made anew, by another encoder than that of `known`.
    """
    opened = {segment.entry.name: segment for segment in known.segments} if known else {}
    while True:
        manifest = read_manifest(root)
        if known is not None and manifest == known.manifest:
            return known
        if known is not None:
            now, before = manifest.encoder, known.manifest.encoder
            if now.fingerprint != before.fingerprint:
                told = f"by the encoder {now.fingerprint}; it was opened with {before.fingerprint}"
                raise EncoderMismatchError(f"{root} was made anew {told}: open it again")
            if now.preprocessing != before.preprocessing:
                raise EncoderMismatchError(f"{root} was made anew with other preprocessing: open it again")
        try:
            segments = [
                opened[entry.name].with_entry(entry)
                if entry.name in opened and opened[entry.name].entry.files == entry.files
                else Segment(root, entry)
                for entry in manifest.segments
            ]
            return Snapshot(root, manifest, segments)
        except IndexFormatError:
            # A writer may have compacted in between and deleted what the manifest just read still named.
            if read_manifest(root).revision == manifest.revision:
                raise
