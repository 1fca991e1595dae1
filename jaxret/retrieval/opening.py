"""Opening an index of either kind."""

from __future__ import annotations

from pathlib import Path

from jaxret.index import read_manifest
from jaxret.retrieval.instance_retriever import InstanceRetriever
from jaxret.retrieval.retriever import Retriever
from jaxret.retrieval.systems.kinds import is_instance_index

__all__ = ["open_retriever"]


def open_retriever(folder: str | Path) -> Retriever | InstanceRetriever:
    """The retriever that an index needs: of regions, or of whole pictures and clips; errors as their `open`."""
    if is_instance_index(read_manifest(Path(folder))):
        return InstanceRetriever.open(folder)
    return Retriever.open(folder)
