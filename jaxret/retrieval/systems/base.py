"""What a system of instance retrieval has to offer: descriptions that an index keeps, and two passes of ranking.

The first pass compares the query with whole pictures, the second looks for it in the best of them. A row is a picture,
or a frame of a video; boxes are in shares of its width and height.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxret.data.readers import Pixels
from jaxret.data.rows import Rows
from jaxret.index import MediaIndex, Space
from jaxret.models.base import Unit
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.systems.region import Box

__all__ = ["InstanceGallery", "InstanceSystem", "Located", "TooFewWordsError"]

Question = TypeVar("Question")


class TooFewWordsError(ValueError):
    """A query holds fewer words than a search needs; the message goes on from a name of the query."""


@dataclasses.dataclass(frozen=True, eq=False)
class Located:
    """Rows with the place in each where a query was found, best first.

    Attributes:
      rows: int64 (K,), of the gallery.
      distances: float32 (K,), 1 - cosine of the best place.
      boxes: float64 (K, 4), left, top, right, bottom in shares of width and height; NaN where nothing was found.
      inliers: int64 (K,), key points that agree on one transform; None where that was not asked.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float32]
    boxes: NDArray[np.float64]
    inliers: NDArray[np.int64] | None = None


class InstanceGallery(abc.ABC, Generic[Question]):
    """The rows of an index that queries are compared with, as they are when it is made.

    Args:
      index: whose spaces have the same rows.
      space: one of them.

    Attributes:
      items: int64 (N,), the id of the item that each row belongs to, not decreasing.
    """

    def __init__(self, index: MediaIndex, space: str):
        self.index = index
        self.items: NDArray[np.int64] = np.repeat(np.arange(len(index)), index.rows_per_item(space))

    def stored(self, space: str, rows: NDArray[np.int64]) -> Rows:
        """What a space holds of some rows, in that order; only their items are read."""
        read = self.index.rows(space, np.unique(self.items[rows]))
        # Counted from the first row of each item, in the gallery and among those read.
        places = np.searchsorted(read.items, self.items[rows])
        places += rows - np.searchsorted(self.items, self.items[rows])
        return read.take(places)

    @abc.abstractmethod
    def distances(self, question: Question, *, weighted: bool, centre: bool) -> NDArray[np.float32]:
        """1 - cosine of the query with every row as a whole, (N,)."""

    @abc.abstractmethod
    def locate(self, question: Question, rows: NDArray[np.int64], *, weighted: bool) -> Located:
        """Look for the query in these rows; best first, by (distance, row)."""

    @abc.abstractmethod
    def expanded(self, question: Question, found: Located, *, weighted: bool) -> Question:
        """The mean of the query and what it found (average query expansion, Chum et al., ICCV 2007)."""


class InstanceSystem(abc.ABC, Generic[Question]):
    """One way to describe pictures by what is in them, and where.

    Attributes:
      encoder: the model, which `jaxret.models.store` saves and loads.
      preprocessing, unit: of the encoder, as `jaxret.retrieval.encode.frame_vectors` wants them.
      spaces: of an index, without the sizes of the pictures.
    """

    encoder: Any
    preprocessing: Preprocessing
    unit: Unit
    spaces: tuple[Space, ...]

    def __init__(self, encoder: Any):
        self.encoder = encoder
        self.preprocessing = encoder.preprocessing
        self.unit = "frame"

    @abc.abstractmethod
    def encode_frames(self, frames: Any) -> Any:
        """Pictures uint8 (B, H, W, C) to one row of numbers each, (B, L)."""

    @abc.abstractmethod
    def rows(self, frames: Rows) -> Mapping[str, Rows]:
        """Such rows as they are kept, a table a space."""

    @abc.abstractmethod
    def question(self, picture: Pixels, box: Box | None, *, min_words: int, surroundings: float) -> Question:
        """What a part of a picture asks.

        Args:
          picture: uint8 (H, W, C), as the preprocessing makes it.
          box: in its pixels; None for all of it.
          min_words: places or key points that the box must hold.
          surroundings: let words around the box count too, less the further away, see
            `jaxret.visual_words.box_surroundings`; 0: those inside alone.

        Raises:
          TooFewWordsError: the box holds fewer words than `min_words`.
          ValueError: a setting does not fit the system.
        """

    @abc.abstractmethod
    def gallery(self, index: MediaIndex) -> InstanceGallery[Question]:
        """What an index holds, prepared for searching."""
