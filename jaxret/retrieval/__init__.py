"""An encoder and an index together: put media in, search with media."""

from jaxret.retrieval.additions import AddReport, add_media, fresh_items
from jaxret.retrieval.evaluate.ground_truth import JudgedQueries, read_judged_queries
from jaxret.retrieval.evaluate.regions import evaluate_regions
from jaxret.retrieval.instance_retriever import InstanceRetriever
from jaxret.retrieval.opening import open_retriever
from jaxret.retrieval.query_file import single_file
from jaxret.retrieval.retriever import Retriever
from jaxret.retrieval.store import create_with_encoder, open_with_encoder
from jaxret.retrieval.systems.draw import draw_matches, match_row
from jaxret.retrieval.systems.kinds import is_instance_encoder, is_instance_index
from jaxret.retrieval.systems.matches import Match
from jaxret.retrieval.systems.region import Region
from jaxret.retrieval.systems.two_pass import InstanceMatch, InstanceRanking, Search
from jaxret.retrieval.systems.vectors import SpaceName

__all__ = [
    "AddReport",
    "InstanceMatch",
    "InstanceRanking",
    "InstanceRetriever",
    "JudgedQueries",
    "Match",
    "Region",
    "Retriever",
    "Search",
    "SpaceName",
    "add_media",
    "create_with_encoder",
    "draw_matches",
    "evaluate_regions",
    "fresh_items",
    "is_instance_encoder",
    "is_instance_index",
    "match_row",
    "open_retriever",
    "open_with_encoder",
    "read_judged_queries",
    "single_file",
]
