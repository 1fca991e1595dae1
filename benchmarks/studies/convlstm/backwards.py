"""Videos played from their last frame to their first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Indices, MediaReader, Pixels, check_indices
from jaxret.data.sampling.transforms import FrameGeometry

__all__ = ["BackwardsVideos"]


class BackwardsVideos(MediaDataset):
    """The videos of a data set, with depth where they have it, each played backwards; items stay.

    Args:
      dataset: the videos.
    """

    def __init__(self, dataset: MediaDataset):
        self._dataset, self.items = dataset, dataset.items

    def open(self, index: int) -> MediaReader:
        """A reader of item `index`, backwards."""
        return _BackwardsReader(self._dataset.open(index))

    def content_hash(self, index: int) -> str:
        """A hash of the video's content and of the way it is played."""
        return hashlib.blake2b(f"backwards {self._dataset.content_hash(index)}".encode(), digest_size=16).hexdigest()


class _BackwardsReader(MediaReader):
    """Each frame is shown for as long as before."""

    def __init__(self, reader: MediaReader):
        self._reader, self.info = reader, reader.info
        self.has_depth, self.damage = reader.has_depth, reader.damage
        shown = np.diff(reader.times, append=max(reader.info.duration, reader.times[-1]))[::-1]
        self.times = np.append(0.0, np.cumsum(shown)[:-1])

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        return iter(list(self._reader.frames(self._turned(indices), geometry, channels))[::-1])

    def depths(self, indices: Indices, geometry: FrameGeometry | None = None) -> Iterator[npt.NDArray[np.float32]]:
        return iter(list(self._reader.depths(self._turned(indices), geometry))[::-1])

    def _turned(self, indices: Indices) -> npt.NDArray[np.int64]:
        """The same frames as the video numbers them, ascending."""
        return self.info.frame_count - 1 - check_indices(indices, self.info.frame_count)[::-1]

    def close(self) -> None:
        self._reader.close()
