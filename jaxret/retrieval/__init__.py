"""An encoder and an index together: put media in, ask with media."""

from jaxret.retrieval.matches import Match
from jaxret.retrieval.query import SpaceName
from jaxret.retrieval.retriever import AddReport, Retriever

__all__ = ["AddReport", "Match", "Retriever", "SpaceName"]
