"""`jaxret serve` in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["served"]


@contextlib.contextmanager
def served(index: Path) -> Iterator[tuple[str, int]]:
    """The address of a server of an index, on a free port, and the number of its process; it ends with the block."""
    command = [sys.executable, "-m", "jaxret", "serve", str(index), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip(), server.pid
        finally:
            server.terminate()
