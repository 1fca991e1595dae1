"""From what a request says to what a retriever searches with."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxret.cli.option_fields import option_fields
from jaxret.data.dataset import MediaDataset
from jaxret.data.excerpts import FrameOf, SpanOf
from jaxret.data.readers import Indices, MediaReader, Pixels
from jaxret.data.sampling.transforms import FrameGeometry
from jaxret.retrieval import Feedback, Mark, Region, RegionSearch
from jaxret.serve.api.requests import Marked, QueryRequest, SearchRequest
from jaxret.serve.api.typed import read
from jaxret.serve.errors import ApiError
from jaxret.serve.library import NOT_GIVEN, OpenIndex
from jaxret.serve.media.places import MediaRoot
from jaxret.serve.media.source import Source, Sources, file_source
from jaxret.serve.media.uploads import Uploads

__all__ = [
    "CancelledError",
    "ObservedMedia",
    "QueryMedia",
    "offset_of",
    "part_of",
    "read_feedback",
    "read_options",
    "settled_by_query",
]


class CancelledError(Exception):
    """What decodes a query was told that it is not wanted any more."""


@dataclasses.dataclass(frozen=True)
class QueryMedia:
    """Finds the media that requests name.

    Attributes:
      uploads, sources: where they are.
      root: the media root; None for none.
    """

    uploads: Uploads
    sources: Sources
    root: MediaRoot | None

    def source(self, index: OpenIndex, query: QueryRequest) -> Source | None:
        """The medium that a request names; None for words.

        Raises:
          ApiError: there is none of that name.
          MediaError: it may not be read.
        """
        if query.upload is not None:
            return self.uploads.find(query.upload).source
        if query.item is not None:
            return self.sources.of_item(index, index.item(query.item))
        if query.path is not None:
            if self.root is None:
                raise ApiError(403, "files are searched with by path below --media-root, and none was given", "path")
            return file_source(self.root.find(query.path), query.path)
        return None


def part_of(source: Source, query: QueryRequest) -> MediaDataset:
    """The part of a medium that a query means, as a data set of one item.

    Raises:
      ValueError: an image has no parts, or the part is empty.
    """
    if query.at is not None:
        return FrameOf(source.data, 0, query.at)
    if query.start is not None or query.end is not None:
        end = query.end if query.end is not None else float("inf")
        return SpanOf(source.data, 0, query.start or 0.0, end)
    return source.data


def offset_of(query: QueryRequest) -> float:
    """The second of the query's medium from which the seconds of its part count."""
    return query.at or query.start or 0.0


def read_options(index: OpenIndex, request: SearchRequest) -> Any:
    """The options of a search.

    Raises:
      ApiError: a class, a field or a value is unknown or out of range.
    """
    given = dict(request.options)
    classes = {kind.__name__: kind for kind in index.retriever.system.options}
    default = type(index.retriever.system.default_options())
    name = given.pop("class", default.__name__)
    if name not in classes:
        raise ApiError(400, f"options.class must be one of {', '.join(classes)}, got {name!r:.80}", "options.class")
    kind = classes[name]
    known = {field.name for field in option_fields(kind, NOT_GIVEN)}
    for field in given:
        if field not in known:
            told = f"options.{field:.80} is unknown, there are {', '.join(sorted(known))}"
            raise ApiError(400, told, f"options.{field:.80}")
    options = read(kind, {name: value for name, value in given.items() if value is not None}, "options")
    if getattr(options, "probes", None) is not None and not index.retriever.index.cells:
        told = f"probes looks into cells, and {index.name} keeps none: make them with jaxret index INDEX --cells N"
        raise ApiError(400, told, "options.probes")
    if request.what.region is not None:
        if not isinstance(options, RegionSearch):
            told = f"{index.name} is an index of {index.retriever.system.title}, which have no regions: leave it out"
            raise ApiError(400, told, "query.region")
        options = dataclasses.replace(options, region=_region(request.what.region))
    return options


def _region(sides: tuple[float, float, float, float]) -> Region:
    left, top, width, height = sides
    return Region(left, top, min(width, 1 - left), min(height, 1 - top), shares=True)


def read_feedback(index: OpenIndex, request: SearchRequest) -> Feedback | None:
    """The marks of a request; None where there are none.

    Raises:
      ApiError: an item is not in the index.
    """
    if not request.plus and not request.minus:
        return None
    plus, minus = (tuple(_mark(index, each) for each in marks) for marks in (request.plus, request.minus))
    return Feedback(plus, minus)


def _mark(index: OpenIndex, marked: str | Marked) -> Mark:
    if isinstance(marked, str):
        return Mark(index.item(marked).key)
    key = index.item(marked.item).key
    if marked.start is None:
        return Mark(key)
    return Mark(key, (marked.start, marked.start if marked.end is None else marked.end))


class ObservedMedia(MediaDataset):
    """A data set whose decoding is timed, and ends when it is not wanted any more.

    Args:
      inner: the data set.
      cancelled: set when it is not.

    Attributes:
      seconds: spent in opening and decoding so far.
      damage: what the reader last knew to be missing.
    """

    def __init__(self, inner: MediaDataset, cancelled: threading.Event):
        self._inner, self._cancelled = inner, cancelled
        self.items = inner.items
        self.seconds = 0.0
        self.damage: str | None = None

    def open(self, index: int) -> MediaReader:
        """A reader that is timed."""
        begun = time.perf_counter()
        try:
            return _ObservedReader(self._inner.open(index), self)
        finally:
            self.seconds += time.perf_counter() - begun

    def observed(self, things: Iterator[Any]) -> Iterator[Any]:
        """The things, each of them timed.

        Raises:
          CancelledError: it is not wanted any more.
        """
        while True:
            if self._cancelled.is_set():
                raise CancelledError
            begun = time.perf_counter()
            try:
                thing = next(things)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - begun
            yield thing


class _ObservedReader(MediaReader):
    def __init__(self, inner: MediaReader, owner: ObservedMedia):
        self._inner, self._owner = inner, owner
        self.info, self.times, self.has_depth = inner.info, inner.times, inner.has_depth
        self.damage = inner.damage
        self.path = getattr(inner, "path", "the medium")

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        yield from self._owner.observed(self._inner.frames(indices, geometry, channels))
        self.damage = self._owner.damage = self._inner.damage

    def depths(self, indices: Indices, geometry: FrameGeometry | None = None) -> Iterator[np.ndarray]:
        yield from self._owner.observed(self._inner.depths(indices, geometry))

    def close(self) -> None:
        self._inner.close()


def settled_by_query(options: Any) -> Mapping[str, Any]:
    """What options say of the query itself, by which its encoded form is known again."""
    names = ("region", "first_pass", "surroundings", "min_words", "scales") if isinstance(options, RegionSearch) else ()
    return {name: getattr(options, name) for name in names}
