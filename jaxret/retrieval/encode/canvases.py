"""Few sizes of batches for images of many sizes: each is padded to the next one, and masked (`Backbone.padded_maps`)."""

from __future__ import annotations

import functools
import math

from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.encode.batches import Canvas

__all__ = ["canvas_for"]

# Of the longest side. Photographs of 4:3 and 3:2 fill the fourth well, those of 16:9 the third; a program more for every
# step costs as much as some sixty images.
_SHARES = (0.25, 0.5, 0.625, 0.75, 1.0)


def canvas_for(preprocessing: Preprocessing) -> Canvas:
    """The sizes of batches for images that keep their shape (`limit` and `fit`): at most five a side.

    Example:
      >>> canvas = canvas_for(Preprocessing(height=512, width=512, resize="fit"))
      >>> canvas(352, 512), canvas(512, 288)
      ((384, 512), (512, 320))
    """

    @functools.cache
    def canvas(height: int, width: int) -> tuple[int, int]:
        limits = preprocessing.height, preprocessing.width
        down, across = (
            _next(side, limit, preprocessing.side_step) for side, limit in zip((height, width), limits, strict=True)
        )
        return down, across

    return canvas


def _next(side: int, limit: int, step: int) -> int:
    return next(length for share in _SHARES if (length := math.ceil(share * limit / step) * step) >= side)
