from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MAX_CODE_BYTES: int
MAX_CODES: int

def topk(
    queries: NDArray[np.uint8],
    gallery: NDArray[np.uint8],
    k: int,
    threads: int,
    level: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...
def within(
    queries: NDArray[np.uint8],
    gallery: NDArray[np.uint8],
    radius: int,
    threads: int,
    level: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]: ...
