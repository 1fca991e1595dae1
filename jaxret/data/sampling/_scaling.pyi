import numpy as np
from numpy.typing import NDArray

WEIGHT_BITS: int

Footprints = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]

def scale(
    pixels: NDArray[np.uint8], down: Footprints, across: Footprints, portable: bool = False
) -> NDArray[np.uint8]: ...
