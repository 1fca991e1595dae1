"""Rocchio's rule against its sum written out, and what a wrong call says."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.rank import rocchio


def test_every_query_moves_alike() -> None:
    rng = np.random.default_rng(0)
    queries, plus, minus = (rng.normal(size=(n, 5)) for n in (3, 4, 2))
    moved = rocchio(queries, plus, minus, plus_weight=0.6, minus_weight=0.3)
    for query, found in zip(queries, moved, strict=True):
        expected = [(query[d] + 0.6 * plus[:, d].mean() - 0.3 * minus[:, d].mean()) / 1.3 for d in range(5)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(rocchio(queries, plus[:0], minus[:0]), queries, rtol=1e-6)


def test_a_shift_of_all_vectors_shifts_the_result() -> None:
    """What counts as near does not change with the origin of the space."""
    rng = np.random.default_rng(1)
    queries, plus, minus = (rng.normal(size=(n, 3)) for n in (1, 2, 2))
    np.testing.assert_allclose(
        rocchio(queries + 100, plus + 100, minus + 100), rocchio(queries, plus, minus) + 100, atol=1e-4
    )


def test_what_is_wrong_is_named() -> None:
    rows, none = np.ones((1, 2)), np.zeros((0, 2))
    with pytest.raises(ValueError, match=r"at least 0 and below 1, got 0.75 and 1.0"):
        rocchio(rows, none, none, minus_weight=1.0)
    with pytest.raises(ValueError, match=r"queries and plus must be \(N, D\) of one D, got \(1, 2\) and \(1, 3\)"):
        rocchio(rows, np.ones((1, 3)), none)
    hidden = np.ma.masked_equal([[1.0, 2.0]], 2.0)
    for name in ("queries", "plus", "minus"):
        with pytest.raises(ValueError, match=f"{name} must have a value everywhere, got 1 masked ones"):
            rocchio(**{"queries": rows, "plus": rows, "minus": rows, name: hidden})
