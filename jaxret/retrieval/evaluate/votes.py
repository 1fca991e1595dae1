"""The nearest of a query vote for its class, against the share of queries that are answered: PAR in an evaluation."""

from __future__ import annotations

import math

from jaxret.errors import ConfigError
from jaxret.evaluation import GroupFigures, LabelProtocol, NearestAnswers, Ranking, nearest_answers, selective_curve
from jaxret.retrieval.evaluate.labelled_part import LabelledPart

__all__ = ["check_votes", "votes_against_coverage"]

_SHARES = (1.0, 0.9, 0.75, 0.5, 0.25)  # of what the thresholds are chosen by, answered
_LEFT_OUT = ", rest left out"


def check_votes(ranking: Ranking | None, space: str) -> None:
    """ConfigError unless what is ranked has cosines; a ranking None is one of sequences."""
    if ranking is None:
        raise ConfigError("a vote is of the nearest vectors: leave vote out where videos are compared as sequences")
    if space == "code":
        raise ConfigError("a vote filters by cosines, which codes do not have: evaluate the clip space with vote")
    if ranking.distance != "euclidean":
        raise ConfigError(f"a vote takes the nearest by Euclidean distance: leave {ranking.distance} out")


def votes_against_coverage(
    own: LabelledPart,
    gallery: LabelledPart,
    validation: LabelledPart | None,
    ranking: Ranking,
    protocol: LabelProtocol,
    k: int,
) -> tuple[dict[str, GroupFigures], str]:
    """The vote of the k nearest at several thresholds of the cosine.

    Args:
      own, gallery: queries and what they search.
      validation: the indexed items that thresholds are chosen by, None where there are none. They search the gallery
        where they are part of it, else each other; where none of them can find anything, the queries stand in.
      ranking: its threshold is the only one that is looked at, if it has one.
      protocol: groups, and what each gallery is.
      k: results that vote.

    Returns:
      The figures (see `jaxret.evaluation.SelectivePoint.figures`) by the name of the threshold and by group, unanswered
      queries counted wrong and left out, and where the thresholds come from, in words.
    """
    answers = nearest_answers(own.rows, own.items, gallery.rows, gallery.items, k, protocol)
    words = f"votes of the {k} nearest above a cosine"
    if ranking.min_cosine is not None:
        thresholds = {"all answered": -math.inf, f"above {ranking.min_cosine:g}": ranking.min_cosine}
    else:
        chosen_by = answers
        words += ", chosen on the queries themselves, so that they are a curve"
        if validation is not None and len(held := _held_out(validation, gallery, protocol, k)):
            chosen_by = held
            words = f"votes of the {k} nearest above a cosine, chosen on {len(held)} validation items"
        thresholds = {f"answering {share:.0%}": chosen_by.threshold_for(share) for share in _SHARES}
    groups = {"all": answers}
    groups |= {name: answers.of(labels) for name, labels in (protocol.groups or {}).items()}
    figures: dict[str, GroupFigures] = {}
    for group, part in groups.items():
        if len(part):
            points = selective_curve(part, list(thresholds.values()))
            for name, point in zip(thresholds, points, strict=True):
                figures.setdefault(name, {})[group] = point.figures()
                if math.isfinite(point.threshold):  # which leaves some without an answer
                    figures.setdefault(name + _LEFT_OUT, {})[group] = point.figures("skip")
    return figures, words


def _held_out(validation: LabelledPart, gallery: LabelledPart, protocol: LabelProtocol, k: int) -> NearestAnswers:
    inside = set(validation.numbers.tolist()) <= set(gallery.numbers.tolist())
    searched = gallery if inside else validation
    return nearest_answers(validation.rows, validation.items, searched.rows, searched.items, k, protocol)
