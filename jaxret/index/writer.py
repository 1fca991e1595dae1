"""Changes to an index folder: each is computed as a new manifest and made real by replacing the old one.

A segment is written and put on disk before any manifest names it, so the replacement is the only moment that
counts. What a crash leaves behind is named by no manifest, and the next change deletes it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import jaxret
from jaxret.data.items import ColumnValue, MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError, IndexFormatError
from jaxret.files import is_there, partial_name, sync_folder, writing
from jaxret.index.items.columns import batches_of_items, check_schema, united_columns
from jaxret.index.items.media_root import common_folder, stored_path, whole_path
from jaxret.index.manifest import MANIFEST_NAME, EncoderRecord, Manifest, SegmentEntry, write_manifest
from jaxret.index.segment import ItemBatches, write_item_files, write_segment
from jaxret.index.snapshot import Snapshot, open_snapshot
from jaxret.index.space import ARRAY_NAMES, Space, checked_rows
from jaxret.index.write_lock import write_lock

__all__ = [
    "added",
    "check_rows",
    "commit",
    "compacted",
    "create",
    "described",
    "merged",
    "relocated",
    "require_known",
    "rooted",
    "segments_to_merge",
    "upgraded",
    "without",
]

_SEGMENTS_A_TIER = 16
_MERGED_BYTES = 256 << 20
WRITER = f"jaxret {jaxret.__version__}"


def create(root: Path, spaces: Sequence[Space], encoder: EncoderRecord, lock_timeout: float) -> None:
    """Write the first manifest; see `MediaIndex.create`."""
    names = [space.name for space in spaces]
    if not spaces or len(set(names)) < len(names):
        raise ValueError(f"spaces must be at least one, of different names, got {names}")
    for space in spaces:
        require_known(space, "create")
    root.mkdir(parents=True, exist_ok=True)
    with write_lock(root, lock_timeout):
        check_new(root)
        (root / "segments").mkdir(exist_ok=True)
        write_manifest(root, Manifest(encoder, tuple(spaces), (), 1, 1, WRITER, WRITER))


def check_new(root: Path) -> None:
    """ConfigError where no index can be made in this folder; it need not exist."""
    if is_there(root / MANIFEST_NAME):
        raise ConfigError(f"folder {root} holds an index already: open it, or choose another")
    leftovers = {"write.lock", "segments", partial_name(MANIFEST_NAME)}  # of a creation that was cut off
    held = {entry.name for entry in root.iterdir()} if root.exists() else set()
    if odd := sorted(held - leftovers - {"encoder"}):
        raise ConfigError(f"folder {root} is not empty (it holds {odd[0]}): choose another for the index")


def commit(root: Path, known: Snapshot, change: Callable[[Snapshot], Manifest], lock_timeout: float) -> Snapshot:
    """Apply a change to the current revision, alone; what is then current.

    `known` lends its opened segments. `change` may write a segment, and returns the manifest that it was
    given where there is nothing to do.
    """
    with write_lock(root, lock_timeout):
        now = open_snapshot(root, known)
        _delete_unnamed(root, now.manifest)
        manifest = change(now)
        if manifest is now.manifest:
            return now
        manifest = dataclasses.replace(manifest, revision=now.manifest.revision + 1, updated_by=WRITER)
        write_manifest(root, manifest)
        _delete_unnamed(root, manifest)
        return open_snapshot(root, now)


def check_rows(spaces: Mapping[str, Space], items: Sequence[MediaItem], rows: Mapping[str, Rows]) -> dict[str, Rows]:
    """Rows ready to be stored, after all checks of `MediaIndex.add` that need no index."""
    if not items:
        raise ValueError("items must hold at least one MediaItem, got none")
    if odd := [item for item in items if not isinstance(item, MediaItem)]:
        raise TypeError(f"items must be MediaItem, got {type(odd[0]).__name__}")
    key, count = collections.Counter(item.key for item in items).most_common(1)[0]
    if count > 1:
        raise ValueError(f"items hold the key {key!r} {count} times")
    checked = {}
    for name, given in rows.items():
        if name not in spaces:
            raise ValueError(f"rows must be of a space among {', '.join(spaces)}, got {name!r}")
        require_known(spaces[name], "add to")
        checked[name] = checked_rows(given, spaces[name], len(items))
    bare = np.ones(len(items), bool)
    for block in checked.values():
        bare[block.items] = False
    if bare.any():
        raise ValueError(f"item {items[int(np.argmax(bare))].key!r} has no row in any space")
    return checked


def added(root: Path, now: Snapshot, items: Sequence[MediaItem], rows: Mapping[str, Rows], replace: bool) -> Manifest:
    """Write a segment of new items; the manifest that names it."""
    given = [item.key for item in items]
    keys = [key for key, place in zip(given, now.places(given), strict=True) if place is not None]
    if keys and not replace:
        raise ValueError(f"key {keys[0]!r} is in the index already (replace=True replaces it)")
    manifest = without(now, keys) if keys else now.manifest
    blocks = {name: (len(block.items), [block]) for name, block in rows.items()}
    root_of_media = manifest.media_root
    columns = batches_of_items([dataclasses.replace(i, path=stored_path(i.path, root_of_media)) for i in items])
    united_columns((now.own_columns, check_schema(columns[0])))
    entry = write_segment(root, manifest.next_segment, columns, now.spaces, blocks)
    return dataclasses.replace(manifest, segments=(*manifest.segments, entry), next_segment=manifest.next_segment + 1)


def without(now: Snapshot, keys: Sequence[str]) -> Manifest:
    """The manifest with these items removed; a segment left without live items is dropped."""
    if not keys:
        return now.manifest
    removed = [set(segment.entry.removed) for segment in now.segments]
    for key, place in zip(keys, now.places(keys), strict=True):
        if place is None:
            raise ValueError(f"key {key!r} is not in the index")
        removed[place[0]].add(place[1])
    entries = [
        dataclasses.replace(segment.entry, removed=tuple(sorted(gone)))
        for segment, gone in zip(now.segments, removed, strict=True)
        if len(gone) < segment.entry.n_items
    ]
    return dataclasses.replace(now.manifest, segments=tuple(entries))


def upgraded(root: Path, now: Snapshot) -> Manifest:
    """Write the items of segments of version 1 as columns; the manifest that names them."""
    old = [number for number, segment in enumerate(now.segments) if segment.entry.keys is None]
    return _with_items(root, now, {number: now.segments[number].items.columns for number in old})


def described(root: Path, now: Snapshot, columns: Mapping[str, Mapping[str, ColumnValue | None]]) -> Manifest:
    """Write the items of the segments where values change anew; the manifest that names them."""
    keys = list(columns)
    changed: dict[int, dict[int, Mapping[str, ColumnValue | None]]] = {}
    for key, place in zip(keys, now.places(keys), strict=True):
        if place is None:
            raise ValueError(f"key {key!r} is not in the index")
        changed.setdefault(place[0], {})[place[1]] = columns[key]
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
    before = now.manifest.media_root or common_folder(now.values("path"))
    if before is None:
        raise ConfigError(f"{root} names no media files, so none can have moved")
    return dataclasses.replace(rooted(root, now, before), media_root=media_root)


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


def compacted(root: Path, now: Snapshot) -> Manifest:
    """Write all live items as one segment, a bounded number of rows at a time; the manifest that names it."""
    if len(now.segments) <= 1 and not any(segment.entry.removed for segment in now.segments):
        return now.manifest
    for space in now.spaces.values():
        require_known(space, "compact")
    segments: tuple[SegmentEntry, ...] = ()
    number = now.manifest.next_segment
    if now.items:
        segments = (_written(root, number, now),)
    return dataclasses.replace(now.manifest, segments=segments, next_segment=number + 1)


def segments_to_merge(now: Snapshot) -> int:
    """How many of the last segments are to become one, 0 for none.

    Small additions leave small segments, which every search and every change has to go through. Those at the end are
    merged when there are `_SEGMENTS_A_TIER` of about a size, as the digits of a number carry over, so that an item is
    rewritten a few times at most, and n additions leave about the logarithm of n segments. Large ones stay: they cost a
    search nothing, and rewriting them would need the room once more.
    """
    if any(space.representation not in ARRAY_NAMES for space in now.spaces.values()):
        return 0
    entries = now.manifest.segments[::-1]
    sizes = np.cumsum([sum(file.size for file in entry.files) for entry in entries])
    small = int(np.searchsorted(sizes, _MERGED_BYTES, side="right"))
    items = [entry.n_items for entry in entries[:small]]
    found, run, tier = 0, 0, 1
    while run < small:  # the last segments of up to this tier, of which enough must be of it
        run = next((place for place, count in enumerate(items) if count >= tier * _SEGMENTS_A_TIER), small)
        carried = found > 0 and sum(items[:found]) >= tier  # what a tier below becomes
        if sum(count >= tier for count in items[:run]) + carried >= _SEGMENTS_A_TIER:
            found = run
        tier *= _SEGMENTS_A_TIER
    return found


def merged(root: Path, now: Snapshot) -> Manifest:
    """Write the live items of the last segments as one segment, where it is time to; the manifest that names it."""
    count = segments_to_merge(now)
    if not count:
        return now.manifest
    first, last = now.manifest.segments[:-count], now.manifest.segments[-count:]
    part = Snapshot(root, dataclasses.replace(now.manifest, segments=last), now.segments[-count:])
    number = now.manifest.next_segment
    written = (_written(root, number, part),) if part.items else ()
    return dataclasses.replace(now.manifest, segments=(*first, *written), next_segment=number + 1)


def _written(root: Path, number: int, part: Snapshot) -> SegmentEntry:
    """All live items of a snapshot as one new segment, a bounded number of rows at a time."""
    blocks = {name: (part.count_rows(name), part.row_blocks(name)) for name in part.spaces}
    return write_segment(root, number, part.item_batches(), part.spaces, blocks)


def require_known(space: Space, verb: str) -> None:
    """IndexFormatError for a space whose representation this version knows no more of than its name."""
    if space.representation not in ARRAY_NAMES:
        raise IndexFormatError(
            f"space {space.name!r} has representation {space.representation!r}, and this version can {verb} "
            f"spaces of vectors, codes and records only"
        )


def _delete_unnamed(root: Path, manifest: Manifest) -> None:
    """Delete segments and files of items that the manifest does not name: left by a crash, or no longer needed."""
    named = {segment.name for segment in manifest.segments}
    files = {root / file.file for segment in manifest.segments for file in segment.files}
    for segment in manifest.segments:
        for file in (root / "segments" / segment.name).glob("items*.*"):
            if file not in files and re.fullmatch(r"items(-\d+)?\.(arrow|jsonl|keys\.npy)", file.name):
                with contextlib.suppress(OSError):
                    file.unlink()
    segments = root / "segments"
    segments.mkdir(exist_ok=True)
    for folder in segments.iterdir():
        if re.fullmatch(r"(tmp-)?\d{6,12}", folder.name) and folder.name not in named:
            # Where a reader's mapping forbids it (Windows), a later change tries again.
            shutil.rmtree(folder, ignore_errors=True)
