"""What lies in a folder of media: regular files, each real file and folder once, however many links lead to it."""

from __future__ import annotations

import collections
import dataclasses
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from jaxret.errors import MediaError
from jaxret.files import kind_of_file
from jaxret.remote import file_in, files_below, url_of

__all__ = ["FolderWalk", "first_repeated_file", "walk_folder"]

_Identity = tuple[int, int]
"""Device and inode."""


@dataclasses.dataclass(frozen=True)
class FolderWalk:
    """The visible entries below a folder; hidden ones begin with a dot.

    Attributes:
      files: regular files, relative to the folder, sorted.
      folders: each folder, relative, with the names in it that are no folders.
      odd: what bears a file's name and is none (a pipe, a link that leads nowhere), relative, with the reason.
      unread: folders that may not be read, with the reason.
      left_out: what was left out on purpose, a line each.
    """

    files: tuple[Path, ...]
    folders: Mapping[Path, tuple[str, ...]]
    odd: Mapping[Path, str]
    unread: tuple[MediaError, ...]
    left_out: tuple[str, ...]


def walk_folder(root: str | os.PathLike[str]) -> FolderWalk:
    """Walk a folder and what links in it lead to.

    Files and folders under their own names come first, so a link never takes the place of what it leads to. A link to a
    folder above the root is not followed. Folders that are runs or indexes of this library are left out: the images in
    them are figures and examples. Of a URL it is the visible files below it, but for those of indexes.

    Raises:
      ConfigError: there is nothing below the URL, or the package for such URLs is not installed.
      MediaError: the store that the URL leads to does not answer.
    """
    if (url := url_of(root)) is not None:
        return _walk_url(url)
    return _Walk(Path(root)).walked()


def first_repeated_file(paths: Iterable[str | os.PathLike[str]]) -> tuple[int, int] | None:
    """Positions of the first path that leads to the same file as an earlier one, and of that; None where all differ.

    What is not there is passed over.
    """
    seen: dict[_Identity, int] = {}
    for position, path in enumerate(paths):
        try:
            identity = _identity(os.stat(path))
        except (OSError, ValueError):
            continue
        if identity is not None and seen.setdefault(identity, position) != position:
            return position, seen[identity]
    return None


def _walk_url(url: str) -> FolderWalk:
    files = [Path(name) for name in files_below(url)]
    indexes = {path.parent for path in files if path.name == "manifest.json"}
    indexes &= {path.parents[2] for path in files if len(path.parents) > 2 and path.parts[-3] == "segments"}
    visible = sorted(
        path
        for path in files
        if not any(part.startswith(".") for part in path.parts) and not indexes.intersection(path.parents)
    )
    left_out = tuple(f"{file_in(url, path)}: an index of jaxret" for path in sorted(indexes))
    return FolderWalk(tuple(visible), {}, {}, (), left_out)


class _Walk:
    def __init__(self, root: Path):
        self._root = root
        self._above = {_identity(found) for folder in root.resolve().parents if (found := _stat(folder)) is not None}
        self._seen: set[_Identity | None] = set()
        self._links: collections.deque[Path] = collections.deque()
        self._files: list[Path] = []
        self._folders: dict[Path, tuple[str, ...]] = {}
        self._odd: dict[Path, str] = {}
        self._unread: list[MediaError] = []
        self._left_out: list[str] = []
        self._repeated = 0

    def walked(self) -> FolderWalk:
        self._folder(Path())
        while self._links:
            self._link(self._links.popleft())
        if self._repeated:
            self._left_out.append(f"{self._repeated} links to files and folders that are there already")
        return FolderWalk(
            tuple(sorted(self._files)),
            self._folders,
            self._odd,
            tuple(sorted(self._unread, key=lambda error: error.path)),
            tuple(self._left_out),
        )

    def _folder(self, top: Path) -> None:
        """A folder and those below it, but for what links lead to, which waits."""
        waiting = [top]
        while waiting:
            relative = waiting.pop()
            folder = self._root / relative
            try:
                identity = _identity(os.stat(folder))
                with os.scandir(folder) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self._unread.append(MediaError(os.fspath(folder), error.strerror or str(error)))
                continue
            if identity in self._seen:
                self._repeated += 1
                continue
            if identity is not None:
                self._seen.add(identity)
            visible = [entry for entry in found if not entry.name.startswith(".")]
            if (what := _made_by_us(folder, {entry.name for entry in visible})) is not None:
                self._left_out.append(f"{folder}: {what}")
                continue
            below, names = [], []
            for entry in visible:
                path = relative / entry.name
                if entry.is_symlink():
                    self._links.append(path)
                    names.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    below.append(path)
                else:
                    self._file(path, linked=False)
                    names.append(entry.name)
            self._folders[relative] = tuple(names)
            waiting.extend(reversed(below))

    def _link(self, path: Path) -> None:
        try:
            found = os.stat(self._root / path)
        except OSError as error:
            self._odd[path] = "a link that leads nowhere" if isinstance(error, FileNotFoundError) else _reason(error)
            return
        if not stat.S_ISDIR(found.st_mode):
            self._file(path, linked=True)
        elif _identity(found) in self._above:
            self._left_out.append(f"{self._root / path}: a link to a folder that holds this one")
        else:
            self._folder(path)

    def _file(self, path: Path, *, linked: bool) -> None:
        try:
            found = os.stat(self._root / path)
        except OSError as error:
            self._odd[path] = _reason(error)
            return
        if (kind := kind_of_file(found.st_mode)) is not None:
            self._odd[path] = kind
            return
        identity = _identity(found)
        if identity in self._seen and (linked or found.st_nlink > 1):
            self._repeated += 1
            return
        if identity is not None:
            self._seen.add(identity)
        self._files.append(path)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _identity(found: os.stat_result) -> _Identity | None:
    """None where the file system numbers nothing."""
    return (found.st_dev, found.st_ino) if found.st_ino else None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _made_by_us(folder: Path, names: set[str]) -> str | None:
    """What of this library a folder is; None for others."""
    if {"manifest.json", "segments"} <= names and '"jaxret-index"' in _head(folder / "manifest.json"):
        return "an index of jaxret"
    run = {"metrics.jsonl", "figures.json", "report.html", "checkpoints", "encoder", "index", "cache"}
    if "config.json" in names and names & run and '"recipe":' in _head(folder / "config.json"):
        return "a run of jaxret"
    return None


def _head(path: Path) -> str:
    """The beginning of a file; nothing of what is no regular file or may not be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(200).decode("utf-8", "replace")
    except OSError:
        return ""
