"""One writer of an index at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from jaxret.errors import JaxretError
from jaxret.files import hold

__all__ = ["IndexBusyError", "write_lock"]


class IndexBusyError(JaxretError):
    """Another writer holds the index."""


def write_lock(folder: Path, timeout: float) -> AbstractContextManager[None]:
    """Hold `folder/write.lock`; readers take no lock.

    Args:
      folder: the index.
      timeout: seconds to wait for another writer.

    Raises:
      IndexBusyError: on entry; another writer still holds it after `timeout` seconds.
    """
    file = folder / "write.lock"
    return hold(file, IndexBusyError(f"{file}: another writer holds this index (waited {timeout:g} s)"), timeout)
