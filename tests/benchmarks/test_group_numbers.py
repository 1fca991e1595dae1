"""Groups of UCF101 are found where clips of one look alike, and only as many and as large as the data set has."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from studies.unseen_classes.groups import LEAST, MOST, group_numbers


def unit_rows(rng: np.random.Generator, count: int) -> np.ndarray:
    rows = rng.normal(size=(count, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_look_alike_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(LEAST, MOST + 1, 18)
    expected = np.repeat(np.arange(18), sizes)
    vectors = unit_rows(rng, 18)[expected] + 0.1 * unit_rows(rng, len(expected))
    np.testing.assert_array_equal(group_numbers(vectors, 18), expected)


def test_it_is_the_best_of_all_ways_to_cut() -> None:
    vectors = unit_rows(np.random.default_rng(9), 16)
    alike = (vectors[:-1] * vectors[1:]).sum(axis=1)
    ways = [
        (0, first, second, 16)
        for first in range(LEAST, 16)
        for second in range(first + LEAST, 16 - LEAST + 1)
        if all(LEAST <= end - begin <= MOST for begin, end in pairwise((0, first, second, 16)))
    ]
    best = min(ways, key=lambda way: alike[way[1] - 1] + alike[way[2] - 1])
    np.testing.assert_array_equal(group_numbers(vectors, 3), np.repeat([0, 1, 2], np.diff(best)))


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="16 clips are not 5 groups of 4 to 7"):
        group_numbers(unit_rows(np.random.default_rng(0), 16), 5)
