"""Scaling against Pillow's, bit by bit, by the portable kernels and those of this CPU."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from jaxret.data.sampling.scaling import scale_bilinear

SIZES = [1, 2, 3, 5, 7, 16, 31, 64, 97, 203]


@pytest.mark.parametrize("portable", [True, False])
def test_every_bit_is_pillows(portable: bool) -> None:
    rng = np.random.default_rng(0)
    for height, width in [*rng.permutation([(a, b) for a in SIZES for b in SIZES])[:12], (700, 501)]:
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        pixels[: height // 3] = rng.choice([0, 255], (height // 3, width, 1))  # hard edges, where a sum may overflow
        for down, across in [*rng.integers(1, 130, (3, 2)), (height, width), (1, 1), (192, 256)]:
            # One side after the other: in one call some versions begin with the columns.
            wanted = Image.fromarray(pixels).resize((across, height), Image.Resampling.BILINEAR)
            wanted = wanted.resize((across, down), Image.Resampling.BILINEAR)
            found = scale_bilinear(pixels, down, across, portable=portable)
            np.testing.assert_array_equal(found, np.asarray(wanted), f"{height} x {width} to {down} x {across}")


def test_white_stays_white_and_views_are_read() -> None:
    white = np.full((700, 501, 3), 255, np.uint8)
    assert (scale_bilinear(white, 33, 480) == 255).all()
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        scale_bilinear(pixels[::-1, ::2], 17, 19), scale_bilinear(pixels[::-1, ::2].copy(), 17, 19)
    )
