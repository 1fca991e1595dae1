"""The label that the results vote for, and how well it predicts the query's label.

This is the reading under which the CNN + LSTM paper's Table IV is possible (accuracy, precision, recall and
F1 of the "top 5", recall up to 0.84 with about 100 relevant videos a query, recall *raised* by PAR's
filtering); see `jaxret.metrics.precision_recall` for why the list-level equations are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["EmptyVote", "VoteScores", "vote_at"]

EmptyVote = Literal["wrong", "skip"]
"""What becomes of a query with an empty answer. `wrong`: it predicts no label, which is counted as a mistake. `skip`:
it is left out, as if a classifier that may stay silent were scored on what it said (only comparable beside the
coverage)."""


@dataclasses.dataclass(frozen=True)
class VoteScores:
    """Figures of the vote as a classifier.

    Attributes:
      accuracy: share of the queries that count whose voted label is their own.
      precision: macro average over the queries' labels of TP / (TP + FP); 0 for a label never voted for.
      recall: macro average of TP / (TP + FN).
      f1: macro average of each label's F1.
      unanswered: queries with an empty answer.
      queries: all of them.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    unanswered: int
    queries: int

    @property
    def coverage(self) -> float:
        """Share of the queries that are answered."""
        return 1 - self.unanswered / self.queries


def vote_at(
    result_ids: ArrayLike,
    query_labels: Sequence[Any] | NDArray[Any],
    gallery_labels: Sequence[Any] | NDArray[Any],
    k: int,
    *,
    empty: EmptyVote = "wrong",
) -> VoteScores:
    """Let the first k results vote for a label, and score the labels voted for.

    The label carried by most of the results wins; among equals the one whose best result ranks first.

    Args:
      result_ids: int (Q, K), rows of the gallery, best first, junk already left out (exclude it in the
        search); -1 for a missing result.
      query_labels: Q labels, hashable, not None.
      gallery_labels: N labels; None votes for no label.
      k: results that vote, at least 1.
      empty: see `EmptyVote`. Where no query is answered and they are left out, all figures are 0.

    Raises:
      ValueError: k < 1, more than the list is long while it is full, sizes disagree, there is no query, or `empty` is
        unknown.

    Example:
      >>> ids, labels = [[0, 1, 2], [2, -1, -1], [-1, -1, -1]], ["run", "run", "jump"]
      >>> vote_at(ids, ["run"] * 3, labels, 3).accuracy, vote_at(ids, ["run"] * 3, labels, 3, empty="skip").accuracy
      (0.3333333333333333, 0.5)
    """
    if empty not in get_args(EmptyVote):
        raise ValueError(f"empty must be one of {', '.join(get_args(EmptyVote))}, got {empty!r}")
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

    unanswered = (ids[:, :k] < 0).all(axis=1)
    counted = np.flatnonzero(~unanswered) if empty == "skip" else np.arange(len(ids))
    if not len(counted):
        return VoteScores(0.0, 0.0, 0.0, 0.0, len(ids), len(ids))
    voted = [_winner([gallery_labels[i] for i in row[:k].tolist() if i >= 0]) for row in ids[counted]]
    labels = [query_labels[q] for q in counted.tolist()]
    number_of = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    truth = [number_of[label] for label in labels]
    predicted = [number_of.get(label, -1) for label in voted]  # also of a label that no query has
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, labels=range(len(number_of)), average="macro", zero_division=0
    )
    return VoteScores(
        accuracy=float(accuracy_score(truth, predicted)),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        unanswered=int(unanswered.sum()),
        queries=len(ids),
    )


def _winner(labels: list[Any]) -> Any:
    votes: dict[Any, int] = {}  # in order of first appearance, so max() keeps the best-ranked among equals
    for label in labels:
        if label is not None:
            votes[label] = votes.get(label, 0) + 1
    return max(votes, key=votes.__getitem__) if votes else None
