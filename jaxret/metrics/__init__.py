"""Retrieval metrics in NumPy: look up the relevance of a ranking once, then compute figures.

Every metric takes `RankedRelevance` and returns `QueryScores`, one value a query and the mean over the queries
that have relevant items. Formulas, denominators and the rules for ties and empty answers are in each
docstring.
"""

from __future__ import annotations

from jaxret.metrics.average_precision import (
    Denominator,
    average_precision,
    average_precision_at,
    mean_average_precision,
)
from jaxret.metrics.chance import chance_of_vote, chance_summary
from jaxret.metrics.landmarks import RevisitedSetting, revisited_lists, trapezoidal_average_precision
from jaxret.metrics.localisation.boxes import best_box_iou, box_area, box_iou, box_overlap, pairwise_box_iou
from jaxret.metrics.localisation.detection import (
    DetectionScores,
    ImageBoxes,
    detection_scores,
    proposal_recall,
    right_detections,
)
from jaxret.metrics.localisation.shot_boundaries import BoundaryCounts, match_boundaries
from jaxret.metrics.localisation.spans import best_span_iou, span_iou, span_overlap
from jaxret.metrics.ndcg import ndcg
from jaxret.metrics.precision_recall import (
    accuracy_at,
    f1_at,
    hit_rate_at,
    precision_at,
    precision_recall_curve,
    recall_at,
)
from jaxret.metrics.ranked_relevance import QueryScores, RankedRelevance
from jaxret.metrics.relevance import relevance_by_label, relevance_by_lists
from jaxret.metrics.stanford_i2v import SceneRetrievalScores, scene_retrieval_scores, temporal_refinement_jaccard
from jaxret.metrics.summary import retrieval_summary
from jaxret.metrics.tie_groups import Ties
from jaxret.metrics.vote import EmptyVote, VoteScores, vote_at

__all__ = [
    "BoundaryCounts",
    "Denominator",
    "DetectionScores",
    "EmptyVote",
    "ImageBoxes",
    "QueryScores",
    "RankedRelevance",
    "RevisitedSetting",
    "SceneRetrievalScores",
    "Ties",
    "VoteScores",
    "accuracy_at",
    "average_precision",
    "average_precision_at",
    "best_box_iou",
    "best_span_iou",
    "box_area",
    "box_iou",
    "box_overlap",
    "chance_of_vote",
    "chance_summary",
    "detection_scores",
    "f1_at",
    "hit_rate_at",
    "match_boundaries",
    "mean_average_precision",
    "ndcg",
    "pairwise_box_iou",
    "precision_at",
    "precision_recall_curve",
    "proposal_recall",
    "recall_at",
    "relevance_by_label",
    "relevance_by_lists",
    "retrieval_summary",
    "revisited_lists",
    "right_detections",
    "scene_retrieval_scores",
    "span_iou",
    "span_overlap",
    "temporal_refinement_jaccard",
    "trapezoidal_average_precision",
    "vote_at",
]
