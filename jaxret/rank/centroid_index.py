"""`CentroidIndex`: nearest vectors by looking only into the cells whose centres are near, an inverted file."""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.errors import IndexFormatError
from jaxret.rank.cell_rows import CellRows
from jaxret.rank.index_files import IndexFormat
from jaxret.rank.search_result import IndexedResult, merge_results
from jaxret.rank.threads import check_threads, worthwhile_threads
from jaxret.rank.topk import euclidean_topk
from jaxret.rank.validation import (
    FloatMatrix,
    as_float32_matrix,
    check_count,
    check_finite,
    check_float_matrix,
    check_k,
    check_same_width,
    check_seed,
    to_float32,
)

_FORMAT = IndexFormat(
    "jaxret centroid index",
    "a centroid index",
    {"centroids": "float32", "cell_offsets": "int64", "ids": "int64", "vectors": "float32"},
)
_BLOCK_ROWS = 8192  # vectors converted and assigned at once
_MAX_RESULTS = 1 << 22  # of single cells, held at once: queries go in groups below this
SAMPLE_A_CELL = 64
"""Vectors that k-means sees."""


class CentroidIndex:
    """An approximate index of vectors: every vector lies in the cell of its nearest centroid (Sivic and Zisserman 2003;
    Jegou, Douze and Schmid 2011, without their product quantisation).

    A search compares the query with all centroids and then, exactly, with the vectors in the `probes` nearest cells.
    What it finds has the distances and the order of `euclidean_topk`; a neighbour in another cell is missed. With all
    cells probed the results are those of `euclidean_topk`, bit for bit. Vectors that cluster need few probes; how many
    is found by measuring (`benchmarks/speed_centroid_search.py`).

    The index keeps a float32 copy of the vectors, cell by cell. Centroids stay as they are when vectors are added: fit
    anew when the gallery has become a different one. Additions lie in parts of their own, which are joined as they
    grow; the results do not depend on that. One thread may search or add at a time.

    >>> index = CentroidIndex(np.array([[0.0, 0.0], [9.0, 0.0]]))
    >>> index.add(np.array([[9.0, 1.0], [0.0, 2.0], [4.0, 0.0]]))
    >>> found = index.topk(np.array([5.0, 0.0]), 2, probes=1)
    >>> found.ids, found.candidates
    (array([[ 0, -1]]), array([1]))
    """

    def __init__(self, centroids: ArrayLike):
        """An empty index with these centroids, (C, D), any float dtype, finite; see also `fit`."""
        self._centroids = np.array(as_float32_matrix(centroids, "centroids"))
        self._centroids.flags.writeable = False
        self._parts: list[CellRows] = []
        self._size = 0
        self._sizes = np.zeros(len(self._centroids), np.int64)

    @classmethod
    def fit(cls, vectors: ArrayLike, cells: int | None = None, *, seed: int = 0) -> CentroidIndex:
        """An empty index with centroids by k-means (scikit-learn's KMeans) of a sample; `add` comes next.

        Args:
            vectors: (N, D), any float dtype, such as the gallery; may be memory-mapped. At most 64 a cell are read.
            cells: C, in [1, N]; None for `default_cells(N)`.
            seed: of the sample and of k-means.

        Raises:
            TypeError: the dtype is not a float; cells or seed is no integer.
            ValueError: the shape is no matrix, a sampled number is not finite, cells is out of range, or the seed is
                negative.
        """
        matrix = check_float_matrix(vectors, "vectors")
        size = len(matrix)
        count = default_cells(size) if cells is None else check_count(cells, "cells")
        if count > size:
            raise ValueError(f"cells must be at most the {size} vectors, got {count}")
        rng = np.random.default_rng(check_seed(seed))
        chosen = np.sort(rng.choice(size, min(size, SAMPLE_A_CELL * count), replace=False))
        sample = as_float32_matrix(matrix[chosen], "vectors")
        from sklearn.cluster import KMeans  # slow to import; a search does not need it

        # Measured: mini-batches take longer to reach cells as even, k-means++ ten times as long, and more rounds give
        # no better ones.
        means = KMeans(count, init="random", n_init=1, max_iter=10, random_state=int(rng.integers(2**31)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Number of distinct clusters")  # equal vectors make empty cells
            return cls(means.fit(sample).cluster_centers_)

    @classmethod
    def of_cells(
        cls, centroids: ArrayLike, offsets: NDArray[np.int64], ids: NDArray[np.int64], vectors: FloatMatrix
    ) -> CentroidIndex:
        """An index of vectors that lie cell by cell already, such as memory-mapped ones; none is copied.

        Args:
            centroids: (C, D), any float dtype.
            offsets: int64 (C + 1,): cell c holds the rows `offsets[c]:offsets[c + 1]` of `ids` and `vectors`.
            ids: int64 (N,), each of 0 .. N-1 once, ascending within a cell. They are not read here.
            vectors: float32 (N, D), C-ordered. They are not read here: a search refuses those that are not finite.

        Raises:
            TypeError, ValueError: the centroids are no matrix of finite floats, or the shapes or offsets do not fit.
        """
        index = cls(centroids)
        if offsets.shape != (index.cells + 1,) or offsets[0] != 0 or (np.diff(offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 over {index.cells} cells, got shape {offsets.shape}")
        if ids.shape != (offsets[-1],) or vectors.shape != (len(ids), index.centroids.shape[1]):
            raise ValueError(
                f"ids and vectors must be those of {offsets[-1]} rows of dimension {index.centroids.shape[1]}, got "
                f"shapes {ids.shape} and {vectors.shape}"
            )
        index._parts = [CellRows(vectors, ids, offsets)] if len(ids) else []
        index._size = len(ids)
        index._sizes = np.diff(offsets)
        return index

    @classmethod
    def joined(cls, indexes: Sequence[CentroidIndex]) -> CentroidIndex:
        """The vectors of several indexes around the same centroids as one index, without a copy of any.

        Args:
            indexes: at least one. Ids of the second follow those of the first, and so on.

        Raises:
            ValueError: there is none, or their centroids differ.
        """
        if not indexes or not all(np.array_equal(indexes[0].centroids, index.centroids) for index in indexes[1:]):
            raise ValueError(f"indexes must be at least one, around the same centroids, got {len(indexes)}")
        joined = cls(indexes[0].centroids)
        for index in indexes:
            joined._parts += [dataclasses.replace(part, first=part.first + joined._size) for part in index._parts]
            joined._size += index._size
            joined._sizes += index._sizes
        return joined

    def __len__(self) -> int:
        """The number of vectors."""
        return self._size

    @property
    def cells(self) -> int:
        """C, the number of cells."""
        return len(self._centroids)

    @property
    def centroids(self) -> FloatMatrix:
        """float32 (C, D), read-only."""
        return self._centroids

    def cell_sizes(self) -> NDArray[np.int64]:
        """int64 (C,): how many vectors each cell holds."""
        return self._sizes.copy()

    def add(self, vectors: ArrayLike, *, threads: int | None = None) -> None:
        """Adds (M, D) vectors, or one of shape (D,), of any float dtype; their ids follow those already there.

        They are read twice, a block at a time, so they may be memory-mapped.

        Raises:
            TypeError: the dtype is not a float, or threads no integer.
            ValueError: the shape does not fit, or a number is not finite in float32. Nothing is added then.
        """
        matrix = check_float_matrix(vectors, "vectors", single=True)
        workers = check_threads(threads)
        if matrix.shape[1] != self._centroids.shape[1]:
            raise ValueError(f"vectors must have dimension {self._centroids.shape[1]}, got {matrix.shape[1]}")

        def blocks() -> Iterator[FloatMatrix]:
            for start in range(0, len(matrix), _BLOCK_ROWS):
                yield to_float32(matrix[start : start + _BLOCK_ROWS])

        labels = []
        for number, block in enumerate(blocks()):
            check_finite(block, "vectors", number * _BLOCK_ROWS)
            labels.append(euclidean_topk(block, self._centroids, 1, threads=workers).ids[:, 0])
        part = CellRows.grouped(blocks(), np.concatenate(labels), self._size, self.cells, matrix.shape[1])
        self._size += len(matrix)
        self._sizes += np.diff(part.offsets)
        # A part at least half as large as the one before joins it: few parts, and few copies of a vector in its life.
        while self._parts and 2 * len(part.ids) >= len(self._parts[-1].ids):
            part = self._parts.pop().with_later(part)
        self._parts.append(part)

    def topk(self, queries: ArrayLike, k: int, *, probes: int, threads: int | None = None) -> IndexedResult:
        """The k nearest vectors to each query among those in the `probes` cells with the nearest centroids.

        Args:
            queries: (Q, D) or (D,), any float dtype; computed in float32.
            k: in [1, len(self)].
            probes: in [1, cells]: more find more and take longer; all of them find what `euclidean_topk` finds.
            threads: None uses what affinity and container limits leave.

        Returns:
            ids (Q, k) and distances (Q, k) by (distance, id), filled up with id -1, distance inf where the cells hold
                fewer than k; `candidates`: how many vectors lie in the cells that were probed.

        Raises:
            TypeError, ValueError: as `euclidean_topk`; ValueError also where the index is empty or probes is out of
                range.
            IndexFormatError: a stored vector is damaged.
        """
        matrix = as_float32_matrix(queries, "queries", single=True)
        workers = check_threads(threads)
        if not self._size:
            raise ValueError("the index is empty: add vectors before searching")
        check_same_width(matrix, self._centroids)
        count = check_k(k, self._size)
        wanted = check_count(probes, "probes")
        if wanted > self.cells:
            raise ValueError(f"probes must be at most the {self.cells} cells, got {wanted}")
        probed = euclidean_topk(matrix, self._centroids, wanted, threads=workers).ids
        candidates = self._sizes[probed].sum(axis=1)
        workers = worthwhile_threads(workers, int(candidates.sum()) * matrix.shape[1] / 2e10)
        ids = np.empty((len(matrix), count), np.int64)
        distances = np.empty((len(matrix), count), np.float32)
        step = max(1, _MAX_RESULTS // (wanted * min(count, int(self._sizes.max()))))
        for start in range(0, len(matrix), step):
            some = slice(start, start + step)
            parts = [part.nearest_in_cells(matrix[some], probed[some], count, workers) for part in self._parts]
            found = parts[0] if len(parts) == 1 else merge_results(parts, count)
            ids[some], distances[some] = found.ids, found.distances
        return IndexedResult(ids, distances, candidates)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the index into `folder`, which must not exist: manifest.json and .npy files.

        It is written beside and renamed, so `folder` is either whole or absent.

        Raises:
            ValueError: the index is empty.
            FileExistsError: `folder` exists.
        """
        if not self._size:
            raise ValueError("an empty index cannot be saved")
        while len(self._parts) > 1:
            later = self._parts.pop()
            self._parts.append(self._parts.pop().with_later(later))
        (part,) = self._parts
        arrays: dict[str, NDArray[Any]] = {
            "centroids": self._centroids,
            "cell_offsets": part.offsets,
            "ids": part.ids,
            "vectors": part.vectors,
        }
        _FORMAT.write(Path(folder), arrays, {})

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, verify: bool = True) -> CentroidIndex:
        """Opens an index written by `save`; its vectors stay on disk, memory-mapped, until they are needed.

        Args:
            folder: what `save` was given.
            verify: read everything once and compare checksums. Without it, damage inside a file may go
                unnoticed or be an error at a search, but never a crash.

        Raises:
            IndexFormatError: it is no such folder, or a file is missing, truncated, edited or foreign.
        """
        folder = Path(folder)
        arrays, _ = _FORMAT.read(folder, verify)
        _check_arrays(folder, arrays, verify)
        return cls.of_cells(arrays["centroids"], arrays["cell_offsets"], arrays["ids"], arrays["vectors"])


def default_cells(size: int) -> int:
    """The cells for that many vectors: about the square root, so that centroids cost no more than a cell or two."""
    return max(1, math.isqrt(size))


def _check_arrays(folder: Path, arrays: dict[str, NDArray[Any]], verify: bool) -> None:
    """Refuses arrays that do not fit each other."""
    centroids, offsets, ids, vectors = (arrays[name] for name in _FORMAT.dtypes)
    if centroids.ndim != 2 or 0 in centroids.shape or not np.isfinite(centroids).all():
        raise IndexFormatError(f"{folder / 'centroids.npy'}: must be a matrix of finite numbers")
    shapes = offsets.shape, ids.shape, vectors.shape
    if not ids.size or shapes != ((len(centroids) + 1,), (len(ids),), (len(ids), centroids.shape[1])):
        raise IndexFormatError(f"{folder}: offsets, ids and vectors of shapes {shapes} do not fit the centroids")
    if offsets[0] != 0 or offsets[-1] != len(ids) or (np.diff(offsets) < 0).any():
        raise IndexFormatError(f"{folder / 'cell_offsets.npy'}: does not share out the {len(ids)} vectors")
    if verify and not np.array_equal(np.sort(ids), np.arange(len(ids))):
        raise IndexFormatError(f"{folder / 'ids.npy'}: does not hold every id once")
