"""The command as a user can type it where this program runs: messages tell what to do next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

__all__ = ["command_line_of"]


def command_line_of(*words: object) -> str:
    """A shell line that calls this installation: `jaxret ...` where typing that runs it, else this Python with
    `-m jaxret ...`.

    Example:
      >>> command_line_of("search", "my films/index", "query.mp4").endswith("search 'my films/index' query.mp4")
      True
    """
    found = shutil.which("jaxret")
    if found is not None and Path(found).parent == Path(sys.executable).parent:
        program = ["jaxret"]
    else:
        python = os.path.relpath(sys.executable)
        program = [sys.executable if python.startswith("..") else python, "-m", "jaxret"]
    return shlex.join([*program, *map(str, words)])
