"""Where Bi-DTW goes wrong in an index: look-alikes of another class, and what reading backwards helped and harmed."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError
from jaxret.evaluation.label_protocol import blocks_of_queries
from jaxret.index import MediaIndex
from jaxret.metrics import average_precision, relevance_by_label
from jaxret.rank import SequenceRanking, sequence_distances
from jaxret.retrieval.evaluate.labelled_part import LabelledPart
from jaxret.retrieval.options import SequenceSearch
from jaxret.retrieval.systems.sequences import in_order_of_time

__all__ = ["Answer", "FoundVideo", "SequenceFailures", "check_both_readings", "sequence_failures"]


@dataclasses.dataclass(frozen=True)
class FoundVideo:
    """A result.

    Attributes:
      item: the video.
      distance: to the query.
      relevant: whether it is of the query's class.
      backwards: whether one of the two was read backwards.
    """

    item: MediaItem
    distance: float
    relevant: bool
    backwards: bool


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a query found.

    Attributes:
      query: the video.
      either, forwards: its nearest, the best first, where either reading counts (Bi-DTW) and where only the one
        forwards does (DTW).
      precision, forwards_precision: average precision of each ranking, 0 to 1.
      doubt: the distance of its nearest of another class as a share of that of its nearest of its own class; below 1
        the first result is wrong.
    """

    query: MediaItem
    either: Sequence[FoundVideo]
    forwards: Sequence[FoundVideo]
    precision: float
    forwards_precision: float
    doubt: float

    @property
    def gain(self) -> float:
        """Average precision that reading backwards brought, below 0 where it cost some."""
        return self.precision - self.forwards_precision


@dataclasses.dataclass(frozen=True)
class SequenceFailures:
    """What to look at.

    Attributes:
      queries: how many have another video of their class to find.
      mean, forwards_mean: their mean average precision by Bi-DTW and by DTW.
      wrong: how many have a first result of another class.
      helped, harmed: how many rankings gained or lost by reading backwards.
      confused: class of the query, class of its first result, and how often, the most frequent first.
      lookalikes: of wrong first results those with the least doubt of being right, the worst first, a pair once.
      most_helped, most_harmed: answers by what reading backwards brought and cost, the most first.
    """

    queries: int
    mean: float
    forwards_mean: float
    wrong: int
    helped: int
    harmed: int
    confused: Sequence[tuple[str, str, int]]
    lookalikes: Sequence[Answer]
    most_helped: Sequence[Answer]
    most_harmed: Sequence[Answer]


def sequence_failures(
    index: MediaIndex, options: SequenceSearch, *, split: str | None = None, count: int = 6, results: int = 3
) -> SequenceFailures:
    """The labelled videos of an index as queries for each other, those of the query's own source left out.

    Args:
      index: with clip vectors.
      options: of the search; its measure is bi-dtw.
      split: only indexed videos of this split take part.
      count: answers of each kind.
      results: of each answer.

    Raises:
      ConfigError: the measure reads nothing backwards, or no video has another of its class.
    """
    check_both_readings(options)
    part = LabelledPart.of(
        index.rows("clip"),
        index.items,
        lambda item: item.kind == "video" and item.label is not None and split in (None, item.split),
    )
    answers = [] if not len(part.rows.vectors) else _answers(part, options.ranking(), results)
    if not answers:
        raise ConfigError(
            "no labelled video has another of its class and of another source: there are no failures to tell"
        )
    wrong = [answer for answer in answers if not answer.either[0].relevant]
    by_gain = sorted(answers, key=lambda answer: answer.gain)  # stable: equal ones in order of id
    confused = Counter((str(answer.query.label), str(answer.either[0].item.label)) for answer in wrong)
    return SequenceFailures(
        queries=len(answers),
        mean=float(np.mean([answer.precision for answer in answers])),
        forwards_mean=float(np.mean([answer.forwards_precision for answer in answers])),
        wrong=len(wrong),
        helped=sum(answer.gain > 0 for answer in answers),
        harmed=sum(answer.gain < 0 for answer in answers),
        confused=[(*pair, times) for pair, times in confused.most_common()],
        lookalikes=_pairs_once(sorted(wrong, key=lambda answer: answer.doubt))[:count],
        most_helped=[answer for answer in by_gain[::-1] if answer.gain > 0][:count],
        most_harmed=[answer for answer in by_gain if answer.gain < 0][:count],
    )


def check_both_readings(options: Any) -> None:
    """ConfigError where options are not of a search by Bi-DTW."""
    if not isinstance(options, SequenceSearch) or options.measure != "bi-dtw":
        raise ConfigError(
            "failures compare both readings of a video: they are of a search by Bi-DTW (--sequence bi-dtw)"
        )


def _answers(part: LabelledPart, ranking: SequenceRanking, results: int) -> list[Answer]:
    """Of all queries that have something to find."""
    table, _ = in_order_of_time(part.rows)
    labels, sources = (np.array([getattr(item, name) for item in part.items]) for name in ("label", "source"))
    forwards = dataclasses.replace(ranking, measure="dtw", reversal_penalty=0.0)
    answers = []
    for some in blocks_of_queries(len(table), len(table)):
        queries = np.arange(len(table))[some]
        either, ahead = (sequence_distances(table[some], table, each) for each in (ranking, forwards))
        of_one = np.diff(table.offsets) == 1  # which has no direction: both readings are one sum, rounded differently
        backwards = (either < ahead) & ~of_one[queries][:, None] & ~of_one
        orders = [np.argsort(distances, axis=1, kind="stable") for distances in (either, ahead)]
        scores = [
            average_precision(
                relevance_by_label(
                    order,
                    labels[queries],
                    labels,
                    query_sources=sources[queries],
                    gallery_sources=sources,
                    query_ids=queries,
                )
            )
            for order in orders
        ]
        for row in np.flatnonzero(scores[0].counted).tolist():
            query = queries[row]
            same, other = labels == labels[query], sources != sources[query]
            best, best_ahead = (order[row][other[order[row]]][:results].tolist() for order in orders)
            right, wrong = (either[row, other & kind].min(initial=np.inf) for kind in (same, ~same))
            answers.append(
                Answer(
                    query=part.items[query],
                    either=[
                        FoundVideo(part.items[n], float(either[row, n]), bool(same[n]), bool(backwards[row, n]))
                        for n in best
                    ],
                    forwards=[
                        FoundVideo(part.items[n], float(ahead[row, n]), bool(same[n]), False) for n in best_ahead
                    ],
                    precision=float(scores[0].values[row]),
                    forwards_precision=float(scores[1].values[row]),
                    doubt=float(wrong / right) if right else np.inf,
                )
            )
    return answers


def _pairs_once(answers: Sequence[Answer]) -> list[Answer]:
    """Without those whose query and first result are another's first result and query."""
    seen: set[frozenset[str]] = set()
    kept = []
    for answer in answers:
        pair = frozenset((answer.query.key, answer.either[0].item.key))
        if pair not in seen:
            seen.add(pair)
            kept.append(answer)
    return kept
