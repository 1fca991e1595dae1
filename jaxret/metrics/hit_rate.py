"""Hit rate, which retrieval papers write R@k."""

from __future__ import annotations

import numpy as np

from jaxret.metrics.judgements import Judgements, QueryScores

__all__ = ["hit_rate_at"]


def hit_rate_at(judgements: Judgements, k: int) -> QueryScores:
    """R@k: 1 if any of the first k results is relevant, else 0.

    "Recall at 1" in the image-to-video paper, and P@1 where k is 1 and every query is answered. An empty
    answer scores 0. Queries without relevant items do not count.

    Args:
      judgements: lists at least k long, or ended by themselves.
      k: cut-off, at least 1.

    Raises:
      ValueError: k < 1, or a list is cut before k.

    Example:
      >>> from jaxret.metrics import judge_by_lists
      >>> judged = judge_by_lists([[3, 0], [1, 2]], [{0}, {1}], 4)
      >>> hit_rate_at(judged, 1).mean, hit_rate_at(judged, 2).mean
      (0.5, 1.0)
    """
    judgements.require_depth(k, f"hit rate at {k}")
    first_hits = judgements.relevant[:, :k].sum(axis=1)
    return QueryScores(np.minimum(first_hits, 1).astype(np.float64), judgements.counted)
