"""The bucket tables of a `HammingIndex`: how codes are cut into substrings, built, and searched."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jaxret.rank._multi_index import MAX_SUBSTRING_BITS, Tables
from jaxret.rank.validation import CodeMatrix


def substring_bounds(code_bits: int, size: int) -> NDArray[np.int64]:
    """The first bit of each substring, and the number of bits behind the last: int64 (tables + 1,).

    A substring has about log2(size) bits, so that a bucket holds about one code (Norouzi et al., 2014, section 3.3).

    >>> substring_bounds(64, 10_000_000)
    array([ 0, 21, 42, 64])
    """
    wanted = min(max(math.log2(max(size, 2)), 8.0), float(MAX_SUBSTRING_BITS))
    tables = max(round(code_bits / wanted), math.ceil(code_bits / MAX_SUBSTRING_BITS))
    return np.array([code_bits * table // tables for table in range(tables + 1)], np.int64)


def table_starts(bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each table begins among the bucket offsets, and their number: int64 (tables + 1,)."""
    return np.concatenate([[0], np.cumsum((1 << np.diff(bounds)) + 1)]).astype(np.int64)


@dataclass(frozen=True)
class SubstringTables:
    """For each substring of the codes, the ids of the codes that have each of its values.

    Attributes:
        codes: uint8 (N, bytes), the codes that the tables cover.
        bounds: int64 (tables + 1,), see `substring_bounds`.
        offsets: uint32, per table 2^bits + 1 bucket borders.
        ids: uint32 (tables, N), ascending within a bucket.
    """

    codes: CodeMatrix
    bounds: NDArray[np.int64]
    offsets: NDArray[np.uint32]
    ids: NDArray[np.uint32]
    _tables: Tables = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tables = Tables(self.codes, self.bounds, table_starts(self.bounds), self.offsets, self.ids)
        object.__setattr__(self, "_tables", tables)

    @classmethod
    def build(cls, codes: CodeMatrix, threads: int) -> SubstringTables:
        """Sorts the codes by every substring; takes about 4 bytes a code and table, and 4 a bucket."""
        bounds = substring_bounds(8 * codes.shape[1], len(codes))
        offsets = np.empty(int(table_starts(bounds)[-1]), np.uint32)
        ids = np.empty((len(bounds) - 1, len(codes)), np.uint32)
        tables = cls(codes, bounds, offsets, ids)
        tables._tables.build(offsets, ids, threads)
        return tables
