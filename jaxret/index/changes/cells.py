"""Cells and lists that are made and dropped."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxret.files import sync_folder, writing
from jaxret.index.array_file import write_array
from jaxret.index.cells.centroids import fit_centroids
from jaxret.index.cells.guides import Guide, write_guided
from jaxret.index.cells.term_lists import Terms
from jaxret.index.manifest import Manifest, SegmentEntry
from jaxret.index.snapshot import Snapshot

__all__ = ["celled", "listed", "without_cells"]


def celled(root: Path, now: Snapshot, space: str, cells: int | None, seed: int) -> Manifest:
    """Write new centroids of a space and the cells of every segment around them; the manifest that names them."""
    centroids = fit_centroids(now, space, cells, seed)
    place = f"cells/{space}-{now.manifest.revision + 1}.npy"
    (root / "cells").mkdir(exist_ok=True)
    with writing(root / place):
        file = write_array(root / place, place, [centroids], "float32", centroids.shape)
        sync_folder(root / "cells")
    entries = _guided(root, now, space, centroids)
    return dataclasses.replace(now.manifest, segments=entries, centroids={**now.manifest.centroids, space: file})


def listed(root: Path, now: Snapshot, space: str, terms: Terms) -> Manifest:
    """Write the lists of the terms of every segment; the manifest that names them."""
    if now.manifest.terms.get(space) == terms:
        return now.manifest
    entries = _guided(root, now, space, terms)
    return dataclasses.replace(now.manifest, segments=entries, terms={**now.manifest.terms, space: terms})


def _guided(root: Path, now: Snapshot, space: str, guide: Guide) -> tuple[SegmentEntry, ...]:
    """The entries of the segments, with what each keeps of a space for searches, which is written."""
    entries = list(now.manifest.segments)
    for number, rows in now.segment_rows(space):
        folder = f"segments/{entries[number].name}"
        with writing(root / folder):
            revision = now.manifest.revision + 1
            written = write_guided(root / folder, folder, space, rows.vectors, guide, revision=revision)
            sync_folder(root / folder)
        entries[number] = dataclasses.replace(entries[number], cells={**entries[number].cells, space: written})
    return tuple(entries)


def without_cells(now: Snapshot, space: str) -> Manifest:
    """The manifest of an index that keeps no cells of a space."""
    if space not in now.manifest.centroids:
        return now.manifest

    def others(files: Mapping[str, Any]) -> dict[str, Any]:
        return {name: file for name, file in files.items() if name != space}

    entries = (dataclasses.replace(entry, cells=others(entry.cells)) for entry in now.manifest.segments)
    return dataclasses.replace(now.manifest, segments=tuple(entries), centroids=others(now.manifest.centroids))
