"""The report's part on PAR: the vote of the nearest clips against the share of queries that are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxret.evaluation import LabelProtocol, Ranking, nearest_answers, selective_curve
from jaxret.reporting import draw_curves, drawn_figure, paragraph, table
from jaxret.retrieval.evaluate.labelled_part import LabelledPart
from jaxret.retrieval.evaluate.votes import votes_against_coverage

__all__ = ["vote_parts"]

_VOTES = 5


def vote_parts(
    path: Path, test: LabelledPart, validation: LabelledPart, groups: Mapping[str, Sequence[str]]
) -> list[str]:
    """A figure and a table of the votes of the test items; nothing where none has a relevant item.

    Args:
      path: of the figure.
      test: items that are queries for each other, with clip vectors.
      validation: items that thresholds are chosen by.
      groups: classes to tell apart.
    """
    protocol = LabelProtocol(groups=groups)
    answers = nearest_answers(test.rows, test.items, test.rows, test.items, _VOTES, protocol)
    if not len(answers):
        return []
    figures, words = votes_against_coverage(test, test, validation, Ranking(), protocol, _VOTES)
    names = dict.fromkeys(name for rows in figures.values() for row in rows.values() for name in row)
    header = [name for name in ("coverage", "accuracy", "precision", "recall", "F1", "chance") if name in names]
    lines = [
        (method, group, *(row[name] for name in header))
        for method, rows in figures.items()
        for group, row in rows.items()
    ]
    drawn = {name: answers.of(labels) for name, labels in groups.items()} or {"all": answers}
    points = [
        {"share of queries answered": point.coverage, f"{group}, rest left out": point.answered.accuracy,
         f"{group}, rest wrong": point.wrong.accuracy}
        for group, part in drawn.items()
        if len(part)
        for point in selective_curve(part)
    ]  # fmt: skip
    shown = list(dict.fromkeys(name for point in points for name in point if name != "share of queries answered"))
    text = "Accuracy of the vote against the share of test queries that are answered."

    def draw() -> None:
        draw_curves(path, points, panels={"accuracy of the vote": shown}, x="share of queries answered")

    said = (
        f"The {_VOTES} nearest clips vote for the class of a query. A threshold on their cosine similarity to it (PAR) "
        "leaves some queries without an answer; a share of answered queries goes with each accuracy, and 'rest left "
        f"out' does not count the others as mistakes. The rows of the table are {words}, and so are not chosen by "
        "figures of test items where there are validation items; 'chance' is the accuracy of a random vote."
    )
    return [drawn_figure(path, text, draw), table(("threshold", "queries of", *header), lines), paragraph(said)]
