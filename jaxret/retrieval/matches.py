"""Which items of a data set an index holds already, and under which keys.

A key is a path relative to its own folder, so two folders may have one key for two files. What tells these apart is
their origin (`MediaDataset.origin`): the first to come has its key in the index, a later one its origin. Copies of one
content under one key are one item.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping

from jaxret.data.dataset import MediaDataset, stamp_of
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.items import FileState, MediaItem
from jaxret.errors import MediaError
from jaxret.index import MediaIndex
from jaxret.remote import is_file, is_present, real_path

__all__ = [
    "Matches",
    "changed_items",
    "gone_keys",
    "keys_below",
    "match_items",
    "origin_of",
    "query_items",
    "stale_keys",
    "state_of",
]


@dataclasses.dataclass(frozen=True)
class Matches:
    """The items of a data set beside those of an index.

    Attributes:
      present: item number -> the key in the index of what is the same item.
      twins: item number -> the key in the index of another file that has its key and its content.
      fresh: item number -> the key that it would get in the index.
      clashes: numbers of the fresh items whose own key belongs to a file of other content in the index.
    """

    present: Mapping[int, str]
    twins: Mapping[int, str]
    fresh: Mapping[int, str]
    clashes: tuple[int, ...]

    @property
    def known(self) -> Mapping[int, str]:
        """Item number -> key of what the index has, be it from another place, in the order of the items."""
        return dict(sorted({**self.present, **self.twins}.items()))


def origin_of(item: MediaItem) -> str | None:
    """Where an indexed item comes from; None in an index of an older version, for what is no file."""
    return item.origin or item.path


def match_items(dataset: MediaDataset, index: MediaIndex) -> Matches:
    """Compare a data set with an index by origin, by key where either has none, by content where only keys agree."""
    by_origin: dict[str, list[str]] = {}
    for key, origin in _origins(index):
        if origin is not None:
            by_origin.setdefault(origin, []).append(key)
    present: dict[int, str] = {}
    twins: dict[int, str] = {}
    fresh: dict[int, str] = {}
    clashes = []
    taken: set[str] = set()
    for number, item in enumerate(dataset.items):
        origin, key = dataset.origin(number), item.key
        if origin is not None and (keys := by_origin.get(origin)):
            present[number] = key if key in keys else keys[0]
            continue
        if key in index:
            indexed = index.items[index.id_of(key)]
            if origin_of(indexed) is None or origin is None:
                present[number] = key
                continue
            if _same_content(indexed, dataset, number):
                twins[number] = key
                continue
            clashes.append(number)
            key = _free_key(origin, index, taken)
        taken.add(key)
        fresh[number] = key
    return Matches(present, twins, fresh, tuple(clashes))


def changed_items(dataset: MediaDataset, index: MediaIndex, matches: Matches) -> dict[int, str]:
    """Item number -> key of what the index describes as it is no more: the file was replaced, or lies elsewhere now.

    A file of the same size and time is taken to be the same; else its content decides. An index of an older version
    does not know what its files were: they are taken to be the same.
    """
    changed = {}
    for number, key in matches.present.items():
        known = index.items[index.id_of(key)].file
        if known is None or dataset.stamp(number) in (None, (known.size, known.modified)):
            continue
        if _content(dataset, number) != known.content:
            changed[number] = key
    for number, key in matches.twins.items():
        path = index.items[index.id_of(key)].path
        if path is not None and not is_present(path):
            changed[number] = key
    return dict(sorted(changed.items()))


def state_of(dataset: MediaDataset, number: int) -> FileState | None:
    """What the files of an item are now; None where it has none, or they cannot be read."""
    stamp = dataset.stamp(number)
    content = None if stamp is None else _content(dataset, number)
    return None if stamp is None or content is None else FileState(*stamp, content)


def keys_below(index: MediaIndex, path: str | os.PathLike[str]) -> list[str]:
    """Keys of the items that come from a file, or from a folder and those below it; nothing is read."""
    real = real_path(path)
    within = real.rstrip(os.sep) + os.sep
    return [key for key, origin in _origins(index) if origin is not None and f"{origin}{os.sep}".startswith(within)]


def gone_keys(index: MediaIndex, folder: str | os.PathLike[str]) -> list[str]:
    """Keys of the items below a folder whose files are there no more."""
    keys = []
    for key in keys_below(index, folder):
        item = index.items[index.id_of(key)]
        # An item that a walk was cut into has no path: its origin begins with that of its first frame.
        origin = item.origin or ""
        path = item.path or origin.rpartition("..")[0] or origin
        if path and not is_present(path):
            keys.append(key)
    return keys


def stale_keys(index: MediaIndex, unread: Iterable[MediaError]) -> list[str]:
    """Keys of the items that are described as their files were, but the files changed and cannot be read now.

    Args:
      index: that holds items.
      unread: what could not be read, as `MediaDataset.skipped` and `AddReport.skipped` tell it.
    """
    paths = {real_path(error.path) for error in unread}
    keys = [key for key, origin in _origins(index) if origin in paths] if paths else []
    return [key for key in keys if _is_another(index.items[index.id_of(key)])]


def _is_another(item: MediaItem) -> bool:
    """Whether what lies where an item came from is not what was indexed, by size and time."""
    path = origin_of(item)
    if path is None or item.file is None or not is_present(path):
        return False
    return stamp_of([path]) != (item.file.size, item.file.modified)


def _origins(index: MediaIndex) -> Iterator[tuple[str, str | None]]:
    """The key of each item, and where it comes from."""
    columns = (index.values(name) for name in ("key", "origin", "path"))
    for key, origin, path in zip(*columns, strict=True):
        yield key, origin or path


def _content(dataset: MediaDataset, number: int) -> str | None:
    try:
        return dataset.content_hash(number)
    except (MediaError, NotImplementedError):
        return None


def _same_content(indexed: MediaItem, dataset: MediaDataset, number: int) -> bool:
    """Whether a file has the content that an indexed file of the same key had, or has where the index does not know."""
    path = dataset.items[number].path
    if path is None or not is_file(path) or indexed.path is None:
        return False
    known = indexed.file
    if known is None:
        if not is_file(indexed.path):
            return False
        known = state_of(MediaFiles([indexed], probe=False), 0)
    if known is None or known.size != (dataset.stamp(number) or (None,))[0]:
        return False
    return known.content == _content(dataset, number)


def query_items(queries: MediaDataset, index: MediaIndex) -> tuple[MediaItem, ...]:
    """The items of queries, with the sources that the index has for them.

    A query that is in the index has the source of its twin there, whatever its key. One that only shares the key of
    another file keeps it as its source: it may be a copy, which must not find itself.
    """
    items = list(queries.items)
    for number, key in match_items(queries, index).known.items():
        if items[number].source == items[number].key:
            items[number] = dataclasses.replace(items[number], source=index.items[index.id_of(key)].source)
    return tuple(items)


def _free_key(origin: str, index: MediaIndex, taken: set[str]) -> str:
    key = origin.replace(os.sep, "/")
    number = 2
    while key in index or key in taken:
        key, number = f"{origin}#{number}", number + 1
    return key
