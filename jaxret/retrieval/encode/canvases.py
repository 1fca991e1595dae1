"""Few sizes of batches for images of many: each is padded to the next one, and masked (`Backbone.padded_maps`)."""

from __future__ import annotations

import functools
import math

from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.encode.batches import Canvas

__all__ = ["canvas_for"]

# Of the limit: photographs of 16:9, 4:3 and 1:1 fill the last three, and those of 3:2 nearly the third. One length more
# would spare a fortieth of the work, and to compile the programs for it takes as long as a hundred images.
_SHARES = (0.25, 0.5625, 0.75, 1.0)


def canvas_for(preprocessing: Preprocessing) -> Canvas:
    """The sizes of batches for images that keep their shape (`limit` and `fit`): at most four a side.

    Example:
      >>> canvas = canvas_for(Preprocessing(height=512, width=512, resize="fit"))
      >>> canvas(352, 512), canvas(512, 288)
      ((384, 512), (512, 288))
    """

    @functools.cache
    def canvas(height: int, width: int) -> tuple[int, int]:
        step = preprocessing.side_step
        return _next(height, preprocessing.height, step), _next(width, preprocessing.width, step)

    return canvas


def _next(side: int, limit: int, step: int) -> int:
    return next(length for share in _SHARES if (length := math.ceil(share * limit / step) * step) >= side)
