"""Which items of a data set an index holds already, and under which keys.

A key is a path relative to its own folder, so two folders may have one key for two files. What tells these apart is
their origin (`MediaDataset.origin`): the first to come has its key in the index, a later one its origin.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import MediaItem
from jaxret.index import MediaIndex

__all__ = ["Matches", "match_items", "origin_of", "query_items"]


@dataclasses.dataclass(frozen=True)
class Matches:
    """The items of a data set beside those of an index.

    Attributes:
      present: item number -> the key in the index of what is the same item.
      fresh: item number -> the key that it would get in the index.
      clashes: numbers of the fresh items whose own key belongs to another file in the index.
    """

    present: Mapping[int, str]
    fresh: Mapping[int, str]
    clashes: tuple[int, ...]


def origin_of(item: MediaItem) -> str | None:
    """Where an indexed item comes from; None in an index of an older version, for what is no file."""
    return item.origin or item.path


def match_items(dataset: MediaDataset, index: MediaIndex) -> Matches:
    """Compare a data set with an index by origin, and by key where either has none."""
    by_origin: dict[str, list[str]] = {}
    for item in index.items:
        if (origin := origin_of(item)) is not None:
            by_origin.setdefault(origin, []).append(item.key)
    present: dict[int, str] = {}
    fresh: dict[int, str] = {}
    clashes = []
    taken: set[str] = set()
    for number, item in enumerate(dataset.items):
        origin, key = dataset.origin(number), item.key
        if origin is not None and (keys := by_origin.get(origin)):
            present[number] = key if key in keys else keys[0]
            continue
        if key in index:
            indexed = origin_of(index.items[index.id_of(key)])
            if indexed is None or origin is None:
                present[number] = key
                continue
            clashes.append(number)
            key = _free_key(origin, index, taken)
        taken.add(key)
        fresh[number] = key
    return Matches(present, fresh, tuple(clashes))


def query_items(queries: MediaDataset, index: MediaIndex) -> tuple[MediaItem, ...]:
    """The items of queries, with the sources that the index has for them.

    A query that is in the index has the source of its twin there, whatever its key. One that only shares the key of
    another file keeps it as its source: it may be a copy, which must not find itself.
    """
    items = list(queries.items)
    for number, key in match_items(queries, index).present.items():
        if items[number].source == items[number].key:
            items[number] = dataclasses.replace(items[number], source=index.items[index.id_of(key)].source)
    return tuple(items)


def _free_key(origin: str, index: MediaIndex, taken: set[str]) -> str:
    key = origin.replace(os.sep, "/")
    number = 2
    while key in index or key in taken:
        key, number = f"{origin}#{number}", number + 1
    return key
