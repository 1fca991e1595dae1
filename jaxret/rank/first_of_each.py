"""The best row of each item in a ranking of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_of_each"]


def first_of_each(items: NDArray[Any]) -> NDArray[np.bool_]:
    """Where each number stands for the first time along the last axis.

    Of the items that own the rows of a ranking, nearest first, these are the places of their best rows.

    Args:
        items: (..., N).

    Returns:
        bool, of the same shape.

    >>> first_of_each(np.array([4, 4, 0, 4, 0, 7])).tolist()
    [True, False, True, False, False, True]
    """
    order = np.argsort(items, axis=-1, kind="stable")
    in_order = np.take_along_axis(items, order, axis=-1)
    new = np.ones(items.shape, bool)
    new[..., 1:] = in_order[..., 1:] != in_order[..., :-1]
    first = np.empty(items.shape, bool)
    np.put_along_axis(first, order, new, axis=-1)
    return first
