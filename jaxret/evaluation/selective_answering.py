"""PAR as what it is: a classifier by vote that may stay silent.

The k nearest of a query vote for its class. A threshold on their cosine similarities (proximal-affinity re-ranking)
takes the less similar ones out of the vote, and where it takes all of them the query gets no answer. Raising it leaves
fewer queries answered, the sure ones: accuracy is a curve over the share that is answered (its coverage), and a figure
at one threshold says little without that share (El-Yaniv and Wiener, "On the foundations of noise-free selective
classification", JMLR 2010). A threshold is a setting, and is chosen on validation data: by the coverage that is wanted
there, or by accuracy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from jaxret.data.rows import Rows
from jaxret.evaluation.item_ranking import above, nearest_with_cosines
from jaxret.evaluation.label_protocol import LabelledItem, LabelProtocol, QueryGalleries, blocks_of_queries
from jaxret.metrics import EmptyVote, VoteScores, chance_of_vote, vote_at
from jaxret.rank import SearchResult

__all__ = ["COVERAGES", "NearestAnswers", "SelectivePoint", "nearest_answers", "selective_curve"]

COVERAGES = tuple(round(1 - 0.05 * step, 2) for step in range(20))
"""From all queries answered to a twentieth of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class NearestAnswers:
    """The k nearest of each query, before any threshold.

    Attributes:
      nearest: ids (Q, k) in the gallery and Euclidean distances; id -1 where there is no more.
      cosines: float32 (Q, k), -inf where there is no result.
      query_labels: (Q,), objects; every query has something relevant in its gallery.
      gallery_labels: (N,), objects; None votes for no class.
      chance: float64 (Q,), the probability that k items drawn at random vote for the query's class.
    """

    nearest: SearchResult
    cosines: npt.NDArray[np.float32]
    query_labels: npt.NDArray[np.object_]
    gallery_labels: npt.NDArray[np.object_]
    chance: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.query_labels)

    @property
    def confidences(self) -> npt.NDArray[np.float32]:
        """(Q,), the largest cosine of each query: it is answered at thresholds below that."""
        return self.cosines.max(axis=1, initial=-np.inf)

    def of(self, labels: Collection[str]) -> NearestAnswers:
        """The queries of some classes."""
        chosen = np.array([label in labels for label in self.query_labels], bool)
        nearest = SearchResult(self.nearest.ids[chosen], self.nearest.distances[chosen])
        return NearestAnswers(
            nearest, self.cosines[chosen], self.query_labels[chosen], self.gallery_labels, self.chance[chosen]
        )

    def votes(self, threshold: float = -math.inf, *, empty: EmptyVote = "wrong") -> VoteScores:
        """The vote of the results whose cosine exceeds the threshold; see `jaxret.metrics.vote_at`.

        Raises:
          ValueError: there is no query.
        """
        kept = above(self.nearest, self.cosines, threshold)
        depth = max(1, kept.ids.shape[1])
        return vote_at(kept.ids, self.query_labels, self.gallery_labels, depth, empty=empty)

    def threshold_for(self, coverage: float) -> float:
        """The highest threshold that leaves at least this share of the queries answered; -inf for all.

        Labels have no part in it, so that it can be chosen on queries that have none.

        Raises:
          ValueError: the coverage does not lie above 0 and up to 1, or there is no query.
        """
        if not 0 < coverage <= 1:
            raise ValueError(f"coverage must be above 0 and at most 1, got {coverage}")
        if not len(self):
            raise ValueError("there is no query to choose a threshold by")
        if coverage == 1:
            return -math.inf
        answered = math.ceil(round(coverage * len(self), 9))
        confidence = np.sort(self.confidences)[::-1][answered - 1]
        return float(np.nextafter(confidence, np.float32(-np.inf)))

    def best_threshold(self) -> float:
        """The threshold of the most accurate vote, unanswered queries counted wrong; the lowest of equals.

        Raises:
          ValueError: there is no query.
        """
        steps = np.unique(self.cosines[np.isfinite(self.cosines)])
        candidates = [-math.inf, *steps[:: max(1, len(steps) // 200)].tolist()]
        return max(candidates, key=lambda threshold: self.votes(threshold).accuracy)


@dataclasses.dataclass(frozen=True)
class SelectivePoint:
    """The vote at one threshold.

    Attributes:
      threshold: of the cosine; -inf: none.
      wrong: figures over all queries, those without an answer counted wrong.
      answered: figures over the answered ones alone.
      chance: accuracy of a random vote.
    """

    threshold: float
    wrong: VoteScores
    answered: VoteScores
    chance: float

    @property
    def coverage(self) -> float:
        """Share of the queries that are answered."""
        return self.wrong.coverage

    def figures(self, empty: EmptyVote = "wrong") -> dict[str, float]:
        """The point as a row of a table, by one rule for what is not answered.

        `chance` is the accuracy of a random vote; `threshold` is left out where there is none.
        """
        scores = self.wrong if empty == "wrong" else self.answered
        row = {"coverage": self.coverage, "accuracy": scores.accuracy, "precision": scores.precision}
        row |= {"recall": scores.recall, "F1": scores.f1, "chance": self.chance}
        return row if math.isinf(self.threshold) else {"threshold": self.threshold, **row}


def nearest_answers(
    queries: Rows,
    query_items: Sequence[LabelledItem],
    gallery: Rows,
    gallery_items: Sequence[LabelledItem],
    k: int = 5,
    protocol: LabelProtocol = LabelProtocol(),
    *,
    threads: int | None = None,
) -> NearestAnswers:
    """Find the k nearest of every query by Euclidean distance, with their cosines.

    Args:
      queries, query_items: rows of the queries, floats, and what each item is; those without a label, or without
        anything relevant in their gallery, are left out.
      gallery, gallery_items: likewise.
      k: results that vote, at least 1.
      protocol: what each query's gallery is: `keep_source`, `relevant_items` and `seed`. Relevance is by label.
      threads: for the ranking kernels.

    Raises:
      TypeError, ValueError: as `rank_items`, or relevance is by source.
    """
    if protocol.relevant != "label":
        raise ValueError(f"a vote is for a label: relevant must be label, got {protocol.relevant!r}")
    galleries = QueryGalleries(query_items, gallery_items, protocol)
    labels, gallery_labels = (_labels(items) for items in (query_items, gallery_items))
    chance = _ChanceOfVotes(gallery_labels, k)
    parts = []
    for some in blocks_of_queries(len(query_items), len(gallery_items)) or [slice(0, 0)]:
        excluded = galleries.excluded(some)
        searched = np.ones((some.stop - some.start, len(gallery_items)), bool) if excluded is None else ~excluded
        own = labels[some]
        same = (own[:, None] == gallery_labels[None, :]) & (own != None)[:, None]  # noqa: E711 - of each
        counted = np.flatnonzero((searched & same).any(axis=1))
        nearest, cosines = nearest_with_cosines(
            queries.of_items(counted + some.start), gallery, k, excluded=~searched[counted], threads=threads
        )
        by_chance = np.array([chance.of(own[q], searched[q]) for q in counted.tolist()], np.float64)
        parts.append((nearest.ids, nearest.distances, cosines, own[counted], by_chance))
    ids, distances, cosines, own, by_chance = (np.concatenate(column) for column in zip(*parts, strict=True))
    return NearestAnswers(SearchResult(ids, distances), cosines, own, gallery_labels, by_chance)


def selective_curve(answers: NearestAnswers, thresholds: Sequence[float] | None = None) -> list[SelectivePoint]:
    """Accuracy, precision and F1 against coverage.

    Args:
      answers: at least one query.
      thresholds: of the cosine, such as those that `NearestAnswers.threshold_for` gives on validation queries. None:
        those that give these queries the coverages of COVERAGES, which is a curve and no choice of a threshold.

    Returns:
      A point for each threshold, in their order; of the curve a point for each coverage.

    Raises:
      ValueError: there is no query.
    """
    wanted = [answers.threshold_for(coverage) for coverage in COVERAGES] if thresholds is None else thresholds
    chance = float(answers.chance.mean()) if len(answers) else 0.0
    points = [
        SelectivePoint(threshold, answers.votes(threshold), answers.votes(threshold, empty="skip"), chance)
        for threshold in wanted
    ]
    return points if thresholds is not None else list({point.coverage: point for point in points}.values())


def _labels(items: Sequence[LabelledItem]) -> npt.NDArray[np.object_]:
    column = np.empty(len(items), object)
    column[:] = [item.label for item in items]
    return column


class _ChanceOfVotes:
    """`chance_of_vote` of queries; galleries of the same sizes are looked at once."""

    def __init__(self, gallery_labels: npt.NDArray[np.object_], k: int):
        self._k = k
        self._classes = {label: n for n, label in enumerate(sorted({*gallery_labels} - {None}))}
        unlabelled = len(self._classes)
        self._numbers = np.array([self._classes.get(label, unlabelled) for label in gallery_labels], np.int64)
        self._known: dict[tuple[int, bytes], float] = {}

    def of(self, label: str, searched: npt.NDArray[np.bool_]) -> float:
        """Of a query of this class, which the gallery has, in those items (N,)."""
        sizes = np.bincount(self._numbers[searched], minlength=len(self._classes) + 1)
        own = self._classes[label]
        key = own, sizes.tobytes()
        if key not in self._known:
            self._known[key] = chance_of_vote(sizes[:-1], own, self._k, unlabelled=int(sizes[-1]))
        return self._known[key]
