"""Relevance feedback: a query moves towards what was found right and away from what was found wrong.

J. J. Rocchio, "Relevance feedback in information retrieval", in: The SMART Retrieval System (1971).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank.validation import as_array


def rocchio(
    queries: ArrayLike,
    plus: ArrayLike,
    minus: ArrayLike,
    *,
    plus_weight: float = 0.75,
    minus_weight: float = 0.25,
) -> NDArray[np.float32]:
    """Queries moved by Rocchio's rule: q + a (mean of plus) - b (mean of minus), over 1 + a - b.

    The division keeps the result among the vectors, so that Euclidean distances mean what they did: without it the
    query of vectors far from the origin would leave them. A mean of no vectors leaves its term out.

    Args:
        queries: (Q, D), any float dtype; each is moved alike.
        plus: (P, D), what was found right; P may be 0.
        minus: (M, D), what was found wrong; M may be 0.
        plus_weight, minus_weight: a and b, at least 0; b below 1.

    Returns:
        float32 (Q, D).

    Raises:
        TypeError: something is no array of numbers.
        ValueError: shapes disagree, a weight is out of range, or a masked array hides numbers.

    >>> rocchio(np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]]), np.zeros((0, 2)), plus_weight=1.0).tolist()
    [[0.5, 0.0]]
    """
    if not plus_weight >= 0 or not 0 <= minus_weight < 1:
        raise ValueError(
            f"plus_weight must be at least 0, and minus_weight at least 0 and below 1, got {plus_weight} and "
            f"{minus_weight}"
        )
    moved = np.asarray(as_array(queries, "queries"), np.float64)
    total = 1.0
    for name, vectors, weight in (("plus", plus, plus_weight), ("minus", minus, -minus_weight)):
        marked = np.asarray(as_array(vectors, name), np.float64)
        if moved.ndim != 2 or marked.ndim != 2 or marked.shape[1] != moved.shape[1]:
            raise ValueError(f"queries and {name} must be (N, D) of one D, got {moved.shape} and {marked.shape}")
        if len(marked):
            moved = moved + weight * marked.mean(axis=0)
            total += weight
    return np.asarray(moved / total, np.float32)
