"""Every item queries all the others; items of its own source count as if they were not there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from jaxret.data.media_item import MediaItem
from jaxret.evaluation.item_ranking import ItemVectors, rank_items
from jaxret.evaluation.ranking import Ranking
from jaxret.metrics import judge_by_label, retrieval_summary

__all__ = ["GroupFigures", "evaluate_leave_one_out"]

GroupFigures = dict[str, dict[str, float]]
"""Figures by group of queries (`all`, `seen`, `unseen`), then by metric."""


def evaluate_leave_one_out(
    vectors: ItemVectors,
    items: Sequence[MediaItem],
    *,
    ranking: Ranking = Ranking(),
    ks: Sequence[int] = (1, 5, 10),
    groups: Mapping[str, Collection[str]] | None = None,
    queries: Sequence[int] | None = None,
    threads: int | None = None,
) -> GroupFigures:
    """Retrieval figures of a set of labelled items that query each other.

    An item, and whatever shares its source, is removed from its own ranking before anything is counted.

    Args:
      vectors: the rows of all items; they are the gallery.
      items: what each item is; `items[i]` belongs to item number i of `vectors`.
      ranking: the distance, or PAR.
      ks: cut-offs.
      groups: group name to the labels of its queries; the gallery stays whole. `all` is always there.
      queries: item numbers that query; None for all that have a label.
      threads: for the ranking kernels.

    Returns:
      Figures of every group that has at least one query with a relevant item; the others are left out.
    """
    labels = np.array([item.label for item in items], dtype=object)
    sources = np.array([item.source for item in items], dtype=object)
    wanted = [i for i in (range(len(items)) if queries is None else queries) if labels[i] is not None]
    number = np.full(len(items), -1, np.int64)
    number[wanted] = np.arange(len(wanted))
    own = number[vectors.items] >= 0
    order = np.argsort(number[vectors.items[own]], kind="stable")
    asking = ItemVectors(vectors.vectors[own][order], number[vectors.items[own]][order], len(wanted))
    same_source = sources[wanted][:, None] == sources[None, :]
    result = rank_items(asking, vectors, ranking, excluded=same_source, threads=threads)
    figures: GroupFigures = {}
    for name, members in {"all": None, **(groups or {})}.items():
        chosen = np.array([members is None or labels[i] in members for i in wanted], bool)
        rows = np.flatnonzero(chosen)
        if not len(rows):
            continue
        asked = np.asarray(wanted)[rows]
        judged = judge_by_label(
            result.ids[rows],
            labels[asked],
            labels,
            query_sources=sources[asked],
            gallery_sources=sources,
        )
        if judged.counted.any():
            figures[name] = retrieval_summary(judged, ks)
    return figures
