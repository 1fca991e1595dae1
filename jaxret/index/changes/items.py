"""Items that come and go: a new segment, or a list of removed ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxret.data.rows import Rows
from jaxret.index.changes.commit import require_known
from jaxret.index.changes.new_items import NewItems
from jaxret.index.items.columns import check_schema, united_columns
from jaxret.index.manifest import Manifest
from jaxret.index.new_segment import write_segment
from jaxret.index.snapshot import Snapshot
from jaxret.index.space import Space, checked_rows

__all__ = ["added", "check_rows", "without"]


def check_rows(spaces: Mapping[str, Space], items: NewItems, rows: Mapping[str, Rows]) -> dict[str, Rows]:
    """Rows ready to be stored, after all checks of `MediaIndex.add` that need no index."""
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
        raise ValueError(f"item {items.keys[int(np.argmax(bare))]!r} has no row in any space")
    return checked


def added(root: Path, now: Snapshot, items: NewItems, rows: Mapping[str, Rows], replace: bool) -> Manifest:
    """Write a segment of new items; the manifest that names it."""
    places = now.places(items.keys, items.key_hashes)
    keys = [key for key, place in zip(items.keys, places, strict=True) if place is not None]
    if keys and not replace:
        raise ValueError(f"key {keys[0]!r} is in the index already (replace=True replaces it)")
    manifest = without(now, keys) if keys else now.manifest
    blocks = {name: (len(block.items), [block]) for name, block in rows.items()}
    columns = items.batches(manifest.media_root)
    united_columns((now.own_columns, check_schema(columns[0])))
    entry = write_segment(root, manifest.next_segment, columns, now.spaces, blocks, now.guides, items.key_hashes)
    return dataclasses.replace(manifest, segments=(*manifest.segments, entry), next_segment=manifest.next_segment + 1)


def without(now: Snapshot, keys: Sequence[str], missing_ok: bool = False) -> Manifest:
    """The manifest with these items removed; a segment left without live items is dropped."""
    places = now.places(keys)
    if None in places and not missing_ok:
        raise ValueError(f"key {keys[places.index(None)]!r} is not in the index")
    if not any(places):
        return now.manifest
    removed = [set(segment.entry.removed) for segment in now.segments]
    for segment, local in filter(None, places):
        removed[segment].add(local)
    entries = [
        dataclasses.replace(opened.entry, removed=tuple(sorted(gone)))
        for opened, gone in zip(now.segments, removed, strict=True)
        if len(gone) < opened.entry.n_items
    ]
    return dataclasses.replace(now.manifest, segments=tuple(entries))
