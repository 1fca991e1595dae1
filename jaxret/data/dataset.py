"""What a data set is to the rest of the library: items, and a reader of each."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from jaxret.data.items import MediaItem
from jaxret.data.readers import Indices, MediaInfo, MediaReader, Pixels
from jaxret.data.sampling.transforms import FrameGeometry
from jaxret.errors import MediaError
from jaxret.files import require_regular
from jaxret.remote import open_binary, real_path, remote_state, url_of

__all__ = ["MediaDataset", "MediaSubset", "stamp_of"]


class MediaDataset(ABC):
    """Items that can be opened by number, from any thread and in any order.

    A data set holds no open files and no random state: the same number gives the same frames.

    Attributes:
      items: what there is; the position in this tuple is the item's number everywhere.
      skipped: what was listed or found and cannot be read, each a MediaError with its path and the reason.
      damaged: what is kept although something is missing from it, each a MediaError with its path and what.
      passed_over: how many files of a folder are no media, by extension.
      left_out: what of a folder was left out on purpose, a line each.
      notes: what a user should know of the data, a line each.
      ground_truth: of data sets in which some of the media are annotated for each query: by the key of the query, then
        by the file name of a medium, whether it is relevant. Empty where labels say what is relevant.
    """

    items: tuple[MediaItem, ...]
    skipped: tuple[MediaError, ...] = ()
    damaged: tuple[MediaError, ...] = ()
    passed_over: Mapping[str, int] = MappingProxyType({})
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ground_truth: Mapping[str, Mapping[str, bool]] = MappingProxyType({})

    @abstractmethod
    def open(self, index: int) -> MediaReader:
        """A reader of item `index`. Raises MediaError where the item cannot be read."""

    def __len__(self) -> int:
        return len(self.items)

    def __getstate__(self) -> dict[str, object]:
        """What another process needs; a read-only view of a dict cannot go there."""
        return {**self.__dict__, "passed_over": dict(self.passed_over)}

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names that occur, sorted."""
        return tuple(sorted({item.label for item in self.items if item.label is not None}))

    def info(self, index: int) -> MediaInfo:
        """Size and length of item `index`."""
        with self.open(index) as reader:
            return reader.info

    def read(
        self,
        index: int,
        frame_indices: Indices | None = None,
        geometry: FrameGeometry | None = None,
        channels: int = 3,
    ) -> tuple[Pixels, npt.NDArray[np.float64]]:
        """Frames of item `index` (all of them for None) and their times: uint8 (T, H, W, C), float64 (T,)."""
        with self.open(index) as reader:
            pixels = reader.read(frame_indices, geometry, channels)
            chosen = slice(None) if frame_indices is None else np.asarray(frame_indices, np.int64)
            return pixels, reader.times[chosen]

    def content_hash(self, index: int) -> str:
        """A hash of what item `index` is made of, hex: the same content gives the same hash anywhere.

        For a file it is its size and the hash of all its bytes; for one at a URL its size and, where the store has one,
        the tag of its content. Raises MediaError where it cannot be read.
        """
        path = self.items[index].path
        if path is None:
            raise NotImplementedError(f"{type(self).__name__} holds items that are not files")
        url = url_of(path)
        if url is None:
            require_regular(path)
        elif (state := remote_state(url)) is not None and state.tag is not None:
            return f"{state.size:x}-{state.tag}"
        try:
            with open_binary(path) as file:
                digest = hashlib.file_digest(file, _hasher)  # type: ignore[arg-type]
                return f"{file.tell():x}-{digest.hexdigest()}"
        except OSError as error:
            raise MediaError(path, error.strerror or str(error)) from error

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Bytes of what item `index` is made of, and when that was last written, nanoseconds since 1970.

        It is cheap to know, and while it stays the same the content is taken to be the same. None where there is no
        file, or it cannot be looked at.
        """
        path = self.items[index].path
        return None if path is None else stamp_of([path])

    def origin(self, index: int) -> str | None:
        """What tells item `index` from those of other data sets that have its key; None where the key alone does.

        For a file it is its path, absolute and without symbolic links, or its URL.
        """
        path = self.items[index].path
        return None if path is None else real_path(path)

    def subset(self, indices: Indices) -> MediaSubset:
        """The items at `indices`, in that order, renumbered from 0."""
        return MediaSubset(self, indices)

    def select(self, keep: Callable[[MediaItem], bool]) -> MediaSubset:
        """The items for which `keep(item)` is true, in order.

        Example: `dataset.select(lambda item: item.split == "train")`.
        """
        return self.subset([number for number, item in enumerate(self.items) if keep(item)])


def stamp_of(paths: Iterable[str | os.PathLike[str]]) -> tuple[int, int] | None:
    """Bytes of regular files together, and the latest time that one was written; None where one is none."""
    paths = list(paths)
    if len(paths) == 1 and (url := url_of(paths[0])) is not None:
        state = remote_state(url)
        return None if state is None else (state.size, state.modified)
    try:
        found = [os.stat(path) for path in paths]
    except (OSError, ValueError):
        return None
    if not all(stat.S_ISREG(each.st_mode) for each in found):
        return None
    return sum(each.st_size for each in found), max(each.st_mtime_ns for each in found)


def _hasher() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


class MediaSubset(MediaDataset):
    """Some items of another data set; a subset of a subset refers straight to the first.

    Attributes:
      parent: the data set that reads the items.
      indices: int64 (N,), the items' numbers in `parent`.
    """

    def __init__(self, parent: MediaDataset, indices: Sequence[int] | npt.NDArray[np.integer]):
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(parent)):
            odd = chosen[(chosen < 0) | (chosen >= len(parent))][0]
            raise IndexError(f"indices must lie in 0..{len(parent) - 1}, got {odd}")
        self.items = tuple(parent.items[number] for number in chosen)
        if isinstance(parent, MediaSubset):
            chosen = parent.indices[chosen]
            parent = parent.parent
        self.parent: MediaDataset = parent
        self.indices: npt.NDArray[np.int64] = chosen

    def open(self, index: int) -> MediaReader:
        """A reader of the subset's item `index`."""
        return self.parent.open(int(self.indices[index]))

    def info(self, index: int) -> MediaInfo:
        """Size and length of the subset's item `index`."""
        return self.parent.info(int(self.indices[index]))

    def content_hash(self, index: int) -> str:
        """The hash of the subset's item `index`."""
        return self.parent.content_hash(int(self.indices[index]))

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Size and time of the subset's item `index`."""
        return self.parent.stamp(int(self.indices[index]))

    def origin(self, index: int) -> str | None:
        """Where the subset's item `index` comes from."""
        return self.parent.origin(int(self.indices[index]))
