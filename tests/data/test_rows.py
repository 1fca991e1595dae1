"""Rows: their defaults, and rows taken by position and by item."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxret.data.rows import Rows


def make() -> Rows:
    """Six rows of items 0, 2 and 3 of five; the vector of row r is r."""
    return Rows(np.arange(6)[:, None] * 1.0, [0, 0, 2, 2, 2, 3], np.arange(6), np.arange(6) + 0.5, n_items=5)


def test_what_is_not_given_has_its_default():
    rows = Rows([[1.0], [2.0]], [0, 4])
    assert rows.n_items == 5
    assert rows.items.dtype == np.int64
    assert rows.starts.tolist() == rows.ends.tolist() == [0.0, 0.0]
    empty = Rows(np.zeros((0, 3)), [])
    assert (len(empty), empty.n_items, empty.items.dtype, empty.starts.shape) == (0, 0, np.int64, (0,))


def test_rows_are_taken_by_position_mask_or_slice():
    rows = make()
    for chosen in ([1, 4], np.isin(np.arange(6), [1, 4]), slice(1, 5, 3)):
        some = rows.take(chosen if isinstance(chosen, slice) else np.asarray(chosen))
        assert some.vectors.ravel().tolist() == [1.0, 4.0]
        assert some.items.tolist() == [0, 2]
        assert some.starts.tolist() == [1.0, 4.0]
        assert some.ends.tolist() == [1.5, 4.5]
        assert some.n_items == 5


def test_rows_of_items_are_numbered_in_the_order_of_the_items():
    some = make().of_items(np.array([3, 1, 2]))
    assert some.vectors.ravel().tolist() == [5.0, 2.0, 3.0, 4.0]
    assert some.items.tolist() == [0, 2, 2, 2]
    assert some.starts.tolist() == [5.0, 2.0, 3.0, 4.0]
    assert some.n_items == 3


def test_fields_can_be_replaced():
    codes = dataclasses.replace(make(), vectors=np.zeros((6, 2), np.uint8))
    assert codes.vectors.shape == (6, 2)
    assert codes.items.tolist() == make().items.tolist()
    assert codes.n_items == 5
