"""A part of an item as an item of its own: a span of a video, or one frame of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Indices, MediaInfo, MediaReader, Pixels, check_indices
from jaxret.data.sampling.transforms import FrameGeometry
from jaxret.errors import MediaError

__all__ = ["FrameOf", "SpanOf"]


class _Excerpt(MediaDataset):
    """One item of another data set, of which a part is read.

    Args:
      dataset, index: the item, a video.
    """

    def __init__(self, dataset: MediaDataset, index: int):
        self._dataset, self._index = dataset, index
        item = dataset.items[index]
        if item.kind != "video":
            raise ValueError(f"{item.path or item.key} is an image, and has no frames or spans to choose from")
        self.items = (item,)


class FrameOf(_Excerpt):
    """The frame of a video that is on display at a moment, as an image.

    Args:
      dataset, index: the video.
      at: seconds from its first frame.

    Raises:
      ValueError: it is an image, or `at` is not at least 0. A moment beyond the end is told when it is read.

    Example:
      >>> from jaxret.data.datasets.moving_digits import MovingDigits
      >>> frame = FrameOf(MovingDigits(train_clips=1, validation_clips=0, test_clips=0), 3, at=0.5)
      >>> frame.items[0].kind, frame.read(0)[0].shape
      ('image', (1, 32, 32, 3))
    """

    def __init__(self, dataset: MediaDataset, index: int, at: float):
        super().__init__(dataset, index)
        if not at >= 0:
            raise ValueError(f"at must be a second of the video, at least 0, got {at:g}")
        self._at = at
        self.items = (dataclasses.replace(self.items[0], kind="image", duration=0.0),)

    def open(self, index: int) -> MediaReader:
        """A reader of the frame."""
        reader = self._dataset.open(self._index)
        if self._at > reader.info.duration:
            reader.close()
            raise MediaError(
                self.items[0].path or self.items[0].key,
                f"it ends at {reader.info.duration:g} s, and has no frame at {self._at:g} s",
            )
        first = max(int(np.searchsorted(reader.times, self._at, side="right")) - 1, 0)
        return _PartReader(reader, first, first + 1, 0.0)


class SpanOf(_Excerpt):
    """The frames of a video that begin within a span, as a video whose times count from the first of them.

    Args:
      dataset, index: the video.
      start, end: seconds from its first frame.

    Raises:
      ValueError: it is an image, or the span is empty or begins below 0. One beyond the end is told when it is read.

    Example:
      >>> from jaxret.data.datasets.moving_digits import MovingDigits
      >>> span = SpanOf(MovingDigits(train_clips=1, validation_clips=0, test_clips=0), 3, start=0.25, end=0.75)
      >>> span.read(0)[1].round(2).tolist(), span.info(0).duration
      ([0.0, 0.08, 0.17, 0.25, 0.33, 0.42], 0.5)
    """

    def __init__(self, dataset: MediaDataset, index: int, start: float, end: float):
        super().__init__(dataset, index)
        if not 0 <= start < end:
            raise ValueError(f"a span must begin at 0 s or later and end after that, got {start:g} to {end:g} s")
        self._span = start, end

    def open(self, index: int) -> MediaReader:
        """A reader of the span."""
        reader = self._dataset.open(self._index)
        first, last = np.searchsorted(reader.times, self._span).tolist()
        if first == last:
            reader.close()
            raise MediaError(
                self.items[0].path or self.items[0].key,
                f"it has no frame within {self._span[0]:g} to {self._span[1]:g} s",
            )
        end = min(self._span[1], reader.info.duration)
        return _PartReader(reader, first, last, end - float(reader.times[first]))


class _PartReader(MediaReader):
    """Some frames of an open item, in a row.

    Args:
      whole: the open item, which is closed with this.
      first, last: its frames [first, last).
      duration: seconds from the first of them to the end of the last.
    """

    def __init__(self, whole: MediaReader, first: int, last: int, duration: float):
        self._whole, self._first = whole, first
        self.times = whole.times[first:last] - whole.times[first]
        start, info = float(whole.times[first]), whole.info
        within = ((max(begin - start, 0.0), min(end - start, duration)) for begin, end in info.parts)
        parts = tuple(part for part in within if part[0] < part[1])
        self.info = MediaInfo(last - first, duration, info.width, info.height, parts if len(parts) > 1 else ())
        self.has_depth = whole.has_depth
        self.damage = whole.damage
        self.path = getattr(whole, "path", "the medium")

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        """See `MediaReader.frames`."""
        yield from self._whole.frames(self._placed(indices), geometry, channels)
        self.damage = self._whole.damage

    def depths(self, indices: Indices, geometry: FrameGeometry | None = None) -> Iterator[np.ndarray]:
        """See `MediaReader.depths`."""
        yield from self._whole.depths(self._placed(indices), geometry)

    def close(self) -> None:
        """Close the item."""
        self._whole.close()

    def _placed(self, indices: Indices) -> np.ndarray:
        return check_indices(indices, self.info.frame_count) + self._first
