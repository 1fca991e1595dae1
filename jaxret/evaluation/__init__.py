"""Protocols: who queries whom, ranked how, judged against what."""

from jaxret.evaluation.item_ranking import ItemVectors, rank_items
from jaxret.evaluation.leave_one_out import GroupFigures, evaluate_leave_one_out
from jaxret.evaluation.ranking import Ranking

__all__ = ["GroupFigures", "ItemVectors", "Ranking", "evaluate_leave_one_out", "rank_items"]
