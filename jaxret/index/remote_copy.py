"""A copy of an index that lies behind a URL, in the user's cache folder: what a search reads, it maps from there."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from jaxret.errors import ConfigError, IndexFormatError, MediaError
from jaxret.files import user_cache, write_atomically
from jaxret.index.array_file import FileEntry, HashingFile
from jaxret.index.manifest import MANIFEST_NAME, Manifest
from jaxret.index.manifest_reader import read_manifest
from jaxret.index.write_lock import write_lock
from jaxret.remote import open_binary, remote_state

__all__ = ["copy_of_file", "copy_of_index", "place_of_index", "refuse_copies"]

_ORIGIN = "copied-from.txt"
_LOCK_SECONDS = 3600.0
_BLOCK = 1 << 20


def copy_of_index(url: str) -> Path:
    """The folder that holds the current revision of an index behind a URL; only files that it lacks are fetched.

    Each file is compared with its checksum in the manifest as it comes, and a stop leaves the copy as it was.

    Raises:
      ConfigError: the package for such URLs is not installed.
      MediaError: the store does not answer.
      IndexFormatError: there is no index at the URL, or a file of it is not what its manifest says.
      WriteError: the disk is full.
    """
    folder = user_cache() / "jaxret" / "indexes" / hashlib.sha256(url.encode()).hexdigest()[:20]
    folder.mkdir(parents=True, exist_ok=True)
    with write_lock(folder, _LOCK_SECONDS):
        _fetch(url, folder)
    return folder


def copy_of_file(url: str, name: str, folder: Path) -> None:
    """Fetch a small file of an index, whole or not at all, into its copy.

    Args:
      url: of the index.
      name: path within it.
      folder: that `copy_of_index` gave.
    """
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        open_binary(f"{url.rstrip('/')}/{name}") as source,
        write_lock(folder, _LOCK_SECONDS),
        write_atomically(target) as partial,
        open(partial, "wb") as file,
    ):
        shutil.copyfileobj(source, file, _BLOCK)


def place_of_index(folder: Path) -> str:
    """Where an index lies for other machines, too: the URL that the folder is a copy of, or its whole path."""
    return _origin(folder) or str(folder.resolve())


def refuse_copies(folder: Path) -> None:
    """ConfigError where the folder is the copy of an index that lies elsewhere: a change would be lost."""
    if (origin := _origin(folder)) is None:
        return
    raise ConfigError(
        f"{origin} can be searched where it lies, and not changed: copy the index to this machine, change the copy, "
        "and put it back"
    )


def _origin(folder: Path) -> str | None:
    try:
        return (folder / _ORIGIN).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _fetch(url: str, folder: Path) -> None:
    base = url.rstrip("/")
    try:
        with open_binary(f"{base}/{MANIFEST_NAME}") as file:
            text = file.read()
    except MediaError as error:
        if remote_state(f"{base}/{MANIFEST_NAME}") is None:
            raise IndexFormatError(f"{url}: is not an index (it has no {MANIFEST_NAME})") from error
        raise
    known = folder / MANIFEST_NAME
    if known.exists() and known.read_bytes() == text:
        return
    coming = folder / "coming"
    shutil.rmtree(coming, ignore_errors=True)
    coming.mkdir()
    (coming / MANIFEST_NAME).write_bytes(text)
    try:
        manifest = read_manifest(coming)
    except IndexFormatError as error:
        raise IndexFormatError(str(error).replace(str(coming), base)) from error
    for entry in _files(manifest):
        target = folder / entry.file
        if not target.exists():  # a name never comes again with another content
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch_file(f"{base}/{entry.file}", entry, target)
    with write_atomically(folder / _ORIGIN) as partial:
        partial.write_text(url + "\n", encoding="utf-8")
    with write_atomically(known, sync=True) as partial:
        partial.write_bytes(text)
    shutil.rmtree(coming, ignore_errors=True)
    _delete_others(folder, manifest)


def _files(manifest: Manifest) -> list[FileEntry]:
    return [*manifest.centroids.values(), *(file for segment in manifest.segments for file in segment.files)]


def _fetch_file(url: str, entry: FileEntry, target: Path) -> None:
    with open_binary(url) as source, write_atomically(target) as partial:
        partial.unlink()
        out = HashingFile(partial)
        try:
            while block := source.read(_BLOCK):
                out.write(block)
            size, digest = out.finish()
        finally:
            out.abandon()
        if (size, digest) != (entry.size, entry.sha256):
            raise IndexFormatError(f"{url}: is not what the manifest says: its size or checksum does not match")


def _delete_others(folder: Path, manifest: Manifest) -> None:
    """Delete what older revisions had; a process that maps it keeps it."""
    named = {folder / file.file for file in _files(manifest)}
    for place in ("segments", "cells"):
        for path in (folder / place).rglob("*"):
            if path.is_file() and path not in named:
                path.unlink(missing_ok=True)
