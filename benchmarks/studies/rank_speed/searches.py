"""Our searches and those of peers over the same items: each gives the distances of the k nearest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.rank import HammingIndex, SequenceTable, cosine_topk, dtw_topk, euclidean_topk, hamming_topk, par

__all__ = ["OURS", "PACKAGES", "PEERS", "SEQUENCE_DIMENSIONS", "Items"]

PACKAGES = ("faiss-cpu", "usearch", "scikit-learn", "dtaidistance", "aeon", "tslearn")
SEQUENCE_DIMENSIONS = 64
MIN_COSINE = 0.1


class Items:
    """A gallery, and what a search makes of it once.

    Args:
      kernel: see `Cell`.
      count: N.
      width: bits of codes, dimensions of normal vectors, frames of normal sequences. Codes are uniform, or with
        "index-clustered" around centres for each hundred of them, every bit turned with probability 4 %.

    Attributes:
      array: uint8 (N, bits / 8), float32 (N, D) or (N, T, 64).
    """

    def __init__(self, kernel: str, count: int, width: int) -> None:
        self.kernel, self.width = kernel, width
        self.centres = np.random.default_rng(0).integers(0, 256, (max(count // 100, 1), max(width // 8, 1)), np.uint8)
        self.array = self._random(np.random.default_rng(1), count)

    def queries(self, count: int) -> NDArray[Any]:
        """As many queries, like the items."""
        return self._random(np.random.default_rng(2), count)

    def _random(self, rng: np.random.Generator, count: int) -> NDArray[Any]:
        if self.kernel in ("hamming", "index-uniform"):
            return rng.integers(0, 256, (count, self.width // 8), np.uint8)
        if self.kernel == "index-clustered":
            turned = np.packbits(rng.random((count, self.width), np.float32) < 0.04, axis=1)
            return self.centres[rng.integers(0, len(self.centres), count)] ^ turned
        shape = (self.width, SEQUENCE_DIMENSIONS) if self.kernel == "dtw" else (self.width,)
        return rng.standard_normal((count, *shape), np.float32)

    @cached_property
    def hash_tables(self) -> HammingIndex:
        """The codes in hash tables."""
        index = HammingIndex(self.width // 8)
        index.add(self.array)
        return index

    @cached_property
    def unit(self) -> NDArray[Any]:
        """The vectors at length 1."""
        return unit(self.array)

    @cached_property
    def squares(self) -> NDArray[Any]:
        """The vectors' squared lengths."""
        return np.einsum("nd,nd->n", self.array, self.array)

    @cached_property
    def table(self) -> SequenceTable:
        """The sequences, prepared."""
        return SequenceTable.from_sequences(self.array).prepare()

    @cached_property
    def doubles(self) -> NDArray[Any]:
        """The sequences in the precision that peers take."""
        return self.array.astype(np.float64)

    @cached_property
    def faiss_index(self) -> Any:
        """The exact index of the kernel's kind."""
        import faiss

        if self.kernel == "hamming":
            index = faiss.IndexBinaryFlat(self.width)
        else:
            index = (faiss.IndexFlatIP if self.kernel == "cosine" else faiss.IndexFlatL2)(self.width)
        index.add(self.unit if self.kernel == "cosine" else self.array)
        return index

    @cached_property
    def sklearn_neighbours(self) -> Any:
        """Its search by brute force, the vectors checked and kept."""
        from sklearn.neighbors import NearestNeighbors

        return NearestNeighbors(algorithm="brute", metric=self.kernel).fit(self.array)


Search = Callable[[NDArray[Any], Items, int, int], NDArray[Any]]
"""(queries, items, k, threads) to distances (Q, k)."""


def scan(queries: NDArray[Any], items: Items, k: int, threads: int) -> NDArray[Any]:
    """Our search of all codes; for the hash tables it is the peer."""
    return hamming_topk(queries, items.array, k, threads=threads).distances


def look_up(queries: NDArray[Any], items: Items, k: int, threads: int) -> NDArray[Any]:
    """Our search of hash tables, where it finds that they pay."""
    return items.hash_tables.topk(queries, k, threads=threads).distances


OURS: Mapping[str, Search] = {
    "hamming": scan,
    "index-uniform": look_up,
    "index-clustered": look_up,
    "euclidean": lambda queries, items, k, threads: euclidean_topk(queries, items.array, k, threads=threads).distances,
    "cosine": lambda queries, items, k, threads: cosine_topk(queries, items.array, k, threads=threads).distances,
    "par": lambda queries, items, k, threads: par(queries, items.array, k, MIN_COSINE, threads=threads).distances,
    "dtw": lambda queries, items, k, threads: (
        dtw_topk(queries, items.table, k, reverse=None, threads=threads).distances
    ),
}


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors at length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def smallest(values: NDArray[Any], k: int) -> NDArray[Any]:
    """The k smallest of each row, sorted."""
    return np.sort(np.partition(values, k - 1, axis=1)[:, :k], axis=1)


def faiss_search(queries: NDArray[Any], items: Items, k: int, threads: int) -> NDArray[Any]:
    """IndexBinaryFlat, IndexFlatL2 or, over unit vectors, IndexFlatIP; PAR from the vectors that it finds."""
    import faiss

    faiss.omp_set_num_threads(threads)
    if items.kernel == "cosine":
        return 1 - items.faiss_index.search(unit(queries), k)[0]
    found, ids = items.faiss_index.search(queries, k)
    if items.kernel == "hamming":
        return found
    distances = np.sqrt(np.maximum(found, 0))
    if items.kernel == "par":
        near = items.array[ids]
        cosines = np.einsum("qd,qkd->qk", queries, near)
        cosines /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(near, axis=2)
        distances = np.sort(np.where(cosines > MIN_COSINE, distances, np.inf), axis=1)
    return distances


def usearch_search(queries: NDArray[Any], items: Items, k: int, threads: int) -> NDArray[Any]:
    """Its exact search."""
    from usearch.index import MetricKind, search

    kind = {"hamming": MetricKind.Hamming, "euclidean": MetricKind.L2sq, "cosine": MetricKind.Cos}[items.kernel]
    found = search(items.array, queries, k, kind, exact=True, threads=threads)
    distances = np.asarray(found.distances).reshape(len(queries), k)
    return np.sqrt(distances) if items.kernel == "euclidean" else distances


def numpy_search(queries: NDArray[Any], items: Items, k: int, threads: int) -> NDArray[Any]:
    """A matrix product, a partition and a sort, which give the ids, too."""
    if items.kernel == "cosine":
        return 1 + nearest(-(unit(queries) @ items.unit.T), k)[1]
    squares = np.einsum("qd,qd->q", queries, queries)[:, None] - 2 * (queries @ items.array.T) + items.squares
    return np.sqrt(np.maximum(nearest(squares, k)[1], 0))


def nearest(values: NDArray[Any], k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the k smallest of each row stand, and they, both sorted."""
    places = np.argpartition(values, k - 1, axis=1)[:, :k]
    near = np.take_along_axis(values, places, axis=1)
    order = np.argsort(near, axis=1)
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(near, order, axis=1)


def sklearn_search(queries: NDArray[Any], items: Items, k: int, threads: int) -> NDArray[Any]:
    """NearestNeighbors, brute force."""
    return items.sklearn_neighbours.set_params(n_jobs=threads).kneighbors(queries, k)[0]


def dtaidistance_search(queries: NDArray[Any], items: Items, k: int, threads: int) -> NDArray[Any]:
    """C; every thread that OpenMP has where `threads` is above 1."""
    from dtaidistance import dtw_ndim

    series = np.concatenate([queries.astype(np.float64), items.doubles])
    block = ((0, len(queries)), (len(queries), len(series)))
    found = dtw_ndim.distance_matrix_fast(series, block=block, compact=True, parallel=threads > 1)
    return smallest(np.square(found).reshape(len(queries), -1), k)


def aeon_search(queries: NDArray[Any], items: Items, k: int, threads: int) -> NDArray[Any]:
    """numba; channels before time, but left in memory frame by frame, in which aeon is some ten times faster."""
    from aeon.distances import dtw_pairwise_distance

    few, all_items = queries.astype(np.float64).transpose(0, 2, 1), items.doubles.transpose(0, 2, 1)
    return smallest(dtw_pairwise_distance(few, all_items, n_jobs=threads), k)


def tslearn_search(queries: NDArray[Any], items: Items, k: int, threads: int) -> NDArray[Any]:
    """numba."""
    from tslearn.metrics import cdist_dtw

    return smallest(np.square(cdist_dtw(queries.astype(np.float64), items.doubles, n_jobs=threads)), k)


PEERS: Mapping[str, Mapping[str, Search]] = {
    "hamming": {"faiss": faiss_search, "usearch": usearch_search},
    "index-uniform": {"scan": scan},
    "index-clustered": {"scan": scan},
    "euclidean": {"faiss": faiss_search, "usearch": usearch_search, "NumPy": numpy_search, "sklearn": sklearn_search},
    "cosine": {"faiss": faiss_search, "usearch": usearch_search, "NumPy": numpy_search, "sklearn": sklearn_search},
    "par": {"faiss": faiss_search},
    "dtw": {"dtaidistance": dtaidistance_search, "aeon": aeon_search, "tslearn": tslearn_search},
}
"""Peers that know the kernel, all exact."""
