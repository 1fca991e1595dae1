"""A new segment: its files are written whole, and nothing refers to them until a manifest does."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jaxret.data.rows import Rows
from jaxret.files import sync_folder, writing
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
    temporary = root / "segments" / f"tmp-{name}"
    try:
        with writing(root / "segments" / name):
            return _write_into(temporary, name, items, spaces, rows, guides, hashes)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # gives the room back
        raise


def _write_into(
    temporary: Path,
    name: str,
    items: ItemBatches,
    spaces: Mapping[str, Space],
    rows: Mapping[str, tuple[int, Iterable[Rows]]],
    guides: Mapping[str, Guide],
    hashes: NDArray[np.uint64] | None,
) -> SegmentEntry:
    temporary.mkdir(parents=True)

    def within(file: str) -> tuple[Path, str]:
        return temporary / file, f"segments/{name}/{file}"

    items_file, keys_file = write_item_files(temporary, f"segments/{name}", "items", items, hashes)
    arrays: dict[str, dict[str, ArrayEntry]] = {}
    cells: dict[str, dict[str, ArrayEntry]] = {}
    for space_name, (n, blocks) in rows.items():
        if n:
            space = spaces[space_name]
            links: list[NDArray[np.int64]] = []
            spans: list[NDArray[np.float64]] = []
            vectors_file = write_array(
                *within(f"{space_name}.{space.array_name}.npy"),
                _vectors_then(blocks, links, spans),
                space.dtype,
                (n, space.row_length),
            )
            arrays[space_name] = {
                space.array_name: vectors_file,
                "items": write_array(*within(f"{space_name}.items.npy"), links, "int64", (n,)),
                "spans": write_array(*within(f"{space_name}.spans.npy"), spans, "float64", (n, 2)),
            }
            if space_name in guides:
                written = np.load(temporary / f"{space_name}.{space.array_name}.npy", mmap_mode="r")
                place = f"segments/{name}"
                cells[space_name] = write_guided(temporary, place, space_name, written, guides[space_name])
    sync_folder(temporary)
    temporary.rename(temporary.with_name(name))
    sync_folder(temporary.parent)
    return SegmentEntry(name, keys_file.shape[1], (), items_file, keys_file, arrays, cells)


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
