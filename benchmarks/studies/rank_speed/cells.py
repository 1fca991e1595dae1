"""The cells of the map of speeds: which search, how many queries of how many items of which width."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from studies.rank_speed.searches import SEQUENCE_DIMENSIONS

__all__ = ["CODE_KERNELS", "KERNELS", "LEVELS", "Cell", "Limits", "cells"]

LEVELS = {
    "portable": "NONE",
    "sse4": "NONE",
    "avx2": "AVX2",
    "avx512": "AVX512",
    "avx512vpopcnt": "AVX512_VPOPCNT",
}
"""Levels of the package, and those of faiss with the same instructions. faiss's lowest counts bits with POPCNT, which
our `sse4` has and `portable` does not."""
FLOAT_LEVELS = ("portable", "avx2", "avx512")  # the others run one of these on floats
CODE_KERNELS = ("hamming", "index-uniform", "index-clustered")
KERNELS = (*CODE_KERNELS, "euclidean", "cosine", "par", "dtw")
QUERIES = (1, 2, 4, 8, 16, 32, 128, 1024)


@dataclass(frozen=True)
class Cell:
    """One comparison.

    Attributes:
        kernel: of `KERNELS`.
        level: of `LEVELS`.
        threads: of ours and of the peers.
        items: in the gallery.
        width: bits of a code, dimensions of a vector, frames of a sequence.
        k: results a query.
        queries: in one call.
    """

    kernel: str
    level: str
    threads: int
    items: int
    width: int
    k: int
    queries: int


@dataclass(frozen=True)
class Limits:
    """What a cell may cost; larger ones are left out.

    Attributes:
        gallery_bytes: of the items.
        work: pairs of words of codes, a quarter of the products of numbers.
    """

    gallery_bytes: float
    work: float

    def allow(self, cell: Cell) -> bool:
        """Whether a cell stays within."""
        pairs = cell.items * cell.queries
        if cell.kernel in CODE_KERNELS:
            size, work = cell.width / 8, pairs * max(cell.width, 64) / 64
        elif cell.kernel == "dtw":
            size, work = cell.width * SEQUENCE_DIMENSIONS * 4, pairs * cell.width**2 * SEQUENCE_DIMENSIONS / 4
        else:
            size, work = cell.width * 4, pairs * cell.width / 4
        return cell.items * size <= self.gallery_bytes and work <= self.work


def cells(kernel: str, level: str, threads: int, limits: Limits) -> Iterator[Cell]:
    """The cells of one kernel, those of one gallery together; with several threads every second number of queries."""
    if kernel == "hamming":
        sizes, widths, ks, queries = (
            (10_000, 1_000_000, 10_000_000),
            (32, 64, 128, 256, 512, 1024, 2048),
            (10,),
            QUERIES,
        )
    elif kernel in CODE_KERNELS:
        sizes, widths, ks, queries = (10_000, 100_000, 1_000_000), (64, 256, 512), (10,), (1, 8, 128)
    elif level not in FLOAT_LEVELS:
        return
    elif kernel == "dtw":
        sizes, widths, ks, queries = (500,), (8, 16, 32, 64), (10,), (1, 8, 32)
    else:
        sizes, widths, ks, queries = (10_000, 300_000), (64, 256, 1024), (10, 1000), (1, 4, 16, 128, 1024)
    for items, width, k, count in itertools.product(sizes, widths, ks, queries if threads == 1 else queries[::2]):
        cell = Cell(kernel, level, threads, items, width, k, count)
        if limits.allow(cell):
            yield cell
