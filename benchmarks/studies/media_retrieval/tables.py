"""Rows of the result file: the paper's Table IV on draws of classes, and PAR on the curve of selective answering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from common import results_file
from common.differences import Comparison
from studies.media_retrieval.protocol import DEPTH, GROUPS, LSTM, MEAN, METHODS, OPEN_SET, Draw
from studies.unseen_classes.videos import NAMES

from jaxret.evaluation import NearestAnswers, Ranking, selective_curve
from jaxret.metrics import VoteScores

SHARES = (0.9, 0.75, 0.5, 0.25)  # of the validation videos, answered
PAPER_DATA = "trained on UCF50, tested on KTH, UCF101 and HMDB51"
# The paper's Table IV, top 5, CNN + LSTM: accuracy, precision, recall, F1. Its equations allow these only as figures of
# a vote, see `jaxret.metrics.vote`, so they stand beside votes alone.
PAPER = {
    ("seen", "Euclidean"): (0.7644, 0.7481, 0.6644, 0.6866),
    ("seen", "PAR"): (0.8575, 0.8656, 0.7984, 0.8165),
    ("unseen", "Euclidean"): (0.7113, 0.6225, 0.5225, 0.5566),
    ("unseen", "PAR"): (0.914, 0.8793, 0.842, 0.8555),
}
GAINS = ("mAP", "vote accuracy")
VOTES = ("vote accuracy", "vote precision", "vote recall", "vote F1")
Row = dict[str, Any]


def retrieval_rows(draw: Draw) -> list[Row]:
    """Figures of every method by group of queries, chance among them."""
    rows: list[Row] = []
    ranked = {method: draw.figures(method, Ranking()) for method in METHODS}
    voted = {method: draw.answers(method) for method in METHODS}
    chance, random = draw.chance(), draw.random_votes()
    for group in GROUPS:
        data = f"{draw.videos.name}, {group} classes"
        for method in METHODS:
            figures = _shown(ranked[method][group], voted[method].of(draw.classes(group)).votes())
            paper = dict(zip(VOTES, PAPER[group, "Euclidean"], strict=True)) if method == LSTM else None
            rows += results_file.rows_of(data, method, figures, seed=draw.seed, paper=paper, paper_data=PAPER_DATA)
        figures = _shown(chance[group], random[group])
        rows += results_file.rows_of(data, "chance", figures, seed=draw.seed)
    return rows


def compared() -> Iterator[Comparison]:
    """What is gained over the mean vector; metrics are those of GAINS."""
    for data in (f"{name}, {group} classes" for name in NAMES.values() for group in GROUPS):
        for method in (LSTM, OPEN_SET):
            yield Comparison(data, method, f"less the {MEAN}", (data, method, ""), (data, MEAN, ""))


def selective_rows(draw: Draw) -> list[Row]:
    """The vote against coverage, at thresholds that were chosen on validation videos, and where the paper stands, for
    which thresholds are chosen in hindsight.
    """
    rows: list[Row] = []
    for method in (LSTM, OPEN_SET, MEAN):
        held, answers = draw.validation_answers(method), draw.answers(method)
        thresholds = {"all answered": -np.inf}
        thresholds |= {f"{share:.0%} of validation answered": held.threshold_for(share) for share in SHARES}
        for group in GROUPS:
            part = answers.of(draw.classes(group))
            for (name, _), point in zip(
                thresholds.items(), selective_curve(part, list(thresholds.values())), strict=True
            ):
                figures = {
                    "coverage": point.coverage,
                    "accuracy": point.wrong.accuracy,
                    "accuracy, answered": point.answered.accuracy,
                    "precision, answered": point.answered.precision,
                    "recall, answered": point.answered.recall,
                    "F1": point.wrong.f1,
                    "F1, answered": point.answered.f1,
                }
                data = f"{draw.videos.name}, answers by vote of {DEPTH}, {group} classes"
                rows += results_file.rows_of(data, f"{method}, {name}", figures, seed=draw.seed)
        rows += _paper_on_the_curve(draw, method, answers)
    return rows


def _paper_on_the_curve(draw: Draw, method: str, answers: NearestAnswers) -> list[Row]:
    """The share of errors that the paper's PAR leaves, and the largest coverage at which as small a share is left here.

    No validation video is of an unseen class, so that the threshold is the best of 25 by the test answers themselves:
    the most that a choice could reach.
    """
    figures = {}
    for group in GROUPS:
        euclidean, par = PAPER[group, "Euclidean"][0], PAPER[group, "PAR"][0]
        left = (1 - par) / (1 - euclidean)
        part = answers.of(draw.classes(group))
        points = selective_curve(part, [part.threshold_for(share / 50) for share in range(50, 1, -2)])
        goal = left * (1 - points[0].answered.accuracy)
        reached = [point.coverage for point in points if 1 - point.answered.accuracy <= goal]
        figures[f"{group}: coverage with {left:.0%} of the errors"] = max(reached, default=0.0)
    data = f"{draw.videos.name}, as few errors as by the paper's PAR, the best threshold in hindsight (0: nowhere)"
    return results_file.rows_of(data, method, figures, seed=draw.seed)


def _shown(figures: dict[str, float], votes: VoteScores) -> dict[str, float]:
    shown = {name: figures[name] for name in ("mAP", f"P@{DEPTH}")}
    shown |= dict(zip(VOTES, (votes.accuracy, votes.precision, votes.recall, votes.f1), strict=True))
    return shown | {"relevant items": figures["relevant items"], "queries": figures["queries"]}


def curve_points(draw: Draw) -> dict[str, dict[str, dict[str, list[float]]]]:
    """By group and method: coverage, and accuracy where unanswered queries are left out or counted wrong."""
    points: dict[str, dict[str, dict[str, list[float]]]] = {group: {} for group in GROUPS}
    for method in (LSTM, OPEN_SET, MEAN):
        answers = draw.answers(method)
        for group in GROUPS:
            curve = selective_curve(answers.of(draw.classes(group)))
            points[group][method] = {
                "coverage": [point.coverage for point in curve],
                "left out": [point.answered.accuracy for point in curve],
                "wrong": [point.wrong.accuracy for point in curve],
            }
    return points
