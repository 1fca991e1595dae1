"""Galleries that are easy to rank wrongly, and what to compare results with."""

from __future__ import annotations

import numpy as np

from jaxret import rank


def vectors(seed: int, size: int, dimensions: int, dtype: str = "f4") -> tuple[np.ndarray, np.ndarray]:
    """Queries and a gallery with equal rows, rows of zeros, a query of zeros, and queries that are in the gallery.

    Rows and queries of negative zeros, of subnormal numbers alone, near one another, and of these among others, too.
    """
    rng = np.random.default_rng(seed)
    gallery = rng.normal(size=(size, dimensions)).astype(dtype)
    gallery[::9] = gallery[0]
    gallery[3::50] = 0
    queries = rng.normal(size=(11, dimensions)).astype(dtype)
    queries[0] = 0
    queries[1:4] = gallery[[0, 3, 5]]
    subnormal = 100 * np.finfo(dtype).smallest_subnormal  # 0 to what computes with normal numbers alone
    gallery[4::60], gallery[7::60] = -gallery[3], queries[4] * subnormal
    gallery[8::60, 1::2] *= subnormal
    queries[6], queries[7], queries[8] = queries[4] * subnormal, gallery[8], gallery[4]
    return queries, gallery


def codes(seed: int, size: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries and a gallery of packed codes, a third of them equal."""
    rng = np.random.default_rng(seed)
    gallery = rng.integers(0, 256, (size, width), np.uint8)
    gallery[::3] = gallery[0]
    return gallery[:7] ^ np.uint8(1), gallery


def assert_equal(found: rank.SearchResult, expected: rank.SearchResult) -> None:
    """The same bits in ids, distances and, where there are some, cosines."""
    for name in vars(expected):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
