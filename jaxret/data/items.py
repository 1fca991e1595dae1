"""What a data set is to the rest of the library: items, and a reader that gives the frames asked for.

A picture is a video of one frame at time 0, so nothing above this room needs two roads.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from jaxret.data.sampling.transforms import FrameGeometry, resize_frame
from jaxret.errors import MediaError

__all__ = [
    "ArrayReader",
    "Chunk",
    "Indices",
    "Kind",
    "MediaDataset",
    "MediaInfo",
    "MediaItem",
    "MediaReader",
    "MediaSubset",
    "Pixels",
]

Kind = Literal["image", "video"]
Pixels = npt.NDArray[np.uint8]
Indices: TypeAlias = Sequence[int] | npt.NDArray[np.integer]


@dataclasses.dataclass(frozen=True, slots=True)
class MediaItem:
    """One image or video of a data set.

    Attributes:
      key: its name, unique within the data set (for files the path relative to the root, with `/`).
      kind: "image" or "video".
      label: its class, or None where nobody said.
      source: what it was cut from (a film, an upload, a photograph). Items of one source look alike, so
        splits keep them together and evaluation leaves the query's own source out. Defaults to `key`.
      split: "train", "validation", "test" or any name the data set's lists use; None where not listed.
      path: the file, or the folder of an RGB-D video as `rgbd:FOLDER` opens it; None for media that is neither.
    """

    key: str
    kind: Kind
    label: str | None = None
    source: str = ""
    split: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if not self.source:
            object.__setattr__(self, "source", self.key)


@dataclasses.dataclass(frozen=True, slots=True)
class MediaInfo:
    """Size and length of one item, as shown: rotation and non-square pixels are already accounted for.

    Attributes:
      frame_count: frames that can be asked for; 1 for an image.
      duration: seconds from the first frame to the end of the last; 0 for an image.
      width, height: pixels of a frame as displayed.
    """

    frame_count: int
    duration: float
    width: int
    height: int


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """A span of one item, sampled: what an encoder turns into one representation.

    Attributes:
      pixels: uint8 (T, H, W, C); an image has T = 1.
      times: float64 (T,), seconds from the first frame of the item; `[0.]` for an image.
      start, end: the span that the chunk stands for, in seconds; both 0 for an image.
    """

    pixels: Pixels
    times: npt.NDArray[np.float64]
    start: float
    end: float


class MediaReader(ABC):
    """One opened item: its frame times, and the frames asked for, in one forward pass.

    Use it as a context manager. A reader belongs to one thread at a time.

    Attributes:
      info: size and length.
      times: float64 (N,), the time of every frame in seconds, ascending, the first at 0.
      damage: one line on what is missing from a damaged item that can still be read, else None.
      has_depth: whether `depths` gives the depth of each frame.
    """

    info: MediaInfo
    times: npt.NDArray[np.float64]
    damage: str | None = None
    has_depth: bool = False

    @abstractmethod
    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        """Yield the frames at `indices`, which must not decrease; a repeated index repeats its frame.

        Args:
          indices: frame numbers, 0 <= index < frame_count, in presentation order.
          geometry: how to scale and cut each frame; None keeps the size.
          channels: 3 for RGB, 1 for grey.

        Yields:
          uint8 (H, W, channels).

        Raises:
          MediaError: a frame does not decode.
          IndexError: an index is out of range. ValueError: indices decrease.
        """

    def depths(self, indices: Indices, geometry: FrameGeometry | None = None) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the depth of the frames at `indices`, which must not decrease.

        Args:
          indices: as for `frames`.
          geometry: as for `frames`; values are taken from the nearest pixel, never averaged.

        Yields:
          float32 (H, W), metres from the camera's plane; 0 where there is no reading.

        Raises:
          MediaError: the item has no depth (`has_depth`), or that of a frame does not decode.
          IndexError, ValueError: as for `frames`.
        """
        raise MediaError(str(getattr(self, "path", type(self).__name__)), "a video without depth")

    def close(self) -> None:  # noqa: B027 - arrays in memory have nothing to close
        """Let go of the file; reading afterwards is an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def read(
        self,
        indices: Indices | None = None,
        geometry: FrameGeometry | None = None,
        channels: int = 3,
    ) -> Pixels:
        """The frames at `indices`, in any order and with repeats, as uint8 (T, H, W, channels).

        `None` reads every frame. An empty sequence gives (0, H, W, channels).
        """
        wanted = np.arange(self.info.frame_count) if indices is None else np.asarray(indices, dtype=np.int64)
        shape = geometry or self.info
        pixels = np.empty((len(wanted), shape.height, shape.width, channels), np.uint8)
        order = np.argsort(wanted, kind="stable")
        for place, frame in zip(order, self.frames(wanted[order], geometry, channels), strict=True):
            pixels[place] = frame
        return pixels

    def read_at(
        self,
        seconds: Sequence[float] | npt.NDArray[np.floating],
        geometry: FrameGeometry | None = None,
        channels: int = 3,
    ) -> Pixels:
        """The frames on display at `seconds`: each the last one whose time is not after it.

        Before the first frame that is the first, after the end the last.
        """
        after = np.searchsorted(self.times, np.asarray(seconds, np.float64), side="right")
        return self.read(np.maximum(after - 1, 0), geometry, channels)


def check_indices(indices: Indices, frame_count: int) -> npt.NDArray[np.int64]:
    """`indices` as int64, after checking that they do not decrease and lie in 0..frame_count-1."""
    wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
    if wanted.size and (wanted.min() < 0 or wanted.max() >= frame_count):
        odd = wanted[(wanted < 0) | (wanted >= frame_count)][0]
        raise IndexError(f"indices must lie in 0..{frame_count - 1}, got {odd}")
    if np.any(np.diff(wanted) < 0):
        raise ValueError(f"indices must not decrease, got {wanted.tolist()}")
    return wanted


class ArrayReader(MediaReader):
    """Frames that are already in memory.

    Args:
      pixels: uint8 (N, H, W, 3), N at least 1.
      times: (N,) seconds, ascending from 0.
      duration: seconds to the end of the last frame.

    Example:
      >>> reader = ArrayReader(np.zeros((2, 4, 6, 3), np.uint8), times=np.array([0.0, 0.5]), duration=1.0)
      >>> reader.read_at([0.7, 0.2]).shape, reader.info.width
      ((2, 4, 6, 3), 6)
    """

    def __init__(self, pixels: Pixels, times: npt.NDArray[np.float64], duration: float):
        if pixels.ndim != 4 or pixels.dtype != np.uint8 or pixels.shape[3] != 3 or not len(pixels):
            raise ValueError(f"pixels must be uint8 (N, H, W, 3), got {pixels.dtype} {pixels.shape}")
        self._pixels = pixels
        self.times = times
        self.info = MediaInfo(len(pixels), duration, width=pixels.shape[2], height=pixels.shape[1])

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        """Yield the frames asked for; see `MediaReader.frames`."""
        for index in check_indices(indices, self.info.frame_count):
            yield resize_frame(self._pixels[index], geometry, channels)


class MediaDataset(ABC):
    """Items that can be opened by number, from any thread and in any order.

    A data set holds no open files and no random state: the same number gives the same frames.

    Attributes:
      items: what there is; the position in this tuple is the item's number everywhere.
    """

    items: tuple[MediaItem, ...]

    @abstractmethod
    def open(self, index: int) -> MediaReader:
        """A reader of item `index`. Raises MediaError where the item cannot be read."""

    def __len__(self) -> int:
        return len(self.items)

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

        For a file it is its size and the hash of all its bytes. Raises MediaError where it cannot be read.
        """
        path = self.items[index].path
        if path is None:
            raise NotImplementedError(f"{type(self).__name__} holds items that are not files")
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, _hasher)
                return f"{file.tell():x}-{digest.hexdigest()}"
        except OSError as error:
            raise MediaError(path, error.strerror or str(error)) from error

    def subset(self, indices: Indices) -> MediaSubset:
        """The items at `indices`, in that order, renumbered from 0."""
        return MediaSubset(self, indices)

    def select(self, keep: Callable[[MediaItem], bool]) -> MediaSubset:
        """The items for which `keep(item)` is true, in order.

        Example: `dataset.select(lambda item: item.split == "train")`.
        """
        return self.subset([number for number, item in enumerate(self.items) if keep(item)])


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
