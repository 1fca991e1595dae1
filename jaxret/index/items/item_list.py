"""The live items of an index as a sequence, each read when it is needed."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from jaxret.data.items import MediaItem
from jaxret.index.items.item_file import ItemFile
from jaxret.index.items.media_root import whole_path

__all__ = ["ItemList"]


class ItemList(Sequence[MediaItem]):
    """Items in the order they were added; positions are ids.

    It equals any sequence of equal items. Reading an item takes some microseconds; where a column of all items is
    wanted, `MediaIndex.values` is far quicker.

    Args:
      parts: for each segment its items, and the local numbers of the live ones.
      media_root: the folder that paths are relative to, where they are; the items have them whole.
    """

    def __init__(self, parts: Sequence[tuple[ItemFile, NDArray[np.int64]]], media_root: str | None = None):
        self._media_root = media_root
        self._parts = [(items, live) for items, live in parts if len(live)]
        self._ends: list[int] = []
        for _, live in self._parts:
            self._ends.append(len(live) + (self._ends[-1] if self._ends else 0))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, number: int) -> MediaItem: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[MediaItem, ...]: ...

    def __getitem__(self, number: int | slice) -> MediaItem | tuple[MediaItem, ...]:
        if isinstance(number, slice):
            return tuple(self[place] for place in range(*number.indices(len(self))))
        number = operator.index(number)
        place = number + len(self) if number < 0 else number
        if not 0 <= place < len(self):
            raise IndexError(f"ids must lie in 0 .. {len(self) - 1}, got {number}")
        part = bisect.bisect_right(self._ends, place)
        items, live = self._parts[part]
        (item,) = items.take([int(live[place - self._ends[part]])])  # counted back from the end of the part
        return self._whole(item)

    def take(self, ids: Iterable[int]) -> Iterator[MediaItem]:
        """The items of these ids, in this order; of neighbours it is quicker than one by one. No id is checked."""
        for part, run in itertools.groupby(ids, lambda number: bisect.bisect_right(self._ends, number)):
            items, live = self._parts[part]
            yield from map(self._whole, items.take([int(live[place - self._ends[part]]) for place in run]))

    def __iter__(self) -> Iterator[MediaItem]:
        for items, live in self._parts:
            yield from map(self._whole, items.take(live.tolist()))

    def _whole(self, item: MediaItem) -> MediaItem:
        path = whole_path(item.path, self._media_root)
        return item if path == item.path else dataclasses.replace(item, path=path)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ItemList({len(self)} items)"
