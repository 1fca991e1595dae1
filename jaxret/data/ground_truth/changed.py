"""Videos shown in other colours, sizes, windows and qualities; see `jaxret.data.sampling.changes`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import MediaReader
from jaxret.data.sampling.changed_frames import ChangedReader, drawn_change
from jaxret.data.sampling.changes import CHANGES, Change

__all__ = ["ChangedVideos"]


class ChangedVideos(MediaDataset):
    """The videos of a data set, each changed as it is read; items and times stay.

    Args:
      dataset: the videos.
      changes: which changes, of `CHANGES`.
      strength: how much, 0 to 1; 0 changes nothing but `encode`, which encodes again with hardly a loss.
      seed: signs and windows follow from it and the number of the video.

    Raises:
      ValueError: a change is unknown or named twice, or the strength is out of range.

    Example:
      >>> from jaxret.data.datasets.moving_digits import MovingDigits
      >>> half = ChangedVideos(MovingDigits(size=64), ("crop",), 1.0)
      >>> half.info(0).width, half.info(0).frame_count
      (32, 12)
    """

    def __init__(self, dataset: MediaDataset, changes: Sequence[Change], strength: float, *, seed: int = 0):
        for name in changes:
            if name not in CHANGES:
                raise ValueError(f"changes must be of {', '.join(CHANGES)}, got {name!r}")
        if not changes or len(set(changes)) != len(changes):
            raise ValueError(f"changes must name each once, and one at least, got {list(changes)}")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must lie in 0..1, got {strength!r}")
        self._dataset, self._changes, self._strength, self._seed = dataset, tuple(changes), strength, seed
        self.items = dataset.items

    def open(self, index: int) -> MediaReader:
        """A reader of item `index`, changed."""
        strengths = dict.fromkeys(self._changes, self._strength)
        change = drawn_change(strengths, np.random.default_rng([self._seed, index]))
        return ChangedReader(self._dataset.open(index), change)

    def content_hash(self, index: int) -> str:
        """A hash of the video's content and of how it is changed."""
        made_of = (self._dataset.content_hash(index), self._changes, self._strength, self._seed, index)
        return hashlib.blake2b(repr(made_of).encode(), digest_size=16).hexdigest()
