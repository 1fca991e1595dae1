from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SEGMENT: int
LARGEST_SQUARE: float

Progress = Callable[[int, int], None]

class Sequences:
    offsets: NDArray[np.int64]
    has_means: bool
    def __init__(self, sequences: list[NDArray[np.float32]], dimensions: int) -> None: ...
    @staticmethod
    def of_table(values: NDArray[np.float32], offsets: NDArray[np.int64]) -> Sequences: ...
    def prepare(self, with_means: bool, threads: int, progress: Progress | None = None) -> int: ...

def distances(
    queries: Sequences,
    gallery: Sequences,
    window: int | None,
    reverse: bool,
    threads: int,
    level: int,
    progress: Progress | None = None,
) -> NDArray[np.float32]: ...
def search(
    queries: Sequences,
    gallery: Sequences,
    k: int,
    window: int | None,
    reverse: bool,
    prune: bool,
    threads: int,
    level: int,
    progress: Progress | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]: ...
def path(a: Sequences, b: Sequences, window: int | None, level: int) -> tuple[float, NDArray[np.int64]]: ...
def subsequence(
    query: Sequences, gallery: Sequences, count: int, threads: int, level: int, progress: Progress | None = None
) -> NDArray[np.void]: ...
