"""Items described anew beside their rows: their columns, their form, and where their media lie."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxret.data.items import ColumnValue, MediaItem
from jaxret.errors import ConfigError
from jaxret.files import sync_folder, writing
from jaxret.index.items.columns import batches_of_items, check_schema, united_columns
from jaxret.index.items.media_root import common_folder, stored_path, whole_path
from jaxret.index.manifest import Manifest
from jaxret.index.new_segment import ItemBatches, write_item_files
from jaxret.index.snapshot import Snapshot

__all__ = ["described", "media_folder", "paths_below", "relocated", "rooted", "upgraded"]


def upgraded(root: Path, now: Snapshot) -> Manifest:
    """Write the items of segments of version 1 as columns; the manifest that names them."""
    old = [number for number, segment in enumerate(now.segments) if segment.entry.keys is None]
    return _with_items(root, now, {number: now.segments[number].items.columns for number in old})


def described(
    root: Path, now: Snapshot, columns: Mapping[str, Mapping[str, ColumnValue | None]], missing_ok: bool
) -> Manifest:
    """Write the items of the segments where values change anew; the manifest that names them."""
    keys = list(columns)
    changed: dict[int, dict[int, Mapping[str, ColumnValue | None]]] = {}
    for key, place in zip(keys, now.places(keys), strict=True):
        if place is not None:
            changed.setdefault(place[0], {})[place[1]] = columns[key]
        elif not missing_ok:
            raise ValueError(f"key {key!r} is not in the index")
    written = {}
    for number, values in changed.items():
        items = list(now.segments[number].items.take(range(now.segments[number].entry.n_items)))
        for local, own in values.items():
            merged_columns: dict[str, Any] = {**items[local].columns, **own}  # None takes a value away
            items[local] = dataclasses.replace(items[local], columns=merged_columns)
        written[number] = batches_of_items(items)
    others = [segment.items.own for number, segment in enumerate(now.segments) if number not in written]
    united_columns([*others, *(check_schema(schema) for schema, _ in written.values())])
    return _with_items(root, now, written)


def rooted(root: Path, now: Snapshot, media_root: str) -> Manifest:
    """Write paths of media relative to a folder, where they lie below it; the manifest that names them."""
    before = now.manifest.media_root
    if media_root == before:
        return now.manifest
    written = {}
    for number, segment in enumerate(now.segments):
        items = segment.items.take(range(segment.entry.n_items))
        written[number] = batches_of_items([_moved(item, before, media_root) for item in items])
    return dataclasses.replace(_with_items(root, now, written), media_root=media_root)


def _moved(item: MediaItem, before: str | None, media_root: str) -> MediaItem:
    return dataclasses.replace(item, path=stored_path(whole_path(item.path, before), media_root))


def relocated(root: Path, now: Snapshot, media_root: str) -> Manifest:
    """The manifest of media that moved, with all below it, from the root that the index has, or the folder that holds
    them all, to another.
    """
    return dataclasses.replace(rooted(root, now, media_folder(root, now)), media_root=media_root)


def paths_below(root: Path, now: Snapshot, media_root: str) -> list[str]:
    """The paths that those media would have that `relocated` moves."""
    before = media_folder(root, now)
    stored = (stored_path(path, before) for path in now.values("path"))
    moved = (path for path in stored if path is not None and not os.path.isabs(path) and "://" not in path)
    return [whole for path in moved if (whole := whole_path(path, media_root)) is not None]


def media_folder(root: Path, now: Snapshot) -> str:
    """The media root of an index, or else the folder that holds all its media."""
    before = now.manifest.media_root or common_folder(now.values("path"))
    if before is None:
        raise ConfigError(f"{root} names no media files, so none can have moved")
    return before


def _with_items(root: Path, now: Snapshot, items: Mapping[int, ItemBatches]) -> Manifest:
    """Write the items of some segments beside the old ones, whose rows stay; the manifest that names the new ones."""
    if not items:
        return now.manifest
    entries = list(now.manifest.segments)
    for number, batches in items.items():
        place = f"segments/{entries[number].name}"
        with writing(root / place):
            stem = f"items-{now.manifest.revision + 1}"
            items_file, keys_file = write_item_files(root / place, place, stem, batches)
            sync_folder(root / place)
        entries[number] = dataclasses.replace(entries[number], items=items_file, keys=keys_file)
    return dataclasses.replace(now.manifest, segments=tuple(entries))
