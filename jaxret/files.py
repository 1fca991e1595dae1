"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["partial_name", "sync_folder", "write_atomically"]


def partial_name(name: str) -> str:
    """What a file is called while it is written; the ending stays, as some writers choose the format by it."""
    return f"partial-{name}"


@contextlib.contextmanager
def write_atomically(path: Path, *, partial: Path | None = None, sync: bool = False) -> Iterator[Path]:
    """Write a file, or replace an older one, at once: readers and crashes see the old file or the new one.

    Args:
      path: the file.
      partial: where it is written first, on the same disk; None for `partial-NAME` beside it. Writers that may write
        one file at the same time need different ones.
      sync: put the new file on disk before it takes the old one's place, so that a power cut leaves one of them too.

    Yields:
      The path to write to. It takes the place of `path` when the block ends, and is deleted if the block fails.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "settings.json"
      >>> with write_atomically(path) as partial:
      ...     _ = partial.write_text("{}")
      >>> path.read_text()
      '{}'
    """
    partial = partial or path.with_name(partial_name(path.name))
    try:
        yield partial
        if sync:
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    if sync:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put a folder's own entries (new names) on disk, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
