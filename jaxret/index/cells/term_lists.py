"""Lists of the rows that hold each term of a space of records, such as visual words, as files beside the rows.

A search reads the lists of its own terms and no others (Sivic and Zisserman, "Video Google", ICCV 2003).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.errors import IndexFormatError
from jaxret.index.array_file import ArrayEntry, write_array

__all__ = ["TermLists", "Terms", "begins_of_runs", "lists_of_files", "problems_of_lists", "write_lists"]

_BLOCK_ROWS = 1 << 13
"""Rows that are read at once, so that no whole segment is ever in memory; its lists are."""
_ENTRIES = 1 << 22
"""Entries of lists that a search reads at once, or a list more."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """Which numbers of a record are terms: every `step`-th from number `first` on. 0 is none, others count from 1.

    Attributes:
      count: W, of different terms.
      first, step: of the places in a record.

    Raises:
      ValueError: a number is out of range.
    """

    count: int
    first: int = 0
    step: int = 1

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("first", 0), ("step", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"{name} of terms must be a whole number of at least {least}, got {value!r}")

    def of(self, records: NDArray[Any]) -> NDArray[Any]:
        """The terms (N, P) of records (N, L)."""
        return records[:, self.first :: self.step]


def begins_of_runs(terms: NDArray[Any]) -> NDArray[np.bool_]:
    """Where in rows of sorted terms (N, P) each term that is there stands first."""
    begins = terms > 0
    begins[:, 1:] &= terms[:, 1:] != terms[:, :-1]
    return begins


def write_lists(folder: Path, place: str, stem: str, records: NDArray[Any], terms: Terms) -> dict[str, ArrayEntry]:
    """Write the four files of the lists of some records.

    Args:
      folder: where they are written.
      place: the folder's path within the index.
      stem: what their names begin with.
      records: whole numbers (N, L); may be memory-mapped.
      terms: of them.

    Raises:
      ValueError: a term is above `terms.count`.
    """
    sizes, lengths = np.zeros(terms.count, np.int64), np.empty(len(records))
    for start, rows, held, counts in _entries(records, terms):
        if len(held) and held.max() >= terms.count:
            raise ValueError(f"term {held.max() + 1} is above the {terms.count} that there are")
        sizes += np.bincount(held, minlength=terms.count)
        squares = np.bincount(rows - start, counts.astype(np.float64) ** 2, minlength=_BLOCK_ROWS)
        lengths[start : start + _BLOCK_ROWS] = np.sqrt(squares[: len(lengths) - start])
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    all_rows = np.empty(offsets[-1], np.int32)
    all_counts = np.empty(offsets[-1], "uint16" if terms.of(records[:1]).shape[1] < 2**16 else "uint32")
    free = offsets[:-1].copy()
    for _, rows, held, counts in _entries(records, terms):
        order = np.argsort(held, kind="stable")
        sizes = np.bincount(held, minlength=terms.count)
        within = np.arange(len(held)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        places = free[held[order]] + within
        all_rows[places], all_counts[places] = rows[order], counts[order]
        free += sizes
    arrays = {"offsets": offsets, "rows": all_rows, "counts": all_counts, "lengths": lengths}
    return {
        name: write_array(
            folder / f"{stem}.{name}.npy", f"{place}/{stem}.{name}.npy", [array], array.dtype.name, array.shape
        )
        for name, array in arrays.items()
    }


def _entries(
    records: NDArray[Any], terms: Terms
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Of blocks of rows the first row, and of each term in each row the row, the term from 0 and how often it is."""
    for start in range(0, len(records), _BLOCK_ROWS):
        block = np.sort(terms.of(np.asarray(records[start : start + _BLOCK_ROWS])), axis=1)
        begins = np.flatnonzero(begins_of_runs(block))
        there = np.add.reduceat((block > 0).reshape(-1), begins, dtype=np.int64) if len(begins) else begins
        yield start, start + begins // max(block.shape[1], 1), block.reshape(-1)[begins].astype(np.int64) - 1, there


@dataclasses.dataclass(frozen=True, eq=False)
class TermLists:
    """The lists of a segment, memory-mapped: of each term the rows that hold it, ascending, and how often.

    Attributes:
      offsets: int64 (W + 1,). rows: int32 (M,). counts: (M,). lengths: float64 (N,), of each row's histogram.
      file: for messages.
    """

    offsets: NDArray[np.int64]
    rows: NDArray[Any]
    counts: NDArray[Any]
    lengths: NDArray[np.float64]
    file: Path

    def products(self, terms: NDArray[np.integer], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The product of each row's histogram with one whose `terms` have these weights; float64 (N,).

        Raises:
          IndexFormatError: a list names a row that is not there.
        """
        from scipy.sparse import csc_array  # slow to import; an index of vectors does without it

        found = np.zeros(len(self.lengths))
        ends = np.cumsum(self.offsets[terms + 1] - self.offsets[terms])
        for group in np.split(np.arange(len(terms)), np.flatnonzero(np.diff(ends // _ENTRIES)) + 1):
            parts = [slice(*self.offsets[term : term + 2]) for term in terms[group].tolist()]
            if not parts:
                continue
            rows = np.concatenate([self.rows[part] for part in parts])
            counts = np.concatenate([self.counts[part] for part in parts]).astype(np.float64)
            if len(rows) and not 0 <= rows.min() <= rows.max() < len(found):
                raise IndexFormatError(f"{self.file}: the lists name rows that are not there; `verify()` checks all")
            sizes = np.cumsum([0, *(part.stop - part.start for part in parts)]).astype(np.int32)
            # SciPy's product adds along lists several times as fast as NumPy, and trusts the rows.
            found += csc_array((counts, rows, sizes), shape=(len(found), len(parts))) @ weights[group]
        return found

    def weighted_lengths(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The length of each row's histogram whose terms count times `weights` (W,); every list is read."""
        squares = np.zeros(len(self.lengths))
        for term in np.flatnonzero(weights).tolist():
            part = slice(self.offsets[term], self.offsets[term + 1])
            squares[self.rows[part]] += (weights[term] * self.counts[part]) ** 2
        return np.sqrt(squares)


def lists_of_files(terms: Terms, arrays: Mapping[str, NDArray[Any]], file: Path) -> TermLists:
    """The lists of a segment, as `write_lists` wrote them; nothing but the offsets is read.

    Raises:
      IndexFormatError: the offsets do not share out the rows.
    """
    offsets = np.asarray(arrays["offsets"])
    fits = len(offsets) == terms.count + 1 and offsets[0] == 0 and offsets[-1] == len(arrays["rows"])
    if not fits or (np.diff(offsets) < 0).any():
        raise IndexFormatError(f"{file}: the lists of {terms.count} terms do not share out their rows")
    return TermLists(offsets, arrays["rows"], arrays["counts"], arrays["lengths"], file)


def problems_of_lists(records: NDArray[Any], terms: Terms, arrays: Mapping[str, NDArray[Any]], file: Path) -> list[str]:
    """What a full check of a segment's lists finds wrong, one line each."""
    try:
        lists = lists_of_files(terms, arrays, file)
    except IndexFormatError as error:
        return [str(error)]
    if len(lists.rows) and not 0 <= lists.rows.min() <= lists.rows.max() < len(records):
        return [f"{file}: the lists name rows that are not there"]
    held = np.repeat(np.arange(terms.count), np.diff(lists.offsets))
    order = np.lexsort((held, lists.rows))
    at = 0
    for _, rows, own, counts in _entries(records, terms):
        part = order[at : at + len(rows)]
        at += len(rows)
        same = (lists.rows[part], rows), (held[part], own), (lists.counts[part], counts)
        if not all(np.array_equal(*pair) for pair in same):
            return [f"{file}: the lists are not those of the records"]
    return [] if at == len(order) else [f"{file}: the lists are not those of the records"]
