from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MAX_SUBSTRING_BITS: int

class Tables:
    def __init__(
        self,
        codes: NDArray[np.uint8],
        firsts: NDArray[np.int64],
        starts: NDArray[np.int64],
        offsets: NDArray[np.uint32],
        ids: NDArray[np.uint32],
    ) -> None: ...
    def build(self, offsets: NDArray[np.uint32], ids: NDArray[np.uint32], threads: int) -> None: ...
    def search(
        self,
        queries: NDArray[np.uint8],
        k: int,
        radius: int,
        budget: int,
        threads: int,
        popcount: bool,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]: ...
