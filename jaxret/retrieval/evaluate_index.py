"""Retrieval figures of an index: its own items ask each other, or labelled media from elsewhere ask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxret.data.media_item import MediaDataset, MediaItem
from jaxret.embedding import clip_rows, frame_rows, frame_vectors
from jaxret.errors import MediaError
from jaxret.evaluation import GroupFigures, ItemVectors, Ranking, evaluate_queries
from jaxret.index import IndexItem
from jaxret.retrieval.retriever import Retriever, SpaceName

__all__ = ["evaluate_index"]


def evaluate_index(
    retriever: Retriever,
    queries: MediaDataset | None = None,
    *,
    ranking: Ranking = Ranking(),
    space: SpaceName | None = None,
    split: str | None = None,
    ks: Sequence[int] = (1, 5, 10),
    by_class: bool = False,
    threads: int = 2,
) -> GroupFigures:
    """Figures over all labelled queries (`all`) and, if asked, by class.

    Args:
      retriever: the gallery is its index.
      queries: labelled media that ask; None lets the indexed items ask each other.
      ranking: distance, PAR threshold, depth.
      space: `clip` or `frame`; None: clip if the index holds videos.
      split: only indexed items of this split take part.
      ks: cut-offs.
      by_class: add a group a class.
      threads: query files decoded at once.

    Returns:
      Figures by group; empty where no query has a relevant item of another source.
    """
    index = retriever.index
    chosen: SpaceName = space or ("clip" if index.count_rows("clip") else "frame")
    stored = index.rows(chosen)
    owners = np.asarray(stored.items)
    taking_part = np.array([split is None or item.split == split for item in index.items], bool)
    has_rows = np.zeros(len(index.items), bool)
    has_rows[owners] = True
    numbers = np.flatnonzero(taking_part & has_rows)
    position = np.full(len(index.items), -1, np.int64)
    position[numbers] = np.arange(len(numbers))
    kept = position[owners] >= 0
    gallery = ItemVectors(np.asarray(stored.vectors, np.float32)[kept], position[owners][kept], len(numbers))
    gallery_items: list[IndexItem] = [index.items[number] for number in numbers]
    asking, asking_items = gallery, list[IndexItem | MediaItem](gallery_items)
    if queries is not None:
        media = {
            number: vectors
            for number, vectors in frame_vectors(queries, retriever.encoder, threads=threads)
            if not isinstance(vectors, MediaError)
        }
        rows = (
            frame_rows(media)
            if chosen == "frame"
            else clip_rows(media, retriever.encoder, frames=retriever.encoder.preprocessing.frames)
        )
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
    )
