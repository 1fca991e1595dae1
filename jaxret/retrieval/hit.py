"""What a search finds: items, each at its best place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.index import MediaIndex, MediaSearchResult
from jaxret.rank import first_of_each
from jaxret.retrieval.region import Box

__all__ = ["Hit", "Span", "best_per_item", "hits_of_rows"]

Span = tuple[float, float]
"""Start and end in seconds; equal for a single frame, both 0 for an image."""


@dataclasses.dataclass(frozen=True)
class Hit:
    """One result of a search.

    Attributes:
      item: what was found.
      distance: to the query, by `metric`.
      metric: "euclidean", "cosine" (1 - cosine similarity), "hamming" (bits that differ), or of videos compared as
        sequences the measure, see `jaxret.rank.SequenceRanking`.
      span: where in the item.
      query_span: where in the query.
      cosine: similarity to the query; None unless it was needed (PAR, aligned frames).
      box: left, top, right and bottom in pixels of the place where a region was found; None where nothing of it was, or
        where the image was not among the candidates.
      size: (height, width) of the image that the box lies in.
      moment: of an image that found a shot, seconds in the video of the frame nearest to it; None where the index keeps
        no frames.
      moment_distance: of that frame.
      backwards: of videos compared by "bi-dtw", whether they were nearer with one of the two read backwards.
      inliers: key points that agree on one transform of the query; None without verification.
    """

    item: MediaItem
    distance: float
    metric: str = "euclidean"
    span: Span = (0.0, 0.0)
    query_span: Span = (0.0, 0.0)
    cosine: float | None = None
    box: Box | None = None
    size: tuple[int, int] | None = None
    moment: float | None = None
    moment_distance: float | None = None
    backwards: bool = False
    inliers: int | None = None

    @property
    def start(self) -> float:
        """Where in the item it begins, in seconds."""
        return self.span[0]

    @property
    def end(self) -> float:
        """Where in the item it ends, in seconds."""
        return self.span[1]

    def to_json(self) -> dict[str, Any]:
        """The item's fields and the hit's in one flat dict of JSON values; the spans as start, end, query_start and
        query_end.
        """
        fields = {name: value for name, value in vars(self).items() if name not in ("item", "span", "query_span")}
        fields = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        (start, end), (query_start, query_end) = self.span, self.query_span
        spans = {"start": start, "end": end, "query_start": query_start, "query_end": query_end}
        item = dataclasses.replace(self.item, origin=None, file=None)  # what the index alone needs
        return {**item.to_json(), **spans, **fields}


def hits_of_rows(result: MediaSearchResult, rows: Rows, metric: str, *, depth: int | None = None) -> list[Hit]:
    """The results of every row of the query as hits.

    Args:
      result: of a search with `rows.vectors`.
      rows: of the query.
      metric: of the distances.
      depth: results of a row; None for all.
    """
    return [
        Hit(
            result.found[int(result.ids[row, place])],
            float(result.distances[row, place]),
            metric,
            (float(result.starts[row, place]), float(result.ends[row, place])),
            (float(rows.starts[row]), float(rows.ends[row])),
            None if result.cosines is None else float(result.cosines[row, place]),
        )
        for row, place in zip(*np.nonzero(result.ids[:, :depth] >= 0), strict=True)
    ]


def best_per_item(hits: Iterable[Hit], k: int, index: MediaIndex) -> list[Hit]:
    """The k nearest of different items, by (distance, id) and then by the earlier span of the query."""
    known = list(hits)
    if not known:
        return []
    ids = np.array([index.id_of(hit.item.key) for hit in known])
    starts = np.array([hit.query_span[0] for hit in known])
    distances = np.array([hit.distance for hit in known])
    order = np.lexsort((starts, ids, distances))
    return [known[number] for number in order[first_of_each(ids[order])][:k]]
