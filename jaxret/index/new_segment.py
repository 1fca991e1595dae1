"""A new segment: its files are written whole, and nothing refers to them until a manifest does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jaxret.data.rows import Rows
from jaxret.files import write_folder
from jaxret.index.array_file import ArrayEntry, FileEntry, write_array
from jaxret.index.cells.guides import Guide, write_guided
from jaxret.index.items.columns import plain_values
from jaxret.index.items.item_file import write_items
from jaxret.index.items.keys import key_hashes, key_table
from jaxret.index.manifest import SegmentEntry
from jaxret.index.space import Space

__all__ = ["ItemBatches", "write_item_files", "write_segment"]

ItemBatches = tuple[pa.Schema, Iterable[pa.RecordBatch]]
"""Items as columns: the schema, and consecutive record batches of it."""


def write_segment(
    root: Path,
    number: int,
    items: ItemBatches,
    spaces: Mapping[str, Space],
    rows: Mapping[str, tuple[int, Iterable[Rows]]],
    guides: Mapping[str, Guide],
    hashes: NDArray[np.uint64] | None = None,
) -> SegmentEntry:
    """Write a segment folder, whole and on disk; nothing refers to it until a manifest does.

    Args:
      root: the index folder.
      number: of the segment; its folder must not exist.
      items: at least one.
      spaces: of the index, by name.
      rows: for each space with rows, their number and consecutive blocks of them, `Rows.items`
        not decreasing over all blocks.
      guides: of the spaces whose cells or lists are kept.
      hashes: of the items' keys where they are at hand, see `jaxret.index.items.keys`.

    Returns:
      What the manifest must say about it.
    """
    name = f"{number:06d}"
    folder, place = root / "segments" / name, f"segments/{name}"
    arrays: dict[str, dict[str, ArrayEntry]] = {}
    cells: dict[str, dict[str, ArrayEntry]] = {}
    with write_folder(folder, partial=folder.with_name(f"tmp-{name}"), sync=True) as temporary:
        temporary.mkdir(parents=True)
        items_file, keys_file = write_item_files(temporary, place, "items", items, hashes)
        for space_name, (n, blocks) in rows.items():
            if n:
                space = spaces[space_name]
                arrays[space_name] = _write_rows(temporary, place, space_name, space, n, blocks)
                if space_name in guides:
                    written = np.load(temporary / f"{space_name}.{space.array_name}.npy", mmap_mode="r")
                    cells[space_name] = write_guided(temporary, place, space_name, written, guides[space_name])
    return SegmentEntry(name, keys_file.shape[1], (), items_file, keys_file, arrays, cells)


def _write_rows(
    folder: Path, place: str, name: str, space: Space, count: int, blocks: Iterable[Rows]
) -> dict[str, ArrayEntry]:
    """Write the three files of the rows that items have in a space: vectors, links to the items, and spans."""
    links: list[NDArray[np.int64]] = []
    spans: list[NDArray[np.float64]] = []

    def write(array: str, parts: Iterable[NDArray[Any]], dtype: str, shape: tuple[int, ...]) -> ArrayEntry:
        file = f"{name}.{array}.npy"
        return write_array(folder / file, f"{place}/{file}", parts, dtype, shape)

    # First: what fills the other two.
    vectors = _vectors_then(blocks, links, spans)
    vectors_file = write(space.array_name, vectors, space.dtype, (count, space.row_length))
    return {
        space.array_name: vectors_file,
        "items": write("items", links, "int64", (count,)),
        "spans": write("spans", spans, "float64", (count, 2)),
    }


def write_item_files(
    folder: Path, place: str, stem: str, items: ItemBatches, hashes: NDArray[np.uint64] | None = None
) -> tuple[FileEntry, ArrayEntry]:
    """Write the two files of a segment's items: the columns, and the table that finds a key.

    Args:
      folder: where they are written.
      place: the folder's path within the index.
      stem: what their names begin with.
      items: at least one.
      hashes: of their keys where they are at hand.
    """
    schema, batches = items
    made: list[NDArray[np.uint64]] = []

    def passed_on() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if hashes is None:
                made.append(key_hashes(plain_values(batch.column("key"))))
            yield batch

    items_file = write_items(folder / f"{stem}.arrow", f"{place}/{stem}.arrow", schema, passed_on())
    table = key_table(np.concatenate(made) if hashes is None else hashes)
    keys_file = write_array(folder / f"{stem}.keys.npy", f"{place}/{stem}.keys.npy", [table], "uint64", table.shape)
    return items_file, keys_file


def _vectors_then(
    blocks: Iterable[Rows], links: list[NDArray[np.int64]], spans: list[NDArray[np.float64]]
) -> Iterator[NDArray[Any]]:
    """Pass the vectors on, keeping the (much smaller) links and spans for their own files."""
    for block in blocks:
        links.append(block.items)
        spans.append(np.stack([block.starts, block.ends], axis=1))
        yield block.vectors
