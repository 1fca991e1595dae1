"""Retrieval figures of embedded videos that are compared as sequences of clip vectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.evaluation import GroupFigures, LabelProtocol, evaluate_sequences
from jaxret.models.encoder import VideoEncoder
from jaxret.rank import SequenceRanking
from jaxret.rank.sequence_ranking import SequenceMeasure
from jaxret.retrieval.encode import FrameVectors, clip_rows
from jaxret.retrieval.systems.sequences import in_order_of_time

__all__ = ["SEQUENCE_METHODS", "sequence_figures"]

SEQUENCE_METHODS: dict[str, SequenceMeasure] = {"mean vector": "mean-cosine", "DTW": "dtw", "Bi-DTW": "bi-dtw"}
"""Ways of comparing sequences, as reports name them."""


def sequence_figures(
    dataset: MediaDataset,
    media: Mapping[int, FrameVectors],
    encoder: VideoEncoder,
    *,
    methods: Collection[str] = tuple(SEQUENCE_METHODS),
    groups: Mapping[str, Collection[str]] | None = None,
) -> dict[str, GroupFigures]:
    """Figures by class of videos that ask each other, their own source left out, by method.

    Args:
      dataset: whose items they are.
      media: frame vectors of items by number; pictures take no part.
      encoder: that made them.
      methods: of `SEQUENCE_METHODS`.
      groups: see `jaxret.evaluation.LabelProtocol`.

    Returns:
      Figures of each method; {} of one where no video has another of its class.
    """
    rows = clip_rows(media, encoder)
    if not len(rows.vectors):
        return {method: {} for method in methods}
    table, _ = in_order_of_time(rows)
    items = [dataset.items[number] for number in np.unique(rows.items).tolist()]
    return {
        method: evaluate_sequences(
            table, items, table, items, SequenceRanking(SEQUENCE_METHODS[method]), LabelProtocol(groups=groups)
        )
        for method in methods
    }
