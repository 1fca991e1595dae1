"""A reader of one item: its size, its frame times and the frames that are wanted.

An image is a video of one frame at time 0, so nothing above this room needs two ways to read.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from jaxret.data.sampling.transforms import FrameGeometry, resize_frame
from jaxret.errors import MediaError

__all__ = ["ArrayReader", "Chunk", "Indices", "MediaInfo", "MediaReader", "Pixels", "check_indices"]

Pixels = npt.NDArray[np.uint8]
Indices: TypeAlias = Sequence[int] | npt.NDArray[np.integer]


@dataclasses.dataclass(frozen=True, slots=True)
class MediaInfo:
    """Size and length of one item, as shown: rotation and non-square pixels are already accounted for.

    Attributes:
      frame_count: frames that can be read; 1 for an image.
      duration: seconds from the first frame to the end of the last; 0 for an image.
      width, height: pixels of a frame as displayed.
      parts: start and end, in seconds, of what lies between gaps (`jaxret.data.sampling.frames.parts_between_gaps`);
        empty where there is none, and the item is one part from 0 to `duration`.
    """

    frame_count: int
    duration: float
    width: int
    height: int
    parts: tuple[tuple[float, float], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """A span of one item, sampled: what an encoder turns into one representation.

    Attributes:
      pixels: uint8 (T, H, W, C); an image has T = 1.
      times: float64 (T,), seconds from the first frame of the item; `[0.]` for an image.
      start, end: the span that the chunk stands for, in seconds; both 0 for an image.
      damage: what the reader knew to be missing when it had read the chunk (`MediaReader.damage`).
    """

    pixels: Pixels
    times: npt.NDArray[np.float64]
    start: float
    end: float
    damage: str | None = None


class MediaReader(ABC):
    """One opened item: its frame times, and the wanted frames, in one forward pass.

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
        """Yield the wanted frames; see `MediaReader.frames`."""
        for index in check_indices(indices, self.info.frame_count):
            yield resize_frame(self._pixels[index], geometry, channels)
