"""Temporary files, of which a few are kept."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path

__all__ = ["ScratchFiles"]


class ScratchFiles:
    """Names of new files in a folder; the oldest are deleted where there are too many.

    Args:
      folder: that exists.
      most: files that are kept.
    """

    def __init__(self, folder: Path, most: int):
        self._folder, self._most = folder, most
        self._numbers = itertools.count(1)
        self._files: collections.deque[Path] = collections.deque()

    def new_file(self, ending: str) -> Path:
        """The name of a new file, which is not made yet."""
        path = self._folder / f"scratch-{next(self._numbers)}{ending}"
        self._files.append(path)
        while len(self._files) > self._most:
            self._files.popleft().unlink(missing_ok=True)
        return path
