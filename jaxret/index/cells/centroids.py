"""The centroids of a space: fitted to a sample of all its rows."""

from __future__ import annotations

import numpy as np

from jaxret.errors import IndexFormatError
from jaxret.index.snapshot import Snapshot
from jaxret.rank import CentroidIndex
from jaxret.rank.centroid_index import SAMPLE_A_CELL, default_cells
from jaxret.rank.validation import FloatMatrix, check_count, check_seed, to_float32

__all__ = ["fit_centroids"]


def fit_centroids(now: Snapshot, space: str, cells: int | None, seed: int) -> FloatMatrix:
    """Centroids by k-means of a sample of a space's rows, float32 (C, D).

    Args:
      now: the index.
      space: one of vectors.
      cells: C; None for about the root of the number of rows.
      seed: of the sample and of k-means.

    Raises:
      TypeError, ValueError: cells or seed is no whole number or out of range, or there are fewer rows than cells.
      IndexFormatError: a vector is not finite.
    """
    check_seed(seed)
    parts = [(number, rows.vectors) for number, rows in now.segment_rows(space)]
    sizes = np.array([len(vectors) for _, vectors in parts], np.int64)
    size = int(sizes.sum())
    count = default_cells(size) if cells is None else check_count(cells, "cells")
    if count > size:
        raise ValueError(f"cells must be at most the {size} vectors of space {space!r}, got {count}")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(size, min(size, SAMPLE_A_CELL * count), replace=False))
    ends = np.cumsum(sizes)
    sample = [
        to_float32(vectors[chosen[(chosen >= end - len(vectors)) & (chosen < end)] - (end - len(vectors))])
        for end, (_, vectors) in zip(ends, parts, strict=True)
    ]
    try:
        return CentroidIndex.fit(np.concatenate(sample), count, seed=seed).centroids
    except ValueError as error:
        raise IndexFormatError(f"{now.root}: space {space!r}: {error}; `verify()` checks all") from error
