"""The protocol of the CNN + LSTM paper's Table IV: a tenth of the test clips queries the other nine."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.rows import Rows
from jaxret.evaluation import Ranking, rank_items
from jaxret.metrics import (
    QueryScores,
    accuracy_at,
    average_precision,
    f1_at,
    precision_at,
    recall_at,
    relevance_by_label,
    vote_at,
)

DEPTH = 5
"""Results that are looked at, and what PAR filters."""
_FOLDS = 10


@dataclasses.dataclass(frozen=True)
class Answers:
    """What test clips got, a line a clip.

    Attributes:
      labels: their classes.
      voted: the first DEPTH results, as numbers of test clips; -1 where there is none.
      scores: by metric, one a clip, and which clips count.
    """

    labels: np.ndarray
    voted: np.ndarray
    scores: dict[str, QueryScores]

    def figures(self, classes: tuple[str, ...]) -> dict[str, float]:
        """Means over the clips of some classes; without the metrics that cannot be had."""
        chosen = np.isin(self.labels, classes)
        means = {}
        for metric, scores in self.scores.items():
            part = QueryScores(scores.values[chosen], scores.counted[chosen])
            if part.counted.any():
                means[metric] = part.mean
        votes = vote_at(self.voted[chosen], self.labels[chosen], self.labels, DEPTH)
        means |= {"vote accuracy": votes.accuracy, "vote precision": votes.precision}
        return means | {"vote recall": votes.recall, "vote F1": votes.f1}


def query_in_tenths(dataset: MediaDataset, rows: Rows, ranking: Ranking, *, seed: int) -> Answers:
    """Ten times a tenth of the clips queries the other nine, so that each is a query once.

    Clips of a query's own source are taken out before anything is ranked or counted. Classes are spread evenly over
    the tenths.

    Args:
      dataset: what the rows' item numbers mean.
      rows: of the clips that take part.
      ranking: PAR has depth DEPTH.
      seed: of the tenths.
    """
    numbers = np.unique(rows.items)
    rows = rows.of_items(numbers)
    labels = np.array([dataset.items[n].label for n in numbers], object)
    sources = np.array([dataset.items[n].source for n in numbers], object)
    order = np.random.default_rng([seed, 17]).permutation(len(numbers))
    order = order[np.argsort(labels[order].astype(str), kind="stable")]
    tenth = np.empty(len(numbers), int)
    tenth[order] = np.arange(len(numbers)) % _FOLDS
    scores: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(numbers)))
    counted: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(numbers), bool))
    voted = np.full((len(numbers), DEPTH), -1)
    for number in range(_FOLDS):
        querying = np.flatnonzero(tenth == number)
        if not len(querying):
            continue
        part = rows.of_items(querying)
        excluded = (sources[querying][:, None] == sources) | (tenth == number)
        result = rank_items(part, rows, ranking, excluded=excluded)
        relevance = relevance_by_label(
            result.ids,
            labels[querying],
            labels,
            query_sources=sources[querying],
            gallery_sources=sources,
            in_gallery=tenth != number,
        )
        voted[querying] = result.ids[:, :DEPTH]
        found = {
            f"P@{DEPTH}": precision_at(relevance, DEPTH),
            f"recall@{DEPTH}": recall_at(relevance, DEPTH),
            f"F1@{DEPTH}": f1_at(relevance, DEPTH),
            f"accuracy@{DEPTH}": accuracy_at(relevance, DEPTH),
        }
        if ranking.min_cosine is not None:
            found[f"P@{DEPTH} of the answered"] = precision_at(relevance, DEPTH, empty="skip")
            found["empty share"] = QueryScores((relevance.n_returned == 0).astype(float), relevance.counted)
        if relevance.complete:
            found = {"mAP": average_precision(relevance), **found}
        for metric, values in found.items():
            scores[metric][querying], counted[metric][querying] = values.values, values.counted
    return Answers(labels, voted, {name: QueryScores(scores[name], counted[name]) for name in scores})


def cosine_tells_right_from_wrong(dataset: MediaDataset, rows: Rows, classes: tuple[str, ...]) -> float:
    """How well a cosine can filter the nearest: the probability (AUC) that it is higher for a right result than for a
    wrong one of the DEPTH nearest by Euclidean distance, over all pairs of both among all answers; 0.5 is chance.

    Args:
      dataset: what the rows' item numbers mean.
      rows: one a clip, of the clips that take part.
      classes: those of the queries.
    """
    numbers = np.unique(rows.items)
    rows = rows.of_items(numbers)
    labels = np.array([dataset.items[n].label for n in numbers], object)
    sources = np.array([dataset.items[n].source for n in numbers], object)
    nearest = rank_items(rows, rows, Ranking(depth=DEPTH), excluded=sources[:, None] == sources[None, :]).ids
    unit = rows.vectors / np.maximum(np.linalg.norm(rows.vectors, axis=1, keepdims=True), 1e-12)
    querying = np.isin(labels, classes)
    found = nearest[querying]
    cosines = np.einsum("qd,qkd->qk", unit[querying], unit[found])
    right = labels[found] == labels[querying][:, None]
    return float((cosines[right][:, None] > cosines[~right][None, :]).mean())
