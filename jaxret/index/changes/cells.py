"""Cells that are made and dropped."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxret.files import sync_folder, writing
from jaxret.index.array_file import write_array
from jaxret.index.cells.cell_files import write_cells
from jaxret.index.cells.centroids import fit_centroids
from jaxret.index.manifest import Manifest
from jaxret.index.snapshot import Snapshot

__all__ = ["celled", "without_cells"]


def celled(root: Path, now: Snapshot, space: str, cells: int | None, seed: int) -> Manifest:
    """Write new centroids of a space and the cells of every segment around them; the manifest that names them."""
    centroids = fit_centroids(now, space, cells, seed)
    suffix = f"-{now.manifest.revision + 1}"
    place = f"cells/{space}{suffix}.npy"
    (root / "cells").mkdir(exist_ok=True)
    with writing(root / place):
        file = write_array(root / place, place, [centroids], "float32", centroids.shape)
        sync_folder(root / "cells")
    entries = list(now.manifest.segments)
    for number, rows in now.segment_rows(space):
        folder = f"segments/{entries[number].name}"
        with writing(root / folder):
            written = write_cells(root / folder, folder, f"{space}.cells{suffix}", rows.vectors, centroids)
            sync_folder(root / folder)
        entries[number] = dataclasses.replace(entries[number], cells={**entries[number].cells, space: written})
    named = {**now.manifest.centroids, space: file}
    return dataclasses.replace(now.manifest, segments=tuple(entries), centroids=named)


def without_cells(now: Snapshot, space: str) -> Manifest:
    """The manifest of an index that keeps no cells of a space."""
    if space not in now.manifest.centroids:
        return now.manifest

    def others(files: Mapping[str, Any]) -> dict[str, Any]:
        return {name: file for name, file in files.items() if name != space}

    entries = (dataclasses.replace(entry, cells=others(entry.cells)) for entry in now.manifest.segments)
    return dataclasses.replace(now.manifest, segments=tuple(entries), centroids=others(now.manifest.centroids))
