"""How the items of an evaluation are ranked: space and distance as the options of a search name them, and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.evaluation import GroupFigures, LabelProtocol, Ranking, Reranking, evaluate_queries, evaluate_sequences
from jaxret.index import MediaIndex
from jaxret.rank import METRICS, metrics_of
from jaxret.retrieval.encode import FrameVectors, clip_rows, code_rows, frame_rows
from jaxret.retrieval.evaluate.labelled_part import LabelledPart
from jaxret.retrieval.options import SequenceSearch, SpaceName, VectorSearch
from jaxret.retrieval.systems.sequences import in_order_of_time

if TYPE_CHECKING:
    from jaxret.models.encoder import VideoEncoder

__all__ = ["query_rows", "ranked_figures", "said_of_reranking", "vector_ranking", "vector_reranking"]


def ranked_figures(
    queries: LabelledPart,
    gallery: LabelledPart,
    options: VectorSearch | SequenceSearch,
    ranking: Ranking,
    protocol: LabelProtocol,
    reranking: Reranking | None = None,
) -> GroupFigures:
    """Retrieval figures of queries in a gallery; {} where nothing can be measured.

    Args:
      queries, gallery: what searches, and what is searched.
      options: how; with a `SequenceSearch` videos are sequences of their clip vectors.
      ranking: of a `VectorSearch`, see `vector_ranking`.
      protocol: what is relevant and counted.
      reranking: of a `VectorSearch`, see `vector_reranking`.
    """
    if not isinstance(options, SequenceSearch):
        return evaluate_queries(
            queries.rows, queries.items, gallery.rows, gallery.items, ranking, protocol, reranking=reranking
        )
    if not queries.items or not gallery.items:
        return {}
    sequences, others = (in_order_of_time(part.rows)[0] for part in (queries, gallery))
    return evaluate_sequences(sequences, queries.items, others, gallery.items, options.ranking(), protocol)


def vector_ranking(index: MediaIndex, options: VectorSearch, depth: int | None) -> tuple[SpaceName, Ranking]:
    """The space and the ranking that the options name; ConfigError where they do not fit."""
    for name in ("every_clip", "probes", "device"):
        if (value := getattr(options, name)) not in (None, False):
            raise ConfigError(f"an evaluation ranks the whole gallery: leave {name} out, got {value!r}")
    if options.min_cosine is not None and options.metric not in (None, "euclidean"):
        raise ConfigError(f"min_cosine (--par) ranks by Euclidean distance: leave {options.metric} out")
    distance = options.metric if options.min_cosine is None else "euclidean"
    has_codes = "code" in index.spaces
    space = options.space
    if space is None:
        if not index.count_rows("clip"):
            space = "frame"
        else:
            space = "code" if has_codes and distance in (None, *metrics_of("uint8")) else "clip"
    if space == "code" and not has_codes:
        raise ConfigError("the index has no codes, for its encoder has no hash layer: evaluate the clip space")
    distance = distance or metrics_of("uint8" if space == "code" else "float32")[0]
    if (space == "code") != (METRICS[distance].dtype == "uint8"):
        raise ConfigError(f"hamming and the code space go together, got {distance} in space {space}")
    if options.rerank is not None and space != "code":
        raise ConfigError(f"rerank puts in order what codes have found: it needs the code space, got {space!r}")
    return space, Ranking(distance, options.min_cosine, depth)


def vector_reranking(
    index: MediaIndex,
    encoder: VideoEncoder,
    options: VectorSearch | SequenceSearch,
    gallery: LabelledPart,
    own: LabelledPart,
    media: Mapping[int, FrameVectors] | None,
) -> Reranking | None:
    """What puts the nearest codes in order again by their clip vectors; None where nothing does.

    Args:
      index, encoder: the gallery's.
      options: those that `vector_ranking` has seen.
      gallery, own: codes of what is searched, and of the queries.
      media: frame vectors of the queries by item number; None where these are the gallery.
    """
    if isinstance(options, SequenceSearch) or options.rerank is None:
        return None
    vectors = index.rows("clip").of_items(gallery.numbers)
    of_queries = vectors if media is None else query_rows(media, encoder, "clip").of_items(own.numbers)
    return Reranking(options.rerank, of_queries, vectors)


def said_of_reranking(reranking: Reranking | None) -> str:
    """The reranking in words."""
    if reranking is None:
        return ""
    return f", of which the nearest {reranking.count} are ordered by the Euclidean distance of their clip vectors"


def query_rows(media: Mapping[int, FrameVectors], encoder: VideoEncoder, space: SpaceName) -> Rows:
    """The rows of queries in a space, from their frame vectors by item number."""
    if space == "frame":
        return frame_rows(media)
    clips = clip_rows(media, encoder)
    return code_rows(clips) if space == "code" else clips
