"""Vectors with the items and time spans that they stand for: what encoders make, indexes keep and rankings compare."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Rows"]


@dataclasses.dataclass(frozen=True, init=False, eq=False)
class Rows:
    """N rows of one space, and the item and the time span that each belongs to.

    The arguments are arrays, or what NumPy makes arrays of. Nothing is checked here but by those who take the rows:
    `MediaIndex.add` refuses rows that do not fit its space, `rank_items` those that cannot be compared.

    Attributes:
      vectors: (N, D) floats; packed codes uint8 (N, bits / 8), as `jaxret.rank.pack_bits` makes them; or records,
        whole or real numbers that are kept and not compared.
      items: int64 (N,), positions in the list of items that the rows come with. What encoders make and an index gives
        does not decrease; rows that are added to an index may come in any order.
      starts, ends: float64 (N,), seconds within the item; equal for a frame, 0 (the default) for an image.
      n_items: how many items there are, some of which may have no row; by default 1 + the largest of `items`.

    Example:
      >>> rows = Rows(np.ones((2, 3), np.float32), items=[0, 0], starts=[0.0, 10.0], ends=[10.0, 14.5])
      >>> len(rows), rows.n_items
      (2, 1)
    """

    vectors: npt.NDArray[Any]
    items: npt.NDArray[np.int64]
    starts: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]
    n_items: int

    def __init__(
        self,
        vectors: npt.ArrayLike,
        items: npt.ArrayLike,
        starts: npt.ArrayLike | None = None,
        ends: npt.ArrayLike | None = None,
        n_items: int | None = None,
    ):
        owners = np.asarray(items)
        if not owners.size or owners.dtype.kind in "iu":
            owners = owners.astype(np.int64, copy=False)
        for name, value in (
            ("vectors", np.asanyarray(vectors)),  # a memory map stays one
            ("items", owners),
            ("starts", _seconds(starts, owners.shape)),
            ("ends", _seconds(ends, owners.shape)),
            ("n_items", int(owners.max(initial=-1)) + 1 if n_items is None else n_items),
        ):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: npt.NDArray[Any] | slice) -> Rows:
        """Some of the rows, by their positions, a mask or a slice; the items keep their numbers."""
        return Rows(self.vectors[rows], self.items[rows], self.starts[rows], self.ends[rows], self.n_items)

    def of_items(self, items: npt.NDArray[np.int64]) -> Rows:
        """The rows of these items, which are numbered 0, 1, ... in that order."""
        position = np.full(max(self.items.max(initial=-1), items.max(initial=-1)) + 1, -1, np.int64)
        position[items] = np.arange(len(items))
        renumbered = position[self.items]
        kept = np.flatnonzero(renumbered >= 0)
        kept = kept[np.argsort(renumbered[kept], kind="stable")]
        return Rows(self.vectors[kept], renumbered[kept], self.starts[kept], self.ends[kept], len(items))


def _seconds(given: npt.ArrayLike | None, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    return np.zeros(shape) if given is None else np.asarray(given, np.float64)
