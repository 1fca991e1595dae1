"""An even draw of the rows of a stream."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.data.sampling.even_draw import EvenDraw


@pytest.mark.parametrize("chunks", [[1000], [1] * 100 + [900], [7, 0, 300, 50, 500, 143]])
def test_an_even_draw_is_of_the_smallest_keys(chunks: list[int]) -> None:
    rows = np.arange(1000, dtype=np.float32)[:, None]
    keys = np.random.default_rng(5).random(1000)
    draw = EvenDraw(40, 1, seed=5)
    start = 0
    for count in chunks:
        draw.add(rows[start : start + count])
        start += count
        assert draw._waiting <= 40 * 1.5
    np.testing.assert_array_equal(draw.drawn()[:, 0], np.sort(np.argsort(keys)[:40]))
    few = EvenDraw(40, 1, seed=5)
    few.add(rows[:30])
    np.testing.assert_array_equal(few.drawn(), rows[:30])
    assert len(EvenDraw(40, 1, seed=5).drawn()) == 0
