"""Images and videos in folders or CSV files, their labels and splits."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.csv import read_media_table
from jaxret.data.datasets.folder_labels import labels_by_folder
from jaxret.data.datasets.media_kinds import (
    IMAGE_EXTENSIONS,
    VIDEO_EXTENSIONS,
    file_extension,
    media_kind,
    passed_over_in_words,
)
from jaxret.data.datasets.rgbd import RgbdFolders, is_rgbd_folder, open_rgbd
from jaxret.data.datasets.walk import first_repeated_file, walk_folder
from jaxret.data.decode.image import ImageReader, check_image
from jaxret.data.decode.video import VideoReader
from jaxret.data.items import Kind, MediaItem
from jaxret.data.readers import MediaInfo, MediaReader
from jaxret.errors import ConfigError, MediaError, NoMediaError
from jaxret.files import require_regular
from jaxret.remote import file_in, is_file, url_of

__all__ = [
    "IMAGE_EXTENSIONS",
    "VIDEO_EXTENSIONS",
    "MediaFiles",
    "media_kind",
    "open_media",
    "read_csv",
    "scan_folder",
]


def open_media(path: str | os.PathLike[str], kind: Kind | None = None) -> MediaReader:
    """A reader of one file, such as a query, of this machine or at a URL, or of a folder of RGB-D frames.

    Raises:
      MediaError: there is no such file, it is no image or video by name and content, or it cannot be read.
    """
    if is_rgbd_folder(path):
        return open_rgbd(RgbdFolders(os.fspath(path)), probe=False).open(0)
    if url_of(path) is None:
        require_regular(path)
    kind = kind or media_kind(path)
    if kind is None:
        raise MediaError(os.fspath(path), "neither an image nor a video by its extension and first bytes")
    return ImageReader(path) if kind == "image" else VideoReader(path)


class MediaFiles(MediaDataset):
    """Images and videos on disk.

    Each file is probed when the data set is made: images are decoded at the smallest size their format
    offers, videos have their packets read and their first frame decoded. Files that fail are left out and
    listed, so that one broken file among thousands does not stop a training.

    Args:
      items: what to read; each has its `path`.
      probe: False takes every file on trust, for collections that were probed before.
      threads: files probed at once.

    Attributes:
      items: the files that can be read, in the order given.
      skipped: the files that cannot, each a MediaError with path and reason.
      damaged: files that are kept although something is missing from them, with what.
      left_out, passed_over: see `MediaDataset`; of `of_folder` alone.
    """

    def __init__(
        self,
        items: Iterable[MediaItem],
        *,
        probe: bool = True,
        threads: int = 8,
    ):
        candidates = tuple(items)
        for item in candidates:
            if item.path is None:
                raise ValueError(f"items must have a path, got none for {item.key!r}")
        self._infos: dict[str, MediaInfo] = {}
        skipped: list[MediaError] = []
        damaged: list[MediaError] = []
        if probe:
            with ThreadPoolExecutor(threads, thread_name_prefix="probe") as pool:
                results = list(pool.map(_probe, candidates))
            for item, (info, error) in zip(candidates, results, strict=True):
                if info is not None:
                    self._infos[item.key] = info
                if error is not None:
                    (skipped if info is None else damaged).append(error)
            candidates = tuple(item for item in candidates if item.key in self._infos)
        self.items = candidates
        self.skipped = tuple(skipped)
        self.damaged = tuple(damaged)

    @classmethod
    def of_folder(cls, root: str | os.PathLike[str], *, probe: bool = True) -> MediaFiles:
        """The media of a folder, as `scan_folder` finds them, with what cannot be read and what was left out."""
        scan = _scan(root)
        files = cls(scan.items, probe=probe)
        files.skipped = (*scan.skipped, *files.skipped)
        files.left_out, files.passed_over = scan.left_out, scan.passed_over
        return files

    def open(self, index: int) -> MediaReader:
        """A reader of file `index`."""
        item = self.items[index]
        assert item.path is not None
        return open_media(item.path, item.kind)

    def info(self, index: int) -> MediaInfo:
        """Size and length, remembered from the probe."""
        known = self._infos.get(self.items[index].key)
        return known if known is not None else super().info(index)


def scan_folder(root: str | os.PathLike[str]) -> tuple[MediaItem, ...]:
    """The media files of ROOT/<class>/..., sorted by path; other kinds and hidden files are passed over.

    The label is the first folder below the root; a file in the root itself has none. Where every class
    folder lies in `train`, `validation`, `val` or `test`, these are splits and the label is the next folder.

    Raises:
      ConfigError: no such folder, or no media file in it.
    """
    return _scan(root).items


@dataclasses.dataclass(frozen=True)
class _Scan:
    """What a folder holds, see `MediaDataset`."""

    items: tuple[MediaItem, ...]
    skipped: tuple[MediaError, ...]
    left_out: tuple[str, ...]
    passed_over: Mapping[str, int]


def _scan(root: str | os.PathLike[str]) -> _Scan:
    if url_of(root) is None and not os.path.isdir(root):
        raise ConfigError(f"{root} is not a folder")
    walk = walk_folder(root)
    kinds = {path: media_kind(file_in(root, path)) for path in walk.files}
    passed_over = Counter(file_extension(path) for path, kind in kinds.items() if kind is None)
    relative = [path for path, kind in kinds.items() if kind is not None]
    odd = [path for path in sorted(walk.odd) if media_kind(path.name) is not None]
    skipped = (*walk.unread, *(MediaError(file_in(root, path), walk.odd[path]) for path in odd))
    if not relative:
        others = [passed_over_in_words(passed_over)] if passed_over else []
        reasons = [*others, *map(str, skipped[:3]), *walk.left_out[:3]]
        raise NoMediaError(f"{root} holds no image or video" + (f": {'; '.join(reasons)}" if reasons else ""))
    items = []
    for path, (label, split) in zip(relative, labels_by_folder(relative), strict=True):
        kind = kinds[path]
        assert kind is not None
        items.append(MediaItem(key=path.as_posix(), kind=kind, label=label, split=split, path=file_in(root, path)))
    return _Scan(tuple(items), skipped, walk.left_out, MappingProxyType(dict(passed_over)))


def read_csv(
    table: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, *, split_column: str = "split"
) -> tuple[MediaItem, ...]:
    """The files listed in a CSV with a header and at least the column `path`.

    Args:
      table: the CSV (UTF-8). Known columns are path, label, source and split; empty cells mean "not said".
        Other columns are allowed only if their names begin with `split`, for several official splits.
      root: what relative paths are relative to; None is the folder of the CSV. A path may be a URL.
      split_column: the column to take the split from.

    Raises:
      ConfigError: no such file or column, an unknown or repeated column, a missing path, a file that is listed
        twice, a row with too many or too few cells, an extension that is not one of media, or no rows. Files
        that are listed and do not exist are errors here, all of them named up to five.
    """
    source = Path(table)
    base = source.parent if root is None else Path(root)
    items = []
    missing = []
    rows = read_media_table(source, split_column=split_column)
    if (repeated := first_repeated_file(url_of(row.key) or base / row.key for row in rows)) is not None:
        row, other = rows[repeated[0]], rows[repeated[1]]
        raise ConfigError(f"{row.place}: {row.key!r} is the file that is listed as {other.key!r} before")
    for row in rows:
        path = url_of(row.key) or str(base / row.key)
        kind = media_kind(path)
        if kind is None:
            raise ConfigError(f"{row.place}: {row.key!r} is no image or video by its extension and first bytes")
        if not is_file(path):
            missing.append(row.key)
        items.append(MediaItem(key=row.key, kind=kind, label=row.label, source=row.source, split=row.split, path=path))
    if missing:
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise ConfigError(f"{source} lists {len(missing)} files that are not in {base}: {shown}")
    return tuple(items)


def _probe(item: MediaItem) -> tuple[MediaInfo | None, MediaError | None]:
    """Info of a file that can be read, and an error for what is wrong with it."""
    assert item.path is not None
    try:
        if item.kind == "image":
            return check_image(item.path), None
        with open_media(item.path, item.kind) as reader:
            return reader.info, MediaError(item.path, reader.damage) if reader.damage else None
    except MediaError as error:
        return None, error
    except Exception as error:  # the last place before a folder could not be read at all
        return None, MediaError(item.path, f"{type(error).__name__}: {error}".splitlines()[0])
