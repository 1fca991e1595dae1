"""Many sequences of vectors in two arrays: prepared once, searched many times, memory-mapped from disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.errors import IndexFormatError
from jaxret.files import write_atomically
from jaxret.rank._dtw import Sequences
from jaxret.rank.sequence_validation import MOST_FRAMES, as_sequence_list, raise_unfit
from jaxret.rank.threads import check_threads, worthwhile_threads
from jaxret.rank.validation import as_array, check_float_matrix, to_float32

_VALUES, _OFFSETS = "values.npy", "offsets.npy"


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (T, D), float32, each scaled to length 1; one of zeros stays.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    # The largest number first: squares of float32 may overflow, or vanish.
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # of infinite numbers, which the search refuses
        scaled = vectors / np.where(largest > 0, largest, np.float32(1))
    lengths = np.sqrt(np.einsum("td,td->t", scaled, scaled))[:, None]
    return to_float32(scaled / np.where(lengths > 0, lengths, np.float32(1)))


class SequenceTable(Sequence[NDArray[np.float32]]):
    """Sequences (T_i, D), one after the other in `values`, with the places where they begin in `offsets`.

    It is itself a sequence of arrays: `len(table)`, `table[i]` (a view), iteration. The first search finds out
    the norms and means that pruning needs and keeps them; it reads all values once.

    Attributes:
        values: float32 (sum of T_i, D), C-contiguous; may be memory-mapped and larger than memory.
        offsets: int64 (N + 1): sequence i is `values[offsets[i]:offsets[i + 1]]`.

    >>> table = SequenceTable.from_sequences([np.zeros((3, 2)), np.ones((5, 2))])
    >>> len(table), table[1].shape, table.lengths.tolist()
    (2, (5, 2), [3, 5])
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def __init__(self, values: ArrayLike, offsets: ArrayLike):
        """Takes the arrays as they are; values of another dtype or layout are copied to float32.

        Args:
            values: (sum of T_i, D), any float dtype.
            offsets: integers (N + 1), rising from 0 to the number of rows.

        Raises:
            TypeError: a dtype is not a float, or not an integer.
            ValueError: a shape does not fit, or the offsets do not rise from 0 to the number of rows.
        """
        self.values = to_float32(check_float_matrix(values, "values"))
        places = as_array(offsets, "offsets")
        if places.dtype.kind not in "iu":
            raise TypeError(f"offsets must have an integer dtype, got {places.dtype}")
        if places.ndim != 1 or len(places) < 2:
            raise ValueError(f"offsets must have the shape (N + 1,) with N at least 1, got {places.shape}")
        rows = len(self.values)
        if places[0] != 0 or places[-1] != rows:
            raise ValueError(f"offsets must run from 0 to the {rows} rows of values, got {places[0]} to {places[-1]}")
        places = places.astype(np.int64)
        lengths = np.diff(places)
        if lengths.min() < 1 or lengths.max() > MOST_FRAMES:
            at = int(np.argmax((lengths < 1) | (lengths > MOST_FRAMES)))
            raise ValueError(f"sequence {at} must have 1 to {MOST_FRAMES} frames, got {lengths[at]}")
        self.offsets = places
        self.offsets.flags.writeable = False
        self._prepared: Sequences | None = None
        self._unit: SequenceTable | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_sequences(cls, sequences: Any) -> SequenceTable:
        """Copies a collection of (T_i, D) arrays of any float dtype into one table.

        Raises:
            TypeError, ValueError: as `dtw_topk` does for its gallery.
        """
        members = as_sequence_list(sequences, "sequences")
        return cls(np.concatenate(members), np.cumsum([0, *map(len, members)]))

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self.values.shape[1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 (N,): the number of frames of each sequence."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.float32]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return self.values[self.offsets[at] : self.offsets[at + 1]]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[i] for i in range(len(self)))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes `values.npy` and `offsets.npy` into `folder`, which is made if need be; each file appears whole."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name, array in ((_VALUES, self.values), (_OFFSETS, self.offsets)):
            with write_atomically(path / name) as partial:
                np.save(partial, array, allow_pickle=False)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, mmap: bool = True) -> SequenceTable:
        """The table that `save` wrote; with `mmap` its values stay on disk and are read as a search needs them.

        Raises:
            FileNotFoundError: a file is missing.
            IndexFormatError: a file is truncated, or not what `save` writes.
        """
        path = Path(folder)
        try:
            values = np.load(path / _VALUES, mmap_mode="r" if mmap else None, allow_pickle=False)
            offsets = np.load(path / _OFFSETS, allow_pickle=False)
            if values.dtype != np.float32 or not values.flags.c_contiguous:
                raise ValueError(f"values must be float32 in C order, got {values.dtype}")
            return cls(values, offsets)
        except (ValueError, TypeError, EOFError) as error:
            raise IndexFormatError(f"{path} holds no sequence table: {error}") from error

    def prepare(self, *, threads: int | None = None) -> SequenceTable:
        """Does now what the first search would do: norms and means of all sequences. Returns the table itself.

        Raises:
            ValueError: a value is NaN, infinite, or too large for distances in float32.
        """
        self.kernel_view(check_threads(threads))
        return self

    def unit_vectors(self) -> SequenceTable:
        """The same sequences with every vector scaled to length 1; made once and kept, a copy of all values."""
        with self._lock:
            if self._unit is None:
                self._unit = SequenceTable(unit_rows(self.values), self.offsets)
            return self._unit

    def kernel_view(self, threads: int) -> Sequences:
        """The table as the kernels read it, prepared by `threads` threads if it has not been yet."""
        with self._lock:
            if self._prepared is None:
                sequences = Sequences.of_table(self.values, self.offsets)
                bad = sequences.prepare(True, worthwhile_threads(threads, self.values.size / 1e9))
                if bad >= 0:
                    raise_unfit(self[bad], f"sequence {bad} of the table")
                self._prepared = sequences
            return self._prepared
