"""RGB-D frames as volumes, by a loop over all pixels."""

from __future__ import annotations

import numpy as np


def volume(frame: np.ndarray, count: int) -> np.ndarray:
    """A frame (H, W, 4) of colours and plane numbers as (H, W, Z, 4): its colour and 1 in the plane of each pixel."""
    filled = np.zeros((*frame.shape[:2], count, 4), np.float32)
    for row in range(frame.shape[0]):
        for column in range(frame.shape[1]):
            *colour, plane = frame[row, column].tolist()
            if plane:
                filled[row, column, plane - 1] = [*colour, 1]
    return filled
