"""The cells of one segment's vectors as files: offsets of the cells, the rows in each, and a copy of their vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.errors import IndexFormatError
from jaxret.index.array_file import ArrayEntry, write_array
from jaxret.rank import CentroidIndex, euclidean_topk
from jaxret.rank.validation import FloatMatrix, to_float32

__all__ = ["cells_of_files", "problems_of_cells", "write_cells"]

_BLOCK_ROWS = 1 << 14
"""Rows that are assigned, or copied, at once, so that no whole segment is ever in memory."""


def write_cells(
    folder: Path, place: str, stem: str, vectors: NDArray[Any], centroids: FloatMatrix
) -> dict[str, ArrayEntry]:
    """Write the three files of the cells of some vectors.

    Args:
      folder: where they are written.
      place: the folder's path within the index.
      stem: what their names begin with.
      vectors: floats (N, D), finite; may be memory-mapped.
      centroids: float32 (C, D).

    Raises:
      ValueError: a vector is not finite.
    """
    labels = np.empty(len(vectors), np.int64)
    for block in _blocks(len(vectors)):
        labels[block] = euclidean_topk(to_float32(vectors[block]), centroids, 1).ids[:, 0]
    rows = np.argsort(labels, kind="stable")  # ascending in each cell
    sizes = np.bincount(labels, minlength=len(centroids))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    copied = (to_float32(vectors[rows[block]]) for block in _blocks(len(rows)))
    of_name: dict[str, tuple[Iterable[NDArray[Any]], str, tuple[int, ...]]] = {
        "offsets": ([offsets], "int64", offsets.shape),
        "rows": ([rows], "int64", rows.shape),
        "vectors": (copied, "float32", vectors.shape),
    }
    return {
        name: write_array(folder / f"{stem}.{name}.npy", f"{place}/{stem}.{name}.npy", *array)
        for name, array in of_name.items()
    }


def cells_of_files(centroids: FloatMatrix, arrays: Mapping[str, NDArray[Any]], file: Path) -> CentroidIndex:
    """The cells of a segment, as `write_cells` wrote them; nothing but the offsets is read.

    Args:
      centroids: of the space, float32 (C, D).
      arrays: offsets, rows and vectors, of shapes that fit each other and the centroids.
      file: for messages.

    Raises:
      IndexFormatError: the offsets do not share out the rows.
    """
    try:
        return CentroidIndex.of_cells(centroids, arrays["offsets"], arrays["rows"], arrays["vectors"])
    except ValueError as error:
        raise IndexFormatError(f"{file}: {error}") from error


def problems_of_cells(vectors: NDArray[Any], arrays: Mapping[str, NDArray[Any]], file: Path) -> list[str]:
    """What a full check of a segment's cells finds wrong, one line each.

    Args:
      vectors: of the segment, floats (N, D).
      arrays: offsets, rows and vectors of its cells.
      file: for messages.
    """
    rows, copies = arrays["rows"], arrays["vectors"]
    if not np.array_equal(np.sort(rows), np.arange(len(vectors))):
        return [f"{file}: the cells do not hold every row once"]
    if not all(np.array_equal(copies[block], vectors[rows[block]]) for block in _blocks(len(rows))):
        return [f"{file}: the vectors of the cells are not those of the rows"]
    return []


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK_ROWS) for start in range(0, size, _BLOCK_ROWS))
