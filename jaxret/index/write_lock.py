"""One writer at a time: an advisory lock that the system drops when its holder ends, however it ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType

from jaxret.errors import JaxretError

__all__ = ["IndexBusyError", "WriteLock"]

if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class IndexBusyError(JaxretError):
    """Another writer holds the index."""


class WriteLock:
    """Context manager that holds `folder/write.lock`.

    The file stays behind unlocked: deleting it would let two writers lock two files of the same name. Readers
    take no lock.

    Args:
      folder: the index.
      timeout: seconds to wait for another writer.

    Raises (on entry):
      IndexBusyError: another writer still holds it after `timeout` seconds.
    """

    def __init__(self, folder: Path, timeout: float):
        self._path = folder / "write.lock"
        self._timeout = timeout
        self._handle = -1

    def __enter__(self) -> WriteLock:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                _try_lock(handle)
            except OSError:
                if time.monotonic() >= deadline:
                    os.close(handle)
                    raise IndexBusyError(
                        f"{self._path}: another writer holds this index (waited {self._timeout:g} s)"
                    ) from None
                time.sleep(0.02)
            else:
                self._handle = handle
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)  # closing drops the lock
