"""The label that the results vote for, and how well it predicts the query's label.

This is the reading under which the CNN + LSTM paper's Table IV is possible (accuracy, precision, recall and
F1 of the "top 5", recall up to 0.84 with about 100 relevant videos a query, recall *raised* by PAR's
filtering); see `jaxret.metrics.precision_recall` for why the list-level equations are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["VoteScores", "vote_at"]


@dataclasses.dataclass(frozen=True)
class VoteScores:
    """Figures of the vote as a classifier.

    Attributes:
      accuracy: share of queries whose voted label is their own.
      precision: macro average over the queries' labels of TP / (TP + FP); 0 for a label never voted for.
      recall: macro average of TP / (TP + FN).
      f1: macro average of each label's F1.
      unanswered: queries with an empty answer; they predict no label, so they are wrong.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    unanswered: int


def vote_at(
    result_ids: ArrayLike,
    query_labels: Sequence[Any] | NDArray[Any],
    gallery_labels: Sequence[Any] | NDArray[Any],
    k: int,
) -> VoteScores:
    """Let the first k results vote for a label, and score the labels voted for.

    The label carried by most of the results wins; among equals the one whose best result ranks first.

    Args:
      result_ids: int (Q, K), rows of the gallery, best first, junk already left out (exclude it in the
        search); -1 for a missing result.
      query_labels: Q labels, hashable, not None.
      gallery_labels: N labels; None votes for no label.
      k: results that vote, at least 1.

    Raises:
      ValueError: k < 1, more than the list is long while it is full, sizes disagree, or there is no query.

    Example:
      >>> vote_at([[0, 1, 2], [2, -1, -1]], ["run", "run"], ["run", "run", "jump"], 3).accuracy
      0.5
    """
    ids = np.asarray(result_ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or len(ids) != len(query_labels) or not len(ids):
        raise ValueError(
            f"result_ids must be whole numbers (Q, K) for {len(query_labels)} queries, at least one, "
            f"got {ids.dtype} {ids.shape}"
        )
    if ids.size and (ids.min() < -1 or ids.max() >= len(gallery_labels)):
        raise ValueError(f"result_ids must lie in -1 .. {len(gallery_labels) - 1}, got {ids.min()} .. {ids.max()}")
    if k < 1 or (k > ids.shape[1] and ids.shape[1] < len(gallery_labels) and (ids >= 0).all(axis=1).any()):
        raise ValueError(f"k must be at least 1 and lists at least k long, got k = {k} and lists of {ids.shape[1]}")
    if any(label is None for label in query_labels):
        raise ValueError("query_labels must not hold None: a query without a label has no right answer")
    # scikit-learn is slow to import, and most metrics do without.
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    voted = [_winner([gallery_labels[i] for i in row[:k].tolist() if i >= 0]) for row in ids]
    number_of = {label: number for number, label in enumerate(dict.fromkeys(query_labels))}
    truth = [number_of[label] for label in query_labels]
    predicted = [number_of.get(label, -1) for label in voted]  # also of a label that no query has
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, labels=range(len(number_of)), average="macro", zero_division=0
    )
    return VoteScores(
        accuracy=float(accuracy_score(truth, predicted)),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        unanswered=int((ids[:, :k] < 0).all(axis=1).sum()),
    )


def _winner(labels: list[Any]) -> Any:
    votes: dict[Any, int] = {}  # in order of first appearance, so max() keeps the best-ranked among equals
    for label in labels:
        if label is not None:
            votes[label] = votes.get(label, 0) + 1
    return max(votes, key=votes.__getitem__) if votes else None
