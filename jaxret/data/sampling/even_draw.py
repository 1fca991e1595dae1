"""An even draw of the rows of a stream, however many there turn out to be (reservoir sampling by random keys)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["EvenDraw"]


class EvenDraw:
    """At most `limit` of the rows that are added, each as likely as any other: those with the smallest random keys.

    Args:
      limit: rows that are kept.
      size: numbers of a row.
      seed: of the keys.

    Example:
      >>> draw = EvenDraw(2, size=1, seed=0)
      >>> for row in range(10):
      ...     draw.add(np.full((1, 1), row, np.float32))
      >>> draw.drawn().shape
      (2, 1)
    """

    def __init__(self, limit: int, size: int, seed: int):
        self._limit, self._rng = limit, np.random.default_rng(seed)
        self._rows, self._keys = [np.zeros((0, size), np.float32)], [np.zeros(0)]
        self._waiting = 0
        self._largest = np.inf  # a larger key is none of the smallest any more

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        """Offer some rows."""
        keys = self._rng.random(len(rows))
        some = keys < self._largest
        self._rows.append(rows[some])
        self._keys.append(keys[some])
        self._waiting += int(some.sum())
        if self._waiting > self._limit + self._limit // 2:  # seldom, for all that is held is copied
            self._choose()

    def drawn(self) -> npt.NDArray[np.float32]:
        """The rows that were drawn, in the order they came."""
        self._choose()
        return self._rows[0]

    def _choose(self) -> None:
        rows, keys = np.concatenate(self._rows), np.concatenate(self._keys)
        self._rows, self._keys = [], []
        if len(rows) > self._limit:
            kept = np.sort(np.argpartition(keys, self._limit - 1)[: self._limit])
            rows, keys = rows[kept], keys[kept]
            self._largest = float(keys.max())
        self._rows, self._keys, self._waiting = [rows], [keys], len(rows)
