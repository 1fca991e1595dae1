"""Visual words of an image as one row of whole numbers, which an index can keep, and back.

A record begins with the height and width of the image as the encoder saw it. Then follow, of a feature map, the
words of its cells row by row; of key points, for each the word and its x and y in sixteenths of a pixel. Words count
from 1, so that the zeros which fill a record up are none.
"""

from __future__ import annotations

import abc
import dataclasses

import numpy as np
from numpy.typing import NDArray

from jaxret.index import Terms
from jaxret.index.cells.term_lists import begins_of_runs
from jaxret.visual_words import PlacedWords, WordBags, centre_prior, words_at_points, words_of_map

__all__ = ["MapLayout", "PointLayout", "WordLayout", "bags_of_records"]

_HEAD = 2
_STEPS = 16  # a pixel

Records = NDArray[np.integer]


@dataclasses.dataclass(frozen=True)
class WordLayout(abc.ABC):
    """How the words of an image lie in a record.

    Attributes:
      n_words: W, of the codebook.
    """

    n_words: int

    @property
    def dtype(self) -> str:
        """Of the records in the index: 16 bits where the words go into them."""
        return "uint16" if self.n_words < 2**16 else "uint32"

    @property
    @abc.abstractmethod
    def length(self) -> int:
        """Numbers in a record."""

    @property
    @abc.abstractmethod
    def terms(self) -> Terms:
        """Which numbers of a record are words."""

    def words(self, records: Records) -> Records:
        """The words (N, P) of records (N, L), from 1; 0 is none."""
        return self.terms.of(records)

    @abc.abstractmethod
    def points(self, records: Records) -> NDArray[np.float64]:
        """Where those words are: (N, P, 2), x and y in pixels; of no word anything."""

    @abc.abstractmethod
    def unpack(self, record: Records) -> PlacedWords:
        """The placed words of one record (L,)."""


@dataclasses.dataclass(frozen=True)
class MapLayout(WordLayout):
    """Words of feature maps.

    Attributes:
      stride: pixels to a place.
      height, width: of the largest image, multiples of the stride.

    Example:
      >>> layout = MapLayout(9, stride=32, height=64, width=64)
      >>> record = layout.pack(np.array([[3, 0]]), (32, 64))
      >>> record.tolist(), layout.unpack(record).words.tolist()
      ([32, 64, 4, 1, 0, 0], [3, 0])
    """

    stride: int
    height: int
    width: int

    @property
    def length(self) -> int:
        """Numbers in a record."""
        return _HEAD + self.height // self.stride * (self.width // self.stride)

    @property
    def terms(self) -> Terms:
        """All after the size."""
        return Terms(self.n_words, _HEAD)

    def pack(self, word_map: NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.int64]:
        """The record of an assignment map (H', W') of an image of `size` (height, width)."""
        record = np.zeros(self.length, np.int64)
        record[:_HEAD] = size
        record[_HEAD : _HEAD + word_map.size] = word_map.reshape(-1) + 1
        return record

    def points(self, records: Records) -> NDArray[np.float64]:
        """The centres of the places (N, P, 2), x and y in pixels."""
        columns = np.maximum(records[:, 1].astype(np.int64) // self.stride, 1)
        places = np.arange(self.length - _HEAD)
        cells = np.stack([places % columns[:, None], places // columns[:, None]], axis=-1)
        return np.asarray((cells + 0.5) * self.stride, np.float64)

    def unpack(self, record: Records) -> PlacedWords:
        """The placed words of one record (L,)."""
        height, width = (int(side) for side in record[:_HEAD])
        rows, columns = height // self.stride, width // self.stride
        words = record[_HEAD : _HEAD + rows * columns].astype(np.int64) - 1
        return words_of_map(words.reshape(rows, columns), (height, width))


@dataclasses.dataclass(frozen=True)
class PointLayout(WordLayout):
    """Words of key points.

    Attributes:
      max_points: that a record holds.
    """

    max_points: int

    @property
    def length(self) -> int:
        """Numbers in a record."""
        return _HEAD + 3 * self.max_points

    @property
    def terms(self) -> Terms:
        """The first of each three after the size."""
        return Terms(self.n_words, _HEAD, 3)

    def pack(self, words: NDArray[np.integer], points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.int64]:
        """The record of words (N,) at points (N, 2), of which the first `max_points` are kept."""
        record = np.zeros(self.length, np.int64)
        record[:_HEAD] = size
        kept = min(len(words), self.max_points)
        entries = record[_HEAD:].reshape(-1, 3)
        entries[:kept, 0] = words[:kept] + 1
        entries[:kept, 1:] = np.round(points[:kept] * _STEPS)
        return record

    def points(self, records: Records) -> NDArray[np.float64]:
        """The key points (N, P, 2), x and y in pixels."""
        places = np.stack([records[:, _HEAD + 1 :: 3], records[:, _HEAD + 2 :: 3]], axis=-1).astype(np.float64)
        return np.asarray(places / _STEPS)

    def unpack(self, record: Records) -> PlacedWords:
        """The placed words of one record (L,)."""
        height, width = (int(side) for side in record[:_HEAD])
        entries = record[_HEAD:].reshape(-1, 3).astype(np.int64)
        entries = entries[entries[:, 0] > 0]
        return words_at_points(entries[:, 0] - 1, entries[:, 1:] / _STEPS, (height, width))


def bags_of_records(layout: WordLayout, records: Records, spread: float | None = None) -> WordBags:
    """The bag of all words of each record, as `jaxret.visual_words.bags_of_words` makes them of unpacked ones, at once.

    Args:
      layout: of the records.
      records: (N, L).
      spread: let words count by `jaxret.visual_words.centre_prior` with this spread; None: every word counts 1.

    Example:
      >>> layout = MapLayout(3, stride=32, height=64, width=64)
      >>> records = np.stack([layout.pack(np.array([[2, 0], [2, 2]]), (64, 64))])
      >>> bags_of_records(layout, records).dense().tolist()
      [[1.0, 0.0, 3.0]]
    """
    words = layout.words(records)  # sorted as they are stored: of 16 bits that takes a tenth of the time
    weights = None
    if spread is not None:
        weights = centre_prior(layout.points(records), records[:, :_HEAD], spread=spread)
        order = np.argsort(words, axis=1, kind="stable")
        words, weights = np.take_along_axis(words, order, axis=1), np.take_along_axis(weights, order, axis=1)
    else:
        words = np.sort(words, axis=1)
    # Runs of one word in one row are the entries of its bag.
    begins = begins_of_runs(words)
    starts = np.flatnonzero(begins)
    amounts = np.where(words > 0, 1.0 if weights is None else weights, 0.0).reshape(-1)
    counts = np.add.reduceat(amounts, starts) if len(starts) else np.zeros(0)
    offsets = np.concatenate([[0], begins.sum(axis=1).cumsum()]).astype(np.int64)
    found = words.reshape(-1)[starts].astype(np.int32) - 1
    some = counts > 0  # a weight may underflow
    if not some.all():
        kept = np.concatenate([[0], some.cumsum()])
        offsets, found, counts = kept[offsets], found[some], counts[some]
    return WordBags(layout.n_words, offsets, found, counts)
