"""Every row of a query compared with every row of some items: the best pair of each item, or of each row."""

from __future__ import annotations

from typing import Literal

import numpy as np

from jaxret import rank
from jaxret.data.rows import Rows
from jaxret.index import MediaIndex
from jaxret.retrieval.hit import Hit

__all__ = ["hits_of_pairs"]


def hits_of_pairs(
    index: MediaIndex,
    query: Rows,
    stored: Rows,
    k: int,
    metric: str = "euclidean",
    *,
    per: Literal["item", "row"] = "item",
    threads: int | None = None,
) -> list[Hit]:
    """The k nearest items, or rows, each by its best pair.

    By (distance, id or row), then by the earlier row of the query and of the item.

    Args:
      index: that the rows are of.
      query: vectors.
      stored: vectors of the items that take part; `items` are ids.
      k: hits wanted.
      metric: of vectors, a name in `jaxret.rank.METRICS`.
      per: what a hit stands for; with "row" several can be of one item.
      threads: for the ranking kernel.
    """
    if not len(stored.vectors):
        return []
    # A row that is among the k best of all is among the k best of the row of the query that found it.
    depth = min(k, len(stored)) if per == "row" else len(stored)
    vectors = np.asarray(stored.vectors, np.float32)
    result = rank.METRICS[metric].topk(query.vectors, vectors, depth, threads=threads)
    rows, distances = result.ids.ravel(), result.distances.ravel()
    query_rows = np.repeat(np.arange(len(query)), depth)
    groups = rows if per == "row" else stored.items[rows]
    order = np.lexsort((rows, query_rows, groups, distances))
    best = order[rank.first_of_each(groups[order])][:k]
    return [
        Hit(
            index.items[stored.items[row]],
            float(distance),
            metric,
            (float(stored.starts[row]), float(stored.ends[row])),
            (float(query.starts[query_row]), float(query.ends[query_row])),
        )
        for row, query_row, distance in zip(rows[best], query_rows[best], distances[best], strict=True)
    ]
