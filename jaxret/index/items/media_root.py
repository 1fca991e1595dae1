"""Paths of media relative to a folder, so that an index and its media can move."""

from __future__ import annotations

import os
from collections.abc import Iterable

__all__ = ["common_folder", "stored_path", "whole_path"]


def whole_path(path: str | None, media_root: str | None) -> str | None:
    """A stored path as it is on this machine."""
    if path is None or media_root is None or "://" in path:
        return path
    return os.path.join(media_root, path)


def stored_path(path: str | None, media_root: str | None) -> str | None:
    """A path as it is stored: relative to the root where it lies below it.

    Example:
      >>> stored_path("/films/a/b.mp4", "/films"), stored_path("/else/b.mp4", "/films")
      ('a/b.mp4', '/else/b.mp4')
    """
    if path is None or media_root is None:
        return path
    within = media_root.rstrip(os.sep) + os.sep
    return path[len(within) :] if path.startswith(within) and len(path) > len(within) else path


def common_folder(paths: Iterable[str | None]) -> str | None:
    """The deepest folder that all these absolute paths lie in; None where there is none, or no path."""
    folders = {os.path.dirname(path) for path in paths if path is not None and os.path.isabs(path)}
    return os.path.commonpath(folders) if folders else None
