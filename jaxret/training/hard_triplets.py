"""Which samples are the hardest: by the farthest positive and the nearest negative of a whole training set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["hardest_distances"]


def hardest_distances(
    embeddings: npt.NDArray[np.float32], labels: npt.ArrayLike, *, block: int = 1024
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Squared Euclidean distances of each sample to its farthest positive and to its nearest negative.

    All pairs are measured, `block` rows by `block` rows, so that memory does not grow with their number: a
    memory-mapped file of embeddings of any length will do.

    Args:
      embeddings: float (N, D); a row that is not finite is no sample and takes no part.
      labels: int (N,), the classes.
      block: rows compared at once, at least 1.

    Returns:
      Float64 (N,), the farthest of the same class but the sample itself, NaN where there is none; and float64 (N,), the
      nearest of another class, likewise. Of what is no sample both are NaN.

    Raises:
      ValueError: the shapes do not agree, or block is below 1.

    Example:
      >>> points = np.array([[0.0], [1.0], [3.0], [7.0]], np.float32)
      >>> farthest, nearest = hardest_distances(points, [0, 0, 0, 1])
      >>> farthest.tolist(), nearest.tolist()
      ([9.0, 4.0, 9.0, nan], [49.0, 36.0, 16.0, 16.0])
    """
    classes = np.asarray(labels)
    if embeddings.ndim != 2 or classes.shape != embeddings.shape[:1]:
        raise ValueError(f"embeddings must be (N, D) and labels (N,), got {embeddings.shape} and {classes.shape}")
    if block < 1:
        raise ValueError(f"block must be at least 1 row, got {block!r}")
    count = len(embeddings)
    farthest, nearest = np.full(count, -np.inf), np.full(count, np.inf)
    blocks = [slice(start, start + block) for start in range(0, count, block)]
    for rows in blocks:
        ours = embeddings[rows].astype(np.float64)
        indices = np.arange(count)[rows]
        for columns in blocks:
            distances = _squared_distances(ours, embeddings[columns].astype(np.float64))
            known = np.isfinite(distances)
            same = classes[rows, None] == classes[None, columns]
            positive = known & same & (indices[:, None] != np.arange(count)[None, columns])
            farthest[rows] = np.maximum(farthest[rows], np.where(positive, distances, -np.inf).max(axis=1))
            nearest[rows] = np.minimum(nearest[rows], np.where(known & ~same, distances, np.inf).min(axis=1))
    return np.where(np.isfinite(farthest), farthest, np.nan), np.where(np.isfinite(nearest), nearest, np.nan)


def _squared_distances(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore", over="ignore"):  # rows that are no samples
        squares = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1)[None, :]
        return np.maximum(squares - 2 * ours @ theirs.T, 0)
