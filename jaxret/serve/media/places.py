"""Paths that a request may lead to: below the media root, and the files of an index's own items."""

from __future__ import annotations

import os
from pathlib import Path

from jaxret.serve.errors import ApiError

__all__ = ["MediaRoot", "is_below"]


class MediaRoot:
    """The folder whose media requests may name.

    Args:
      folder: that exists.

    Attributes:
      folder: it, without symbolic links.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(os.path.realpath(folder))

    def find(self, path: str) -> Path:
        """A file or folder that a request names, without symbolic links.

        Args:
          path: relative to the folder, with `/`.

        Raises:
          ApiError: it leads outside, or nowhere.
        """
        outside = ApiError(403, f"{path!r} leads out of the media root", "path")
        if "\0" in path or "\\" in path or os.path.isabs(path) or ".." in path.split("/"):
            raise outside
        try:
            found = Path(os.path.realpath(self.folder / path, strict=True))
        except (OSError, ValueError):
            raise ApiError(404, f"there is no {path!r} below the media root", "path") from None
        if not is_below(found, self.folder):
            raise outside
        return found

    def name(self, path: str | os.PathLike[str]) -> str:
        """How requests name a path below the folder; empty for the folder itself."""
        relative = Path(path).relative_to(self.folder).as_posix()
        return "" if relative == "." else relative


def is_below(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Whether a path, without symbolic links, is a folder or lies in it."""
    within = os.fspath(folder).rstrip(os.sep) + os.sep
    return f"{os.fspath(path)}{os.sep}".startswith(within)
