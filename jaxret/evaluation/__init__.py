"""Protocols: what the queries and the gallery are, how they are ranked, what is relevant."""

from jaxret.evaluation.item_ranking import Reranking, rank_items, reranked
from jaxret.evaluation.label_protocol import (
    GroupFigures,
    LabelledItem,
    LabelProtocol,
    Relevant,
    Unannotated,
    chance_figures,
    evaluate_leave_one_out,
    evaluate_queries,
    evaluate_rankings,
)
from jaxret.evaluation.ranking import Ranking
from jaxret.evaluation.selective_answering import (
    NearestAnswers,
    SelectivePoint,
    nearest_answers,
    selective_curve,
)
from jaxret.evaluation.sequence_protocol import evaluate_sequences
from jaxret.evaluation.undecided import undecided

__all__ = [
    "GroupFigures",
    "LabelProtocol",
    "LabelledItem",
    "NearestAnswers",
    "Ranking",
    "Relevant",
    "Reranking",
    "SelectivePoint",
    "Unannotated",
    "chance_figures",
    "evaluate_leave_one_out",
    "evaluate_queries",
    "evaluate_rankings",
    "evaluate_sequences",
    "nearest_answers",
    "rank_items",
    "reranked",
    "selective_curve",
    "undecided",
]
