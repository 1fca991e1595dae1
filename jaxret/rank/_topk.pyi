from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

EUCLIDEAN: int
COSINE: int
PAR: int

class TopkSearch:
    def __init__(self, queries: NDArray[np.float32], k: int, metric: int, threads: int, level: int) -> None: ...
    def add(
        self, rows: NDArray[np.float32], first_id: int, progress: Callable[[int, int], None] | None = None
    ) -> int: ...
    def finish(
        self, with_cosines: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32] | None]: ...

def topk_in_cells(
    vectors: NDArray[np.float32],
    ids: NDArray[np.int64],
    offsets: NDArray[np.int64],
    queries: NDArray[np.float32],
    probed: NDArray[np.int64],
    k: int,
    threads: int,
    level: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], int]: ...
