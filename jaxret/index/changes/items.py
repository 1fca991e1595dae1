"""Items that come and go: a new segment, or a list of removed ones."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.index.changes.commit import require_known
from jaxret.index.items.columns import batches_of_items, check_schema, united_columns
from jaxret.index.items.media_root import stored_path
from jaxret.index.manifest import Manifest
from jaxret.index.segment import write_segment
from jaxret.index.snapshot import Snapshot
from jaxret.index.space import Space, checked_rows

__all__ = ["added", "check_rows", "without"]


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
    columns = batches_of_items([_with_stored_path(item, root_of_media) for item in items])
    united_columns((now.own_columns, check_schema(columns[0])))
    entry = write_segment(root, manifest.next_segment, columns, now.spaces, blocks, now.centroids)
    return dataclasses.replace(manifest, segments=(*manifest.segments, entry), next_segment=manifest.next_segment + 1)


def _with_stored_path(item: MediaItem, media_root: str | None) -> MediaItem:
    """The item as it is stored; most are as they are, and to make one anew takes as long as to write it."""
    path = stored_path(item.path, media_root)
    return item if path == item.path else dataclasses.replace(item, path=path)


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
