"""One writer of an index at a time, and one addition."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from jaxret.errors import JaxretError
from jaxret.files import hold

__all__ = ["IndexBusyError", "addition_lock", "write_lock"]


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


def addition_lock(folder: Path, timeout: float) -> AbstractContextManager[None]:
    """Hold `folder/add.lock`, from the look at what an index lacks to the last commit of it.

    Two that look before either has committed would encode the same media twice, and one would take the keys of the
    other's files. Changes that are one commit take `write_lock` alone.

    Args:
      folder: the index.
      timeout: seconds to wait for another addition.

    Raises:
      IndexBusyError: on entry; another one is still under way after `timeout` seconds.
    """
    file = folder / "add.lock"
    told = f"{file}: media are being added to this index (waited {timeout:g} s): try again when that has ended"
    return hold(file, IndexBusyError(told), timeout)
