"""An encoder and an index together: put media in, ask with media."""

from jaxret.retrieval.retriever import AddReport, Match, Retriever

__all__ = ["AddReport", "Match", "Retriever"]
