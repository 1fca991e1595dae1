"""Regions at other sizes: where the box lies, what is seen around it, and the limits of the encoder."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.query_image import zoom_factors, zoomed

SEEN = Preprocessing(height=64, width=64, resize="fit")


def ramp(height: int, width: int) -> np.ndarray:
    """An image whose pixels tell where they are: twice the column, twice the row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([2 * columns, 2 * rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("factor", [0.5, 2.0, 1.4])
@pytest.mark.parametrize("box", [(8.0, 20.0, 30.0, 30.0), (0.0, 0.0, 6.0, 9.0), (40.0, 25.0, 64.0, 32.0)])
def test_the_box_holds_what_it_held(factor: float, box: tuple[float, ...]) -> None:
    image = ramp(32, 64)
    part, (left, top, right, bottom) = zoomed(image, box, factor, SEEN)
    assert part.dtype == np.uint8
    assert all(side % 32 == 0 and side <= 64 for side in part.shape[:2])
    # The pixel at the middle of the new box was at the middle of the old one.
    x, y = (left + right) / 2, (top + bottom) / 2
    found = part[min(int(y), part.shape[0] - 1), min(int(x), part.shape[1] - 1)].astype(float) / 2
    assert found[0] == pytest.approx((box[0] + box[2]) / 2 - 0.5, abs=2)
    assert found[1] == pytest.approx((box[1] + box[3]) / 2 - 0.5, abs=2)
    assert 0 <= left < right <= part.shape[1] + 1e-9
    assert 0 <= top < bottom <= part.shape[0] + 1e-9


def test_a_size_is_less_where_the_box_would_not_fit() -> None:
    image = ramp(64, 64)
    part, box = zoomed(image, (0.0, 0.0, 64.0, 10.0), 2.0, SEEN)
    assert part is image
    assert box == (0.0, 0.0, 64.0, 10.0)
    part, (left, _, right, _) = zoomed(image, (8.0, 8.0, 56.0, 20.0), 2.0, SEEN)
    assert (left, right) == (0, 64)


def test_sizes_are_even_by_ratio() -> None:
    assert zoom_factors(1) == [1.0]
    factors = np.array(zoom_factors(5))
    np.testing.assert_allclose(factors[1:] / factors[:-1], np.sqrt(2))
    assert (factors[0], factors[-1]) == (0.5, 2.0)
