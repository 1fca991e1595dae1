"""What the two ways to search codes cost, a scan and hash tables, so that `HammingIndex` takes the cheaper one.

Costs are counted, not timed: the same search of the same codes always goes the same way. The nanoseconds below are
those of one core of an AMD EPYC with AVX-512 (`benchmarks/speed_code_search.py`); only their ratios matter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLED_CODES", "SCANNED_WORDS", "call_cost", "scan_cost", "table_costs", "units_worth"]

SCANNED_WORDS = 1 << 15
"""8-byte words of all codes together, up to which a scan takes a few microseconds and no table can be quicker."""
SAMPLED_CODES = 16
"""Codes that are searched for in the tables to see what they cost."""

_COMPARED_WORD = 0.06  # ns, of each query
_LOADED_WORD = 0.12  # ns, of each pass over the codes: a call makes one for all its queries
_NEAR_UNIT, _FAR_UNIT = 10.0, 20.0  # ns of a bucket or a code looked up, in a cache and in memory
_CALL = 10_000.0  # ns, to put together what tables find
_CACHE_BYTES = 32 << 20


def scan_cost(codes: int, code_bytes: int, queries: int) -> float:
    """Nanoseconds of a scan for each of `queries` queries.

    >>> round(scan_cost(1_000_000, 64, queries=1)), round(scan_cost(1_000_000, 64, queries=64))
    (1440000, 495000)
    """
    return codes * -(-code_bytes // 8) * (_COMPARED_WORD + _LOADED_WORD / queries)


def call_cost(queries: int) -> float:
    """Nanoseconds that a call of tables takes more than a scan's whatever the codes, for each of `queries` queries.

    >>> call_cost(queries=5)
    2000.0
    """
    return _CALL / queries


def units_worth(nanoseconds: float, codes: int, code_bytes: int, tables: int) -> int:
    """How many buckets and codes can be looked up in tables within that time, at least 1."""
    return max(int(nanoseconds / _unit(codes, code_bytes, tables)), 1)


def table_costs(
    reached: NDArray[np.float32], compared: NDArray[np.int64], bounds: NDArray[np.int64], codes: int, code_bytes: int
) -> NDArray[np.float64]:
    """Nanoseconds of queries that tables have answered.

    Args:
        reached: float32 (Q,), the distance up to which all codes were wanted: the radius, or that of the k-th result.
        compared: int64 (Q,), codes compared for each.
        bounds: of the substrings, see `substring_bounds`.
        codes: in the tables.
        code_bytes: bytes of a code.
    """
    probed = np.array([_probes(bounds, int(distance)) for distance in reached], np.float64)
    return (probed + compared) * _unit(codes, code_bytes, len(bounds) - 1)


def _unit(codes: int, code_bytes: int, tables: int) -> float:
    return _NEAR_UNIT if codes * (code_bytes + 4 * tables) <= _CACHE_BYTES else _FAR_UNIT


def _probes(bounds: NDArray[np.int64], distance: int) -> int:
    """Buckets looked into until no code nearer than `distance` can be left: one table after another, then further.

    >>> _probes(np.array([0, 8, 16]), 0), _probes(np.array([0, 8, 16]), 2)
    (1, 10)
    """
    widths = np.diff(bounds).tolist()
    return sum(math.comb(widths[step % len(widths)], step // len(widths)) for step in range(distance + 1))
