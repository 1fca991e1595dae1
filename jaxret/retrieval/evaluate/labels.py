"""Retrieval figures of an index: its own items ask each other, or labelled media from elsewhere ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError, MediaError
from jaxret.evaluation import GroupFigures, Ranking, Relevant, evaluate_queries, evaluate_sequences
from jaxret.metrics import Denominator
from jaxret.models.encoder import VideoEncoder
from jaxret.rank import METRICS, SequenceRanking, metrics_of
from jaxret.retrieval.encode import FrameVectors, clip_rows, code_rows, frame_rows, frame_vectors
from jaxret.retrieval.retriever import Retriever
from jaxret.retrieval.systems.sequences import in_order_of_time
from jaxret.retrieval.systems.vectors import SpaceName

__all__ = ["default_space", "evaluate_index"]


def evaluate_index(
    retriever: Retriever,
    queries: MediaDataset | None = None,
    *,
    ranking: Ranking | None = None,
    sequence: SequenceRanking | None = None,
    space: SpaceName | None = None,
    split: str | None = None,
    ks: Sequence[int] = (1, 5, 10),
    by_class: bool = False,
    relevant: Relevant = "label",
    denominator: Denominator = "min(n_relevant,k)",
    threads: int = 2,
) -> GroupFigures:
    """Figures over all labelled queries (`all`) and, if asked, by class.

    Args:
      retriever: the gallery is its index.
      queries: labelled media that ask; None lets the indexed items ask each other.
      ranking: distance, PAR threshold, depth; None: `hamming` in the code space, else `euclidean`.
      sequence: rank videos as sequences of their clip vectors instead, in the clip space; pictures have no part in it.
      space: `clip`, `code` or `frame`; None: see `default_space`.
      split: only indexed items of this split take part.
      ks: cut-offs.
      by_class: add a group a class.
      relevant: "label": what carries the query's label, items of its own source left out; "source": what is of the
        query's own source ("by clip" of queries that were cut from indexed videos).
      denominator: of `mAP@k`, see `jaxret.metrics.Denominator`.
      threads: query files decoded at once.

    Returns:
      Figures by group; empty where no query has a relevant item of another source. Of codes each mAP is also given
      averaged over the orders of its ties (see `evaluate_queries`).

    Raises:
      ConfigError: the index has no codes, or codes and a distance of vectors (or the reverse) are asked for together,
        or sequences with a ranking of single vectors or another space, or indexed items ask for their own source.
    """
    index = retriever.index
    if relevant == "source" and queries is None:
        raise ConfigError("relevant source is for queries from elsewhere: indexed items would find themselves")
    if sequence is not None:
        if ranking is not None:
            raise ConfigError(f"{sequence.measure} ranks sequences: leave the ranking by {ranking.distance} out")
        if space not in (None, "clip"):
            raise ConfigError(f"sequences are of clip vectors: they need the clip space, got {space}")
        space = "clip"
        ranking = Ranking()
    chosen = space or default_space(retriever, None if ranking is None else ranking.distance)
    if chosen == "code" and not retriever.has_codes:
        raise ConfigError("the index has no codes, for its encoder has no hash layer: evaluate the clip space")
    ranking = ranking or Ranking("hamming" if chosen == "code" else "euclidean")
    if (chosen == "code") != (METRICS[ranking.distance].dtype == "uint8"):
        raise ConfigError(f"hamming and the code space go together, got {ranking.distance} in space {chosen}")
    kinds = ("video",) if sequence is not None else ("image", "video")
    gallery, gallery_items = _of_some(
        index.rows(chosen), index.items, lambda item: item.kind in kinds and (split is None or item.split == split)
    )
    asking: Rows = gallery
    asking_items: Sequence[MediaItem] = gallery_items
    if queries is not None:
        media = {
            number: vectors
            for number, vectors in frame_vectors(queries, retriever.encoder, threads=threads)
            if not isinstance(vectors, MediaError)
        }
        asked = _query_rows(media, retriever.encoder, chosen)
        asking, asking_items = _of_some(asked, queries.items, lambda item: item.kind in kinds)
    classes = sorted({str(item.label) for item in asking_items if item.label is not None}) if by_class else []
    groups = {name: [name] for name in classes}
    if sequence is None:
        return evaluate_queries(
            asking,
            asking_items,
            gallery,
            gallery_items,
            ranking=ranking,
            ks=ks,
            groups=groups,
            relevant=relevant,
            denominator=denominator,
        )
    if not asking_items or not gallery_items:
        return {}
    return evaluate_sequences(
        in_order_of_time(asking)[0],
        asking_items,
        in_order_of_time(gallery)[0],
        gallery_items,
        ranking=sequence,
        ks=ks,
        groups=groups,
        relevant=relevant,
        denominator=denominator,
    )


def default_space(retriever: Retriever, distance: str | None = None) -> SpaceName:
    """Where a distance is measured: frame if the index holds no videos, code for codes and `hamming`, else clip.

    Args:
      retriever: with its index.
      distance: None stands for `hamming` where the index has codes.
    """
    if not retriever.index.count_rows("clip"):
        return "frame"
    return "code" if retriever.has_codes and distance in (None, *metrics_of("uint8")) else "clip"


def _of_some(
    rows: Rows, items: Sequence[MediaItem], wanted: Callable[[MediaItem], bool]
) -> tuple[Rows, list[MediaItem]]:
    """The wanted ones of the items that have rows, and their rows, numbered anew."""
    numbers = np.array([number for number in np.unique(rows.items).tolist() if wanted(items[number])], np.int64)
    return rows.of_items(numbers), [items[number] for number in numbers.tolist()]


def _query_rows(media: dict[int, FrameVectors], encoder: VideoEncoder, space: SpaceName) -> Rows:
    if space == "frame":
        return frame_rows(media)
    clips = clip_rows(media, encoder)
    return code_rows(clips) if space == "code" else clips
