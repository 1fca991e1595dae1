"""One writer at a time: an advisory lock that the system drops when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from jaxret.errors import JaxretError

__all__ = ["IndexBusyError", "write_lock"]


class IndexBusyError(JaxretError):
    """Another writer holds the index."""


@contextlib.contextmanager
def write_lock(folder: Path, timeout: float) -> Iterator[None]:
    """Hold `folder/write.lock`; readers take no lock.

    Args:
      folder: the index.
      timeout: seconds to wait for another writer.

    Raises:
      IndexBusyError: another writer still holds it after `timeout` seconds.
    """
    lock = FileLock(folder / "write.lock")
    try:
        lock.acquire(timeout, poll_interval=0.02)
    except Timeout:
        raise IndexBusyError(
            f"{folder / 'write.lock'}: another writer holds this index (waited {timeout:g} s)"
        ) from None
    try:
        yield
    finally:
        lock.release()
