"""The items that take part in an evaluation by labels, their rows, and the means of their frames as a baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.index import MediaIndex
from jaxret.retrieval.encode import FrameVectors, frame_rows, mean_rows_of_chunks

__all__ = ["LabelledPart"]

_ITEMS_AT_ONCE = 1000  # whose frames are in memory together


@dataclasses.dataclass(frozen=True)
class LabelledPart:
    """Some of the items of an index or of a data set.

    Attributes:
      rows: of the items, numbered 0, 1, ...
      items: that they are of.
      numbers: int64 (N,), which items these are in the index or the data set.
    """

    rows: Rows
    items: Sequence[MediaItem]
    numbers: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Rows, items: Sequence[MediaItem], wanted: Callable[[MediaItem], bool]) -> LabelledPart:
        """The wanted ones of the items that have rows."""
        numbers = np.array([number for number in np.unique(rows.items).tolist() if wanted(items[number])], np.int64)
        return cls(rows.of_items(numbers), [items[number] for number in numbers.tolist()], numbers)

    def mean_frames_in(self, index: MediaIndex) -> Rows:
        """One row for each of the rows, chunks of indexed videos: the mean of the frames shown in it."""
        parts = []
        for start in range(0, len(self.numbers), _ITEMS_AT_ONCE):
            some = np.arange(start, min(start + _ITEMS_AT_ONCE, len(self.numbers)))
            frames = index.rows("frame", self.numbers[some]).of_items(self.numbers[some])
            means = mean_rows_of_chunks(frames, self.rows.of_items(some))
            parts.append(dataclasses.replace(means, items=means.items + start))
        return Rows(
            np.concatenate([part.vectors for part in parts]),
            np.concatenate([part.items for part in parts]),
            n_items=len(self.numbers),
        )

    def mean_frames_of(self, media: Mapping[int, FrameVectors]) -> Rows:
        """The same of a data set, from its frame vectors by item number."""
        return mean_rows_of_chunks(frame_rows(media).of_items(self.numbers), self.rows)
