"""An encoder and an index together: put media in, search with media.

Names are loaded on first use, so that the options, which the commands show in their help, come without JAX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxret.lazy import lazy_names

if TYPE_CHECKING:
    from jaxret.retrieval.additions import AddReport, add_media, fresh_items
    from jaxret.retrieval.comparison import RegionComparison, SequenceComparison
    from jaxret.retrieval.draw import draw_hits, hit_row
    from jaxret.retrieval.evaluate.cropped import CroppedVideos
    from jaxret.retrieval.evaluate.region_queries import RegionQueries, RegionQuery, Relevance, read_region_queries
    from jaxret.retrieval.evaluate.report import Report
    from jaxret.retrieval.evaluate.request import EvaluationRequest
    from jaxret.retrieval.evaluate.settings import CroppedEvaluation, FilmEvaluation, LabelEvaluation, RegionEvaluation
    from jaxret.retrieval.feedback import Feedback, Mark
    from jaxret.retrieval.hit import Hit
    from jaxret.retrieval.on_ray.cluster import RayCluster
    from jaxret.retrieval.options import RegionSearch, SequenceSearch, VectorSearch
    from jaxret.retrieval.query_file import single_file
    from jaxret.retrieval.region import Region
    from jaxret.retrieval.retriever import EncodedQuery, Retriever
    from jaxret.retrieval.systems.base import System, register_system

__all__ = [
    "AddReport",
    "CroppedEvaluation",
    "CroppedVideos",
    "EncodedQuery",
    "EvaluationRequest",
    "Feedback",
    "FilmEvaluation",
    "Hit",
    "LabelEvaluation",
    "Mark",
    "RayCluster",
    "Region",
    "RegionComparison",
    "RegionEvaluation",
    "RegionQueries",
    "RegionQuery",
    "RegionSearch",
    "Relevance",
    "Report",
    "Retriever",
    "SceneEvaluation",
    "SequenceComparison",
    "SequenceSearch",
    "System",
    "VectorSearch",
    "add_media",
    "draw_hits",
    "fresh_items",
    "hit_row",
    "read_region_queries",
    "register_system",
    "single_file",
]

_NAMES = {
    "jaxret.retrieval.additions": ("AddReport", "add_media", "fresh_items"),
    "jaxret.retrieval.comparison": ("RegionComparison", "SequenceComparison"),
    "jaxret.retrieval.draw": ("draw_hits", "hit_row"),
    "jaxret.retrieval.evaluate.cropped": ("CroppedVideos",),
    "jaxret.retrieval.evaluate.region_queries": ("RegionQueries", "RegionQuery", "Relevance", "read_region_queries"),
    "jaxret.retrieval.evaluate.report": ("Report",),
    "jaxret.retrieval.evaluate.request": ("EvaluationRequest",),
    "jaxret.retrieval.evaluate.settings": (
        "CroppedEvaluation",
        "FilmEvaluation",
        "LabelEvaluation",
        "RegionEvaluation",
        "SceneEvaluation",
    ),
    "jaxret.retrieval.feedback": ("Feedback", "Mark"),
    "jaxret.retrieval.hit": ("Hit",),
    "jaxret.retrieval.on_ray.cluster": ("RayCluster",),
    "jaxret.retrieval.options": ("RegionSearch", "SequenceSearch", "VectorSearch"),
    "jaxret.retrieval.query_file": ("single_file",),
    "jaxret.retrieval.region": ("Region",),
    "jaxret.retrieval.retriever": ("EncodedQuery", "Retriever"),
    "jaxret.retrieval.systems.base": ("System", "register_system"),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
