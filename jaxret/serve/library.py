"""The indexes that are open, and what can be said of each without searching."""

from __future__ import annotations

import base64
import binascii
import collections
import copy
import os
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jaxret.cli.option_fields import option_fields
from jaxret.data.items import MediaItem
from jaxret.errors import EncoderMismatchError
from jaxret.index import MediaIndex
from jaxret.retrieval import RegionSearch, Retriever
from jaxret.retrieval.store import index_folder
from jaxret.serve.errors import ApiError

__all__ = ["NOT_GIVEN", "Library", "OpenIndex", "folder_of", "item_id"]

NOT_GIVEN = ("region", "at", "device")
"""Fields of options that a request does not give: the query says the first two, and the server has its devices."""

_MOST_NAMES = 1000  # labels and folders that are listed: the most frequent ones


def item_id(key: str) -> str:
    """How requests name an item: its key, in letters that fit into an address."""
    return base64.urlsafe_b64encode(key.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def folder_of(key: str) -> str:
    """The folder that an item's key lies in; empty at the top."""
    folder = str(PurePosixPath(key).parent)
    return "" if folder == "." else folder


class OpenIndex:
    """An index, open for searching.

    Args:
      id: how requests name it.
      name: how people know it.
      retriever: over it.

    Attributes:
      id, name, retriever: as given.
      media_changed: whether an addition is under way, see `jaxret.serve.indexing`.
    """

    def __init__(self, id: str, name: str, retriever: Retriever):
        self.id, self.name, self.retriever = id, name, retriever
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[Any, Any] = collections.OrderedDict()

    def refresh(self) -> None:
        """Move to what other programs have made of the index.

        Raises:
          ApiError: it was made anew by another encoder, which must be opened first.
          IndexFormatError: it is none any more.
        """
        _move(self.retriever.index)

    def for_changes(self) -> Retriever:
        """A retriever over what the index is now, for the thread that adds: searches stay at their revision.

        Raises:
          ApiError, IndexFormatError: as `refresh`.
        """
        index = copy.copy(self.retriever.index)
        _move(index)
        return Retriever(self.retriever.encoder, index)

    def item(self, id: str) -> MediaItem:
        """An item by the name that requests have for it.

        Raises:
          ApiError: there is none.
        """
        try:
            key = base64.urlsafe_b64decode(id + "=" * (-len(id) % 4)).decode("utf-8", "surrogatepass")
            return self.retriever.index.item_of(key)
        except (ValueError, binascii.Error):
            raise ApiError(404, f"{self.name} has no item {id!r:.80}", "item") from None

    def passing(self, where: str | None, kinds: Sequence[str] | None, sort: str | None) -> Sequence[int]:
        """Ids of the items that pass a filter, in the order of a column.

        Args:
          where, kinds: see `jaxret.index.MediaIndex.passing`.
          sort: the name of a column, with a minus before it for the largest first; None for the order of the index.

        Raises:
          ValueError: the filter or the column is none.
        """
        chosen = ("order", where, None if kinds is None else tuple(kinds), sort)
        return self._remembered(chosen, lambda: self._order(where, kinds, sort))

    def _order(self, where: str | None, kinds: Sequence[str] | None, sort: str | None) -> list[int]:
        index = self.retriever.index
        ids = np.flatnonzero(index.passing(kinds, where)).tolist()
        if sort is None:
            return ids
        values = index.values(sort.removeprefix("-"))
        named = [number for number in ids if values[number] is not None]
        try:
            named.sort(key=lambda number: values[number], reverse=sort.startswith("-"))
        except TypeError:  # numbers and texts in one column
            named.sort(key=lambda number: str(values[number]), reverse=sort.startswith("-"))
        return named + [number for number in ids if values[number] is None]

    def describe(self) -> dict[str, Any]:
        """What the page and programs need to know to search."""
        index, system = self.retriever.index, self.retriever.system
        facts = self._remembered("facts", self._facts)
        regions = RegionSearch in system.options
        kinds = ["image", "video", *(["text"] if system.knows_words else []), *(["region"] if regions else [])]
        default = system.default_options()
        return {
            "id": self.id,
            "name": self.name,
            "system": system.title,
            "items": len(index),
            **facts,
            "knows_words": system.knows_words,
            "query_kinds": kinds,
            "options": [
                {"name": kind.__name__, "fields": [field.to_json() for field in option_fields(kind, NOT_GIVEN)]}
                for kind in system.options
            ],
            "default_options": {
                "class": type(default).__name__,
                **{
                    field.name: field.default for field in option_fields(type(default), NOT_GIVEN) if not field.required
                },
            },
        }

    def _facts(self) -> dict[str, Any]:
        index = self.retriever.index
        kinds, durations = index.values("kind"), index.values("duration")
        labels = collections.Counter(label for label in index.values("label") if label is not None)
        folders = collections.Counter(map(folder_of, index.values("key")))
        return {
            "images": kinds.count("image"),
            "videos": kinds.count("video"),
            "duration": float(sum(seconds or 0 for seconds in durations)),
            "columns": [_column(name, index.values(name)) for name in index.columns],
            "labels": [{"label": label, "count": count} for label, count in sorted(labels.most_common(_MOST_NAMES))],
            "folders": [
                {"folder": folder, "count": count} for folder, count in sorted(folders.most_common(_MOST_NAMES))
            ],
        }

    def _remembered(self, what: Any, find: Any) -> Any:
        """What was found of this revision of the index."""
        chosen = (what, self.retriever.index.revision)
        with self._lock:
            if chosen in self._kept:
                self._kept.move_to_end(chosen)
                return self._kept[chosen]
        found = find()
        with self._lock:
            self._kept[chosen] = found
            if len(self._kept) > 16:
                self._kept.popitem(last=False)
        return found


def _move(index: MediaIndex) -> None:
    """Move to the current revision; what to do where it is of another encoder."""
    try:
        index.refresh()
    except EncoderMismatchError as error:
        raise ApiError(409, f"{error}, by ending jaxret serve and starting it anew") from error


def _column(name: str, values: Iterable[Any]) -> dict[str, Any]:
    """A column of the user's own; its values where they are few."""
    some = [value for value in values if value is not None]
    kinds = {"boolean": bool, "number": int | float}
    kind = next((word for word, of in kinds.items() if all(isinstance(value, of) for value in some)), "text")
    few = sorted(set(some), key=str)
    return {"name": name, "type": kind, **({"values": few} if len(few) <= 50 else {})}


class Library:
    """The open indexes, in the order that they were named.

    Args:
      folders: of indexes, or of runs that hold one.
      programs: where programs of their encoders are kept, see `jaxret.retrieval.Retriever.open`.

    Attributes:
      indexes: by the name that requests have for each.

    Raises:
      ConfigError, IndexFormatError, WeightsError, EncoderMismatchError: as `Retriever.open`.
    """

    def __init__(self, folders: Sequence[Path], programs: Path | None = None):
        self.indexes: dict[str, OpenIndex] = {}
        for folder in folders:
            place = index_folder(folder)
            name = _name(folder)
            id = _free(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "index", self.indexes)
            self.indexes[id] = OpenIndex(id, name, Retriever.open(place, programs=programs))

    def find(self, id: str) -> OpenIndex:
        """An index by the name that requests have for it.

        Raises:
          ApiError: there is none.
        """
        try:
            return self.indexes[id]
        except KeyError:
            known = ", ".join(self.indexes)
            raise ApiError(404, f"there is no index {id!r:.80}, there are {known}", "index") from None


def _name(folder: Path) -> str:
    """The name of an index's folder; of one within a run the run's."""
    place = Path(os.path.realpath(folder))
    return place.parent.name if place.name == "index" and place.parent.name else place.name


def _free(id: str, taken: Iterable[str]) -> str:
    names = {id, *(f"{id}-{number}" for number in range(2, len(list(taken)) + 3))} - set(taken)
    return id if id in names else min(names, key=lambda name: int(name.rsplit("-", 1)[1]))
