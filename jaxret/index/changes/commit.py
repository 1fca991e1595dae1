"""The first manifest of an index, and how each later one takes its place."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import jaxret
from jaxret.errors import ConfigError, IndexFormatError
from jaxret.files import partial_name
from jaxret.index.manifest import MANIFEST_NAME, EncoderRecord, Manifest, write_manifest
from jaxret.index.snapshot import Snapshot, open_snapshot
from jaxret.index.space import ARRAY_NAMES, Space
from jaxret.index.write_lock import write_lock

__all__ = ["check_new", "commit", "create", "require_known"]

WRITER = f"jaxret {jaxret.__version__}"
_OF_A_REVISION = re.compile(
    r"cells/[a-z0-9_-]+-\d+\.npy|\d+/items(-\d+)?\.(arrow|jsonl|keys\.npy)"
    r"|\d+/[a-z0-9_-]+\.(cells|lists)(-\d+)?\.(offsets|rows|vectors|counts|lengths)\.npy"
)
"""Files that a later revision may replace beside those that stay."""


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
    held = {entry.name for entry in root.iterdir()} if root.exists() else set()  # one look: another may be making it
    if MANIFEST_NAME in held:
        raise ConfigError(f"folder {root} holds an index already: open it, or choose another")
    leftovers = {"add.lock", "write.lock", "segments", partial_name(MANIFEST_NAME)}  # of a creation that was cut off
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


def _delete_unnamed(root: Path, manifest: Manifest) -> None:
    """Delete segments and files that the manifest does not name: left by a crash, or no longer needed."""
    named = {segment.name for segment in manifest.segments}
    files = {root / file.file for segment in manifest.segments for file in segment.files}
    files |= {root / file.file for file in manifest.centroids.values()}
    for folder in (root / "cells", *(root / "segments" / segment.name for segment in manifest.segments)):
        for file in folder.glob("*.*"):
            if file not in files and _OF_A_REVISION.fullmatch(f"{folder.name}/{file.name}"):
                with contextlib.suppress(OSError):
                    file.unlink()
    segments = root / "segments"
    segments.mkdir(exist_ok=True)
    for folder in segments.iterdir():
        if re.fullmatch(r"(tmp-)?\d{6,12}", folder.name) and folder.name not in named:
            # Where a reader's mapping forbids it (Windows), a later change tries again.
            shutil.rmtree(folder, ignore_errors=True)


def require_known(space: Space, verb: str) -> None:
    """IndexFormatError for a space whose representation this version knows no more of than its name."""
    if space.representation not in ARRAY_NAMES:
        raise IndexFormatError(
            f"space {space.name!r} has representation {space.representation!r}, and this version can {verb} "
            f"spaces of vectors, codes and records only"
        )
