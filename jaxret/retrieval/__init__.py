"""An encoder and an index together: put media in, search with media.

Names are loaded on first use, so that the options, which the commands show in their help, come without JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxret.retrieval.additions import AddReport, add_media, fresh_items
    from jaxret.retrieval.draw import draw_hits, hit_row
    from jaxret.retrieval.evaluate.region_queries import RegionQueries, RegionQuery, Relevance, read_region_queries
    from jaxret.retrieval.evaluate.report import Report
    from jaxret.retrieval.evaluate.request import EvaluationRequest
    from jaxret.retrieval.evaluate.settings import FilmEvaluation, LabelEvaluation, RegionEvaluation
    from jaxret.retrieval.hit import Hit
    from jaxret.retrieval.options import RegionSearch, SequenceSearch, VectorSearch
    from jaxret.retrieval.query_file import single_file
    from jaxret.retrieval.region import Region
    from jaxret.retrieval.retriever import Retriever
    from jaxret.retrieval.systems.base import System, register_system

_MODULES = {
    "additions": ("AddReport", "add_media", "fresh_items"),
    "draw": ("draw_hits", "hit_row"),
    "evaluate.region_queries": ("RegionQueries", "RegionQuery", "Relevance", "read_region_queries"),
    "evaluate.report": ("Report",),
    "evaluate.request": ("EvaluationRequest",),
    "evaluate.settings": ("FilmEvaluation", "LabelEvaluation", "RegionEvaluation", "SceneEvaluation"),
    "hit": ("Hit",),
    "options": ("RegionSearch", "SequenceSearch", "VectorSearch"),
    "query_file": ("single_file",),
    "region": ("Region",),
    "retriever": ("Retriever",),
    "systems.base": ("System", "register_system"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AddReport",
    "EvaluationRequest",
    "FilmEvaluation",
    "Hit",
    "LabelEvaluation",
    "Region",
    "RegionEvaluation",
    "RegionQueries",
    "RegionQuery",
    "RegionSearch",
    "Relevance",
    "Report",
    "Retriever",
    "SceneEvaluation",
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


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"jaxret.retrieval.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'jaxret.retrieval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
