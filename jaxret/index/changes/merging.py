"""Segments rewritten as one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from jaxret.index.changes.commit import require_known
from jaxret.index.manifest import Manifest, SegmentEntry
from jaxret.index.new_segment import write_segment
from jaxret.index.snapshot import Snapshot
from jaxret.index.space import ARRAY_NAMES

__all__ = ["compacted", "merged", "segments_to_merge"]

_SEGMENTS_A_TIER = 16
_MERGED_BYTES = 256 << 20


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
    return write_segment(root, number, part.item_batches(), part.spaces, blocks, part.guides)
