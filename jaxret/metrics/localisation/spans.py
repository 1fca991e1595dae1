"""How well a time span found in a video agrees with the true one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["best_span_iou", "span_iou", "span_overlap"]


def span_overlap(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Seconds that two spans share: max(0, min(ends) - max(starts)).

    Args:
      a, b: (..., 2) start and end in seconds, broadcast against each other.

    Raises:
      ValueError: the last axis is not 2, a value is not finite, or a span ends before it starts.

    Example:
      >>> span_overlap([0.0, 4.0], [[1.0, 2.0], [3.0, 9.0], [5.0, 6.0]]).tolist()
      [1.0, 1.0, 0.0]
    """
    x, y = _check(a, "a"), _check(b, "b")
    return np.maximum(0.0, np.minimum(x[..., 1], y[..., 1]) - np.maximum(x[..., 0], y[..., 0]))


def span_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of two spans, 0 to 1: overlap / (length a + length b - overlap).

    Two instants (start = end) score 1 if they are the same and 0 otherwise; an instant inside a longer span
    scores 0, for it shares no time with it.

    Args:
      a, b: (..., 2) start and end in seconds, broadcast against each other.

    Raises:
      ValueError: as `span_overlap`.

    Example:
      >>> float(span_iou([0.0, 4.0], [2.0, 6.0]))  # 2 s of 6 s
      0.3333333333333333
    """
    x, y = _check(a, "a"), _check(b, "b")
    shared = span_overlap(x, y)
    union = (x[..., 1] - x[..., 0]) + (y[..., 1] - y[..., 0]) - shared
    same_instant = (union == 0) & (x[..., 0] == y[..., 0])
    return np.where(same_instant, 1.0, shared / np.where(union > 0, union, 1.0))


def best_span_iou(found: ArrayLike, true_spans: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """For each query the IoU of the span found with the best matching of its true spans.

    Its mean is the mean temporal IoU; the share of values of at least 0.5 is "R@1, IoU >= 0.5". All queries
    count.

    Args:
      found: (Q, 2) start and end in seconds; a row of NaN where nothing was found, which scores 0.
      true_spans: for each query (S_q, 2), at least one span.

    Returns:
      float64 (Q,), 0 to 1.

    Raises:
      ValueError: sizes disagree, a query has no true span, or a span is malformed.

    Example:
      >>> best_span_iou([[0.0, 2.0], [np.nan, np.nan]], [[[5.0, 6.0], [0.0, 2.0]], [[0.0, 1.0]]]).tolist()
      [1.0, 0.0]
    """
    spans = np.asarray(found, np.float64)
    if spans.ndim != 2 or spans.shape[1] != 2 or len(spans) != len(true_spans):
        raise ValueError(f"found must have shape ({len(true_spans)}, 2), one span a query, got {spans.shape}")
    values = np.zeros(len(spans))
    for q, span in enumerate(spans):
        truth = _check(true_spans[q], f"true_spans[{q}]")
        if truth.ndim != 2 or not len(truth):
            raise ValueError(f"true_spans[{q}] must have shape (S, 2) with S at least 1, got {truth.shape}")
        if not np.isnan(span).all():
            values[q] = span_iou(_check(span, f"found[{q}]"), truth).max()
    return values


def _check(spans: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(spans, np.float64)
    if array.ndim < 1 or array.shape[-1] != 2:
        raise ValueError(f"{name} must have start and end on its last axis, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite seconds, got {array[~np.isfinite(array)][0]}")
    if (array[..., 0] > array[..., 1]).any():
        odd = array[array[..., 0] > array[..., 1]][0]
        raise ValueError(f"{name} has a span that ends before it starts: {odd[0]} .. {odd[1]}")
    return array
