"""jaxret: find images and videos by their content.

Names are loaded on first use, so `import jaxret` is quick, and `import jaxret.rank` is free of JAX.

Example:
  import jaxret

  retriever = jaxret.Retriever.open("runs/mine")
  for hit in retriever.search("query.mp4", k=5):
      print(hit.distance, hit.item.key)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxret import (
        data,
        evaluation,
        index,
        losses,
        metrics,
        models,
        rank,
        recipes,
        reporting,
        retrieval,
        training,
        visual_words,
    )
    from jaxret.data.open import open_dataset
    from jaxret.models.store import load_encoder
    from jaxret.retrieval.hit import Hit
    from jaxret.retrieval.options import RegionSearch, SequenceSearch, VectorSearch
    from jaxret.retrieval.region import Region
    from jaxret.retrieval.retriever import Retriever

__all__ = [
    "Hit",
    "Region",
    "RegionSearch",
    "Retriever",
    "SequenceSearch",
    "VectorSearch",
    "data",
    "evaluation",
    "index",
    "load_encoder",
    "losses",
    "metrics",
    "models",
    "open_dataset",
    "rank",
    "recipes",
    "reporting",
    "retrieval",
    "training",
    "visual_words",
]
__version__ = "0.1.0"

_MODULE_OF = {
    "Hit": "retrieval.hit",
    "Region": "retrieval.region",
    "RegionSearch": "retrieval.options",
    "Retriever": "retrieval.retriever",
    "SequenceSearch": "retrieval.options",
    "VectorSearch": "retrieval.options",
    "load_encoder": "models.store",
    "open_dataset": "data.open",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"jaxret.{_MODULE_OF[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"jaxret.{name}")
    raise AttributeError(f"module 'jaxret' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
