"""Retrieval figures of an index: its own items ask each other, or labelled media from elsewhere ask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxret.data.media_item import MediaDataset, MediaItem
from jaxret.embedding import FrameVectors, Rows, clip_rows, code_rows, frame_rows, frame_vectors
from jaxret.errors import ConfigError, MediaError
from jaxret.evaluation import GroupFigures, ItemVectors, Ranking, evaluate_queries
from jaxret.evaluation.ranking import Distance
from jaxret.index import IndexItem
from jaxret.metrics import Denominator
from jaxret.models.encoder import VideoEncoder
from jaxret.retrieval.query import SpaceName
from jaxret.retrieval.retriever import Retriever

__all__ = ["default_space", "evaluate_index"]


def evaluate_index(
    retriever: Retriever,
    queries: MediaDataset | None = None,
    *,
    ranking: Ranking | None = None,
    space: SpaceName | None = None,
    split: str | None = None,
    ks: Sequence[int] = (1, 5, 10),
    by_class: bool = False,
    denominator: Denominator = "min(n_relevant,k)",
    threads: int = 2,
) -> GroupFigures:
    """Figures over all labelled queries (`all`) and, if asked, by class.

    Args:
      retriever: the gallery is its index.
      queries: labelled media that ask; None lets the indexed items ask each other.
      ranking: distance, PAR threshold, depth; None: `hamming` in the code space, else `euclidean`.
      space: `clip`, `code` or `frame`; None: see `default_space`.
      split: only indexed items of this split take part.
      ks: cut-offs.
      by_class: add a group a class.
      denominator: of `mAP@k`, see `jaxret.metrics.Denominator`.
      threads: query files decoded at once.

    Returns:
      Figures by group; empty where no query has a relevant item of another source. Of codes each mAP is also given
      averaged over the orders of its ties (see `evaluate_queries`).

    Raises:
      ConfigError: the index has no codes, or codes and a distance of vectors (or the reverse) are asked for together.
    """
    index = retriever.index
    chosen = space or default_space(retriever, None if ranking is None else ranking.distance)
    if chosen == "code" and not retriever.has_codes:
        raise ConfigError("the index has no codes, for its encoder has no hash layer: evaluate the clip space")
    ranking = ranking or Ranking("hamming" if chosen == "code" else "euclidean")
    if (chosen == "code") != (ranking.distance == "hamming"):
        raise ConfigError(f"hamming and the code space go together, got {ranking.distance} in space {chosen}")
    stored = index.rows(chosen)
    owners = np.asarray(stored.items)
    taking_part = np.array([split is None or item.split == split for item in index.items], bool)
    has_rows = np.zeros(len(index.items), bool)
    has_rows[owners] = True
    numbers = np.flatnonzero(taking_part & has_rows)
    position = np.full(len(index.items), -1, np.int64)
    position[numbers] = np.arange(len(numbers))
    kept = position[owners] >= 0
    gallery = ItemVectors(np.asarray(stored.vectors)[kept], position[owners][kept], len(numbers))
    gallery_items: list[IndexItem] = [index.items[number] for number in numbers]
    asking, asking_items = gallery, list[IndexItem | MediaItem](gallery_items)
    if queries is not None:
        media = {
            number: vectors
            for number, vectors in frame_vectors(queries, retriever.encoder, threads=threads)
            if not isinstance(vectors, MediaError)
        }
        rows = _query_rows(media, retriever.encoder, chosen)
        present = np.unique(rows.items)
        rows = rows.of_items(present)
        asking = ItemVectors(rows.vectors, rows.items, len(present))
        asking_items = [queries.items[number] for number in present]
    classes = sorted({str(item.label) for item in asking_items if item.label is not None}) if by_class else []
    return evaluate_queries(
        asking,
        asking_items,
        gallery,
        gallery_items,
        ranking=ranking,
        ks=ks,
        groups={name: [name] for name in classes},
        denominator=denominator,
    )


def default_space(retriever: Retriever, distance: Distance | None = None) -> SpaceName:
    """Where a distance is measured: frame if the index holds no videos, code for codes and `hamming`, else clip.

    Args:
      retriever: with its index.
      distance: None stands for `hamming` where the index has codes.
    """
    if not retriever.index.count_rows("clip"):
        return "frame"
    return "code" if retriever.has_codes and distance in (None, "hamming") else "clip"


def _query_rows(media: dict[int, FrameVectors], encoder: VideoEncoder, space: SpaceName) -> Rows:
    if space == "frame":
        return frame_rows(media)
    clips = clip_rows(media, encoder)
    return code_rows(clips) if space == "code" else clips
