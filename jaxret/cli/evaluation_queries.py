"""What `jaxret evaluate` searches with: the queries that its flags name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jaxret.errors import ConfigError
from jaxret.retrieval.evaluate.settings import (
    CroppedEvaluation,
    FilmEvaluation,
    LabelEvaluation,
    RegionEvaluation,
    SceneEvaluation,
)

if TYPE_CHECKING:
    from jaxret.retrieval import Retriever

__all__ = ["evaluation_queries"]


def evaluation_queries(args: Any, retriever: Retriever) -> tuple[Any, type[Any], str]:
    """The queries, the class of settings that their evaluation has, and what they are.

    Args:
      args: the parsed command line of `jaxret evaluate`.
      retriever: of its index.

    Raises:
      ConfigError: two kinds of queries are named, the index is not evaluated with them, or an option is of others.
    """
    from jaxret.data.ground_truth.films import FilmQueries, read_film_queries
    from jaxret.data.ground_truth.stanford_i2v import I2VQueries, read_i2v_queries
    from jaxret.data.open import open_dataset
    from jaxret.retrieval import CroppedVideos, RegionQueries, read_region_queries

    if RegionQueries in retriever.system.queries and args.regions is None:
        title = retriever.system.title
        raise ConfigError(f"{args.index} is an index of {title}: name queries with boxes by --regions KIND:PATH")
    kinds = ("queries", "photographs", "stanford_i2v", "regions")
    given = ["--" + name.replace("_", "-") for name in kinds if getattr(args, name) is not None]
    if args.cropped is not None and given not in ([], ["--queries"]):
        given.insert(0, "--cropped")
    if len(given) > 1:
        raise ConfigError(f"{given[0]} and {given[1]} are both queries: give one")
    if args.failures is not None and (given or args.cropped is not None):
        raise ConfigError("--failures is of an index's own videos: leave other queries out")
    if args.regions is None and args.without_query:
        raise ConfigError("--without-query is of region queries: name them with --regions")
    if args.regions is None and args.stanford_i2v is None and args.query_folder is not None:
        raise ConfigError("--query-folder is of queries that it holds the images of: name --regions or --stanford-i2v")
    if args.regions is not None:
        retriever.system.check_queries(retriever.index, RegionQueries)
        queries = read_region_queries(
            args.regions, retriever.index.items, query_folder=args.query_folder, without_query=args.without_query
        )
        return queries, RegionEvaluation, "the queries are regions"
    if args.photographs is not None:
        retriever.system.check_queries(retriever.index, FilmQueries)
        return read_film_queries(args.photographs), FilmEvaluation, "the queries are screen photos (--photographs)"
    if args.stanford_i2v is not None:
        retriever.system.check_queries(retriever.index, I2VQueries)
        scenes = read_i2v_queries(args.stanford_i2v, args.query_folder)
        return scenes, SceneEvaluation, "the queries are Stanford I2V's (--stanford-i2v)"
    media = None if args.queries is None else open_dataset(args.queries)
    if args.cropped is not None:
        return CroppedVideos(args.cropped, media), CroppedEvaluation, "the queries are cropped (--cropped)"
    return media, LabelEvaluation, "the queries are labelled media"
