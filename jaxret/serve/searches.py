"""Searches: one at a time, the others in line, each with its state and what it found."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import secrets
import threading
import time
from typing import Any

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import Kind, MediaItem
from jaxret.data.readers import ArrayReader
from jaxret.errors import JaxretError, MediaError
from jaxret.retrieval import EncodedQuery, Hit
from jaxret.serve.api.requests import QueryRequest, SearchRequest
from jaxret.serve.errors import ApiError
from jaxret.serve.library import OpenIndex
from jaxret.serve.limits import Limits
from jaxret.serve.progress import Watched
from jaxret.serve.queries import (
    CancelledError,
    ObservedMedia,
    QueryMedia,
    part_of,
    read_feedback,
    read_options,
    settled_by_query,
)
from jaxret.serve.workers import Task, Workers

__all__ = ["Search", "Searches"]


class Search(Watched):
    """A search that was handed in.

    Attributes:
      id: how requests name it.
      request: what it is.
      index: that is searched.
      stage: of a running one, what it does.
      hits: what it found.
      error: why it failed.
      timings: seconds by part.
      damage: what is missing from the query's file.
      cancelled: set when it is not wanted any more.
    """

    def __init__(self, request: SearchRequest, index: OpenIndex):
        super().__init__()
        self.id = secrets.token_urlsafe(9)
        self.request, self.index = request, index
        self.stage: str | None = None
        self.hits: list[Hit] = []
        self.error: str | None = None
        self.timings: dict[str, float] = {}
        self.damage: str | None = None
        self.cancelled = threading.Event()
        self.task: Task[None] | None = None
        self.begun = time.perf_counter()

    def at(self, stage: str) -> None:
        """Tell what is done now."""
        self.stage = stage
        self.tell("running")


@dataclasses.dataclass(frozen=True)
class _Encoded:
    """A query as its encoder sees it, and what was learned on the way."""

    query: EncodedQuery
    damage: str | None


class Searches:
    """The line of searches.

    Args:
      media: finds queries.
      limits: how many wait and how many are kept.

    Attributes:
      workers: the one thread that searches, which comparisons use, too.
    """

    def __init__(self, media: QueryMedia, limits: Limits):
        self._media, self._limits = media, limits
        self.workers = Workers("search", 1, limits.waiting)
        self._kept: collections.OrderedDict[str, Search] = collections.OrderedDict()
        self._encoded: collections.OrderedDict[Any, _Encoded] = collections.OrderedDict()

    def hand_in(self, request: SearchRequest, index: OpenIndex) -> Search:
        """Put a search in line.

        Raises:
          ApiError: the request does not fit the index, or the line is full.
        """
        options = read_options(index, request)
        if request.k > self._limits.results:
            raise ApiError(400, f"k must be at most {self._limits.results}, got {request.k}", "k")
        search = Search(request, index)
        search.task = self.workers.submit(lambda: self._run(search, options))
        self._make_room()
        self._kept[search.id] = search
        return search

    def _make_room(self) -> None:
        """Forget the oldest searches that are finished, where there are too many or their results are."""
        hits = sum(len(each.hits) for each in self._kept.values())
        for old in list(self._kept.values()):
            if len(self._kept) < self._limits.searches and hits <= self._limits.hits:
                return
            if old.finished:
                hits -= len(old.hits)
                del self._kept[old.id]

    def find(self, id: str) -> Search:
        """A search by its name.

        Raises:
          ApiError: there is none, or it made room for others.
        """
        if id not in self._kept:
            raise ApiError(404, "this search is not here any more: search again", "search")
        return self._kept[id]

    def position(self, search: Search) -> int:
        """How many are before a search."""
        return 0 if search.task is None or search.finished else self.workers.position(search.task)

    def cancel(self, search: Search) -> None:
        """Take a search out of line; one that runs ends as soon as it can, and its results are not kept."""
        search.cancelled.set()
        if search.task is not None:
            self.workers.cancel(search.task)
        search.tell("cancelled")
        self._tell_waiting()

    def encode(self, index: OpenIndex, query: QueryRequest, options: Any, search: Search | None = None) -> EncodedQuery:
        """The query of a request as the index's encoder sees it, from a search before where it was the same.

        Args:
          index: that is searched.
          query: what with.
          options: of the search.
          search: that is told what happens; None for none.

        Raises:
          ApiError, MediaError, ValueError: it cannot be.
        """
        source = self._media.source(index, query)
        stamp = "" if source is None else source.stamp
        known = (index.id, query, stamp, *settled_by_query(options).values())
        if known in self._encoded:
            self._encoded.move_to_end(known)
            if search is not None:
                search.damage = self._encoded[known].damage
            return self._encoded[known].query
        begun = time.perf_counter()
        if source is None:
            encoded, decoding = _Encoded(index.retriever.encode(text=query.text, options=options), None), 0.0
        else:
            if search is not None:
                search.at("decode")
            observed = ObservedMedia(part_of(source, query), threading.Event() if search is None else search.cancelled)
            encoded = _Encoded(index.retriever.encode(observed, options=options), observed.damage)
            decoding = observed.seconds
        if search is not None:
            spent = time.perf_counter() - begun
            search.timings |= {"decode": min(decoding, spent), "encode": max(spent - decoding, 0.0)}
            search.damage = encoded.damage
        self._encoded[known] = encoded
        while len(self._encoded) > self._limits.encoded or (
            sum(each.query.nbytes for each in self._encoded.values()) > self._limits.encoded_bytes
        ):
            self._encoded.popitem(last=False)
        return encoded.query

    def _run(self, search: Search, options: Any) -> None:
        """In the thread that searches."""
        if search.finished:
            return
        search.timings["wait"] = time.perf_counter() - search.begun
        try:
            hits = self._found(search, options)
        except CancelledError:
            return
        except MediaError as error:
            search.error = f"{_named(self._media, search)}: {error.reason}"
            search.tell("failed")
        except (ApiError, JaxretError, ValueError, TypeError, OverflowError, MemoryError, OSError) as error:
            search.error = error.message if isinstance(error, ApiError) else str(error)
            search.tell("failed")
        except BaseException:
            search.error = "the server failed at this search: its log says how"
            search.tell("failed")
            raise
        else:
            if not search.cancelled.is_set():
                search.hits = hits
                search.tell("done")
        finally:
            self._tell_waiting()

    def _found(self, search: Search, options: Any) -> list[Hit]:
        request, index = search.request, search.index
        index.refresh()
        retriever = index.retriever
        encoded = self.encode(index, request.what, options, search)
        search.at("rank")
        begun = time.perf_counter()
        feedback = read_feedback(index, request)
        if feedback is not None:
            encoded = retriever.refine(encoded, feedback, options=options)
        hits = retriever.search(encoded, request.k, options=options, kinds=request.kinds, where=request.where)
        if request.sort is not None:
            hits = _sorted(hits, request.sort, {*retriever.index.columns})
        search.timings["rank"] = time.perf_counter() - begun
        return hits

    def _tell_waiting(self) -> None:
        for each in list(self._kept.values()):
            if not each.finished:
                each.tell()

    def warm(self, index: OpenIndex) -> None:
        """Search once with a grey image and a grey video, so that what is compiled and read at first use is ready."""
        kinds: tuple[Kind, ...] = ("image", "video")
        for kind in kinds:

            def work(kind: Kind = kind) -> None:
                with contextlib.suppress(JaxretError, ValueError, TypeError):  # an index of another kind of query
                    index.retriever.search(index.retriever.encode(_Grey(kind)), 1)

            self.workers.submit(work, own=True)


class _Grey(MediaDataset):
    """A medium that shows nothing."""

    def __init__(self, kind: Kind):
        self.items = (MediaItem("grey", kind),)

    def open(self, index: int) -> ArrayReader:
        frames = 1 if self.items[0].kind == "image" else 8
        return ArrayReader(np.full((frames, 64, 64, 3), 128, np.uint8), np.arange(frames) / 8, (frames - 1) / 8)


def _named(media: QueryMedia, search: Search) -> str:
    """The query's file as people know it."""
    query = search.request.what
    if query.upload is not None:
        return media.uploads.find(query.upload).source.name
    return query.path or (search.index.item(query.item).key if query.item is not None else "the query")


def _sorted(hits: list[Hit], sort: str, own: set[str]) -> list[Hit]:
    """Hits in the order of a column or of a field of theirs; those without a value last."""
    name, falling = sort.removeprefix("-"), sort.startswith("-")
    fields = ("distance", "start", "end", "cosine")
    of_item = ("key", "kind", "label", "source", "split", "duration", "modified", "size")
    if name not in (*fields, *of_item, *own):
        known = ", ".join((*fields, *of_item, *sorted(own)))
        raise ApiError(400, f"sort must be one of {known}, with or without a minus before it, got {sort!r:.80}", "sort")

    def value(hit: Hit) -> Any:
        if name in fields:
            return getattr(hit, name)
        if name in ("modified", "size"):
            return None if hit.item.file is None else getattr(hit.item.file, name)
        return getattr(hit.item, name) if name in of_item else hit.item.columns.get(name)

    some = [hit for hit in hits if value(hit) is not None]
    some.sort(key=value, reverse=falling)
    return some + [hit for hit in hits if value(hit) is None]
