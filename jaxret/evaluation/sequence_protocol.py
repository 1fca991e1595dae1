"""Retrieval figures of sequences, such as videos that are the clip vectors of their chunks, by class or by clip.

The protocol of Y. Ma and D. Klabjan, "Semi-supervised 3D Video Information Retrieval with Deep Neural Network and
Bi-directional Dynamic-time Warping Algorithm": queries are made of parts of gallery videos; by clip only the
video that a query was cut from is relevant, by class each video of its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.evaluation.item_ranking import in_order
from jaxret.evaluation.label_protocol import GroupFigures, LabelledItem, LabelProtocol, evaluate_rankings
from jaxret.rank import SearchResult, SequenceRanking, sequence_distances

__all__ = ["evaluate_sequences"]


def evaluate_sequences(
    queries: Sequence[Any],
    query_items: Sequence[LabelledItem],
    gallery: Sequence[Any],
    gallery_items: Sequence[LabelledItem],
    ranking: SequenceRanking = SequenceRanking(),
    protocol: LabelProtocol = LabelProtocol(),
    *,
    threads: int | None = None,
) -> GroupFigures:
    """Retrieval figures of sequences as queries in a gallery of sequences.

    Exact, all pairs measured. For rankings of their own use `jaxret.rank.sequence_distances` and `rank_sequences`.

    Args:
      queries, query_items: Q sequences (T_i, D), as a `jaxret.rank.SequenceTable` or arrays, and what each is.
      gallery, gallery_items: N likewise.
      ranking: how sequences are ranked.
      protocol: what is relevant and counted. By clip is `relevant="source"`; by class with the query's own video in
        the gallery, `keep_source=True`.
      threads: for the ranking kernels.

    Returns:
      As `evaluate_rankings`; equal distances are ordered by id.

    Raises:
      TypeError, ValueError: as `jaxret.rank.sequence_distances` and `evaluate_rankings`; ValueError where sequences
        and items differ in number.

    Example:
      >>> import dataclasses
      >>> @dataclasses.dataclass
      ... class Video:
      ...     label: str
      ...     source: str
      >>> films = [np.array([[0.0], [1.0], [2.0]]), np.array([[5.0], [5.0]]), np.array([[2.0], [9.0]])]
      >>> items = [Video("trees", "a"), Video("cars", "b"), Video("trees", "c")]
      >>> query = [np.array([[0.0], [2.0]])], [Video("trees", "a")]
      >>> by_clip, by_class = LabelProtocol((), relevant="source"), LabelProtocol((), keep_source=True)
      >>> by_clip = evaluate_sequences(*query, films, items, protocol=by_clip)
      >>> by_class = evaluate_sequences(*query, films, items, protocol=by_class)
      >>> by_clip["all"]["mAP"], round(by_class["all"]["mAP"], 4)
      (1.0, 0.8333)
    """
    for name, sequences, items in (("queries", queries, query_items), ("gallery", gallery, gallery_items)):
        if len(sequences) != len(items):
            raise ValueError(f"{name} must be as many sequences as items, got {len(sequences)} and {len(items)}")

    def rank(some: slice, excluded: npt.NDArray[np.bool_] | None) -> SearchResult:
        return in_order(sequence_distances(queries[some], gallery, ranking, threads=threads), excluded)

    return evaluate_rankings(rank, query_items, gallery_items, protocol)
