"""Protocols: who queries whom, ranked how, judged against what."""

from jaxret.evaluation.item_ranking import ItemVectors, rank_items
from jaxret.evaluation.label_protocol import (
    GroupFigures,
    LabelledItem,
    evaluate_leave_one_out,
    evaluate_queries,
)
from jaxret.evaluation.ranking import Ranking

__all__ = [
    "GroupFigures",
    "ItemVectors",
    "LabelledItem",
    "Ranking",
    "evaluate_leave_one_out",
    "evaluate_queries",
    "rank_items",
]
