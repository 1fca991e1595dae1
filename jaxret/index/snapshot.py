"""One revision of an index, opened: what a search reads. It never changes."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import IndexFormatError
from jaxret.index.manifest import Manifest, read_manifest
from jaxret.index.segment import Segment
from jaxret.index.space import Space

__all__ = ["Snapshot", "open_snapshot"]

BLOCK_ROWS = 1 << 15
"""Rows that are copied at once where rows must be gathered, so that no whole segment is ever in memory."""


class Snapshot:
    """The live items of a manifest, numbered 0 .. n-1 in the order they were added, and their rows.

    Attributes:
      manifest: the revision.
      segments: opened, in order.
      items: live items; the position in this tuple is the id that searches return.
      positions: for each segment int64 (n_items,), the id of each of its items, -1 for removed ones.
      places: key of a live item -> (segment number, local item number).
      galleries: what `item_search` has prepared from this snapshot.
    """

    def __init__(self, root: Path, manifest: Manifest, segments: Sequence[Segment], known: Snapshot | None = None):
        """Number the live items; IndexFormatError where two of them have one key.

        An earlier snapshot lends what it knows of the first segments, where these are the same, so that an addition
        costs what it adds.
        """
        self.root = root
        self.manifest = manifest
        self.segments = tuple(segments)
        self.items: tuple[MediaItem, ...]
        same = 0 if known is None else _shared_segments(self.segments, known.segments)
        items: list[MediaItem] = []
        self.positions: list[NDArray[np.int64]] = []
        self.places: dict[str, tuple[int, int]] = {}
        if known is not None and same:
            self.positions = known.positions[:same]
            count = sum(segment.entry.n_items - len(segment.entry.removed) for segment in self.segments[:same])
            items = list(known.items[:count])
            self.places = dict(known.places)
            for item in known.items[count:]:
                del self.places[item.key]
        for number, segment in enumerate(self.segments[same:], start=same):
            position = np.full(segment.entry.n_items, -1, np.int64)
            for local in np.flatnonzero(segment.alive).tolist():
                item = segment.items[local]
                if item.key in self.places:
                    raise IndexFormatError(f"{root}: two items have the key {item.key!r}")
                self.places[item.key] = (number, local)
                position[local] = len(items)
                items.append(item)
            self.positions.append(position)
        self.items = tuple(items)
        self.galleries: dict[Any, Any] = {}
        self._row_counts: dict[str, int] = {}

    @functools.cached_property
    def spaces(self) -> dict[str, Space]:
        """The spaces by name, in the order they were declared."""
        return {space.name: space for space in self.manifest.spaces}

    @functools.cached_property
    def source_codes(self) -> dict[str, int]:
        """Every source among the live items, numbered."""
        table: dict[str, int] = {}
        for item in self.items:
            table.setdefault(item.source, len(table))
        return table

    @functools.cached_property
    def item_sources(self) -> NDArray[np.int64]:
        """int64 (n,), the number of each live item's source."""
        return np.fromiter((self.source_codes[item.source] for item in self.items), np.int64, len(self.items))

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

    def of_kinds(self, kinds: Collection[str] | None) -> NDArray[np.bool_]:
        """bool (n,), which live items are of one of the kinds (None for all)."""
        if kinds is None:
            return np.ones(len(self.items), bool)
        return np.fromiter((item.kind in kinds for item in self.items), bool, len(self.items))


def _shared_segments(segments: Sequence[Segment], known: Sequence[Segment]) -> int:
    """How many segments at the beginning are the same, with the same items removed."""
    count = 0
    for one, other in zip(segments, known, strict=False):
        if one.entry != other.entry:
            break
        count += 1
    return count


def open_snapshot(root: Path, known: Snapshot | None = None) -> Snapshot:
    """Open the current revision, reusing an earlier one or its opened segments.

    Raises:
      IndexFormatError: the manifest or a file it names is not as it should be.
    """
    opened = {segment.entry.name: segment for segment in known.segments} if known else {}
    while True:
        manifest = read_manifest(root)
        if known is not None and manifest == known.manifest:
            return known
        try:
            segments = [
                opened[entry.name].with_entry(entry) if entry.name in opened else Segment(root, entry)
                for entry in manifest.segments
            ]
            return Snapshot(root, manifest, segments, known)
        except IndexFormatError:
            # A writer may have compacted in between and deleted what the manifest just read still named.
            if read_manifest(root).revision == manifest.revision:
                raise
