"""Feedback on results: what was right, what was wrong."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from jaxret.data.rows import Rows
from jaxret.index import MediaIndex
from jaxret.rank import rocchio

__all__ = ["Feedback", "Mark"]


@dataclasses.dataclass(frozen=True)
class Mark:
    """A result that was marked.

    Attributes:
      key: of its item.
      span: start and end in seconds of the part that is meant; None for all of it.
    """

    key: str
    span: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Feedback:
    """Results marked as right and as wrong, by which `Retriever.refine` moves a query.

    Attributes:
      plus, minus: what was right, and what was wrong.
      plus_weight, minus_weight: how far each moves the query, see `jaxret.rank.rocchio`.
    """

    plus: tuple[Mark, ...] = ()
    minus: tuple[Mark, ...] = ()
    plus_weight: float = 0.75
    minus_weight: float = 0.25

    def applied(self, rows: Rows, index: MediaIndex, space: str) -> Rows:
        """The rows of a query, moved by those that the marked parts have in a space of vectors.

        Rows of length 1 stay so.

        Raises:
          ValueError: an item is not in the index.
        """
        plus, minus = (_marked(marks, index, space) for marks in (self.plus, self.minus))
        weights = {"plus_weight": self.plus_weight, "minus_weight": self.minus_weight}
        moved = rocchio(rows.vectors, plus, minus, **weights)
        lengths = np.linalg.norm(rows.vectors, axis=1)
        if np.allclose(lengths, 1, atol=1e-3):
            moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return dataclasses.replace(rows, vectors=moved)


def _marked(marks: tuple[Mark, ...], index: MediaIndex, space: str) -> NDArray[np.float32]:
    """(N, D), the mean of the rows of each mark that has any."""
    means = [np.zeros((0, index.spaces[space].dimension), np.float32)]
    for mark in marks:
        rows = index.rows(space, [index.id_of(mark.key)])
        vectors = np.asarray(rows.vectors, np.float32)
        if mark.span is not None:
            start, end = mark.span
            inside = (rows.starts <= end) & (rows.ends >= start)
            shown = inside & (np.minimum(rows.ends, end) > np.maximum(rows.starts, start))
            # Of frames, and of a moment at the border of two chunks, none lasts: those that touch count.
            chosen = shown if shown.any() else inside
            vectors = vectors[chosen] if chosen.any() else vectors
        if len(vectors):
            means.append(vectors.mean(axis=0, keepdims=True))
    return np.concatenate(means)
