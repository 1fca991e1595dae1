"""What requests say."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from jaxret.data.items import Kind
from jaxret.ranges import Count, CountOrZero, Weight, at_least

__all__ = [
    "Browse",
    "ComparisonRequest",
    "CutRequest",
    "DifferenceRequest",
    "ExportRequest",
    "Filmstrip",
    "IndexingRequest",
    "Marked",
    "Page",
    "Place",
    "QueryRequest",
    "SearchRequest",
    "Thumbnail",
    "UploadName",
    "WaitOrNot",
]


@dataclasses.dataclass(frozen=True)
class QueryRequest:
    """What to search with: one of an upload, an item of the index, a file below the media root, and words.

    Attributes:
      upload: the name that the upload's answer gave.
      item: an item of the index.
      path: a file below the media root, relative to it.
      text: words, where the index knows some.
      at: of a video, the second of the frame to search with, as with an image.
      start: of a video, the second that the part to search with begins at.
      end: and that it ends at.
      region: of an index of regions: left, top, width and height of a box, in shares of the image's sides.
    """

    upload: str | None = None
    item: str | None = None
    path: str | None = None
    text: str | None = None
    at: Weight | None = None
    start: Weight | None = None
    end: Weight | None = None
    region: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        named = [name for name in ("upload", "item", "path", "text") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"a query is one of upload, item, path and text, got {' and '.join(named) or 'none'}")
        parts = [name for name in ("at", "start", "end", "region") if getattr(self, name) is not None]
        if self.text is not None and parts:
            raise ValueError(f"{parts[0]} belongs to an image or a video, and the query is words: leave it out")
        if self.at is not None and (self.start is not None or self.end is not None):
            raise ValueError("at takes a frame, start and end a part of the video: give one of them")


@dataclasses.dataclass(frozen=True)
class Marked:
    """A result that was marked as right or wrong.

    Attributes:
      item: of the index.
      start: of a video, the second that the part that is meant begins at.
      end: and that it ends at.
    """

    item: str
    start: float | None = None
    end: float | None = None


@dataclasses.dataclass(frozen=True)
class SearchRequest:
    """A search.

    Attributes:
      index: that is searched.
      query: what with; without it the first item of plus.
      plus: items that were right, as their names or as marked parts: the query moves towards them.
      minus: items that were wrong: the query moves away from them, and they are not found.
      options: fields of one of the index's classes of options; which one says `class`, by default the first.
      k: results wanted.
      kinds: find only images, or only videos.
      where: a filter, such as label = 'cat' AND duration > 10.
      sort: put the results in the order of a column, with a minus the largest first; by default nearest first.
    """

    index: str
    query: QueryRequest | None = None
    plus: tuple[str | Marked, ...] = ()
    minus: tuple[str | Marked, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    k: Count = 50
    kinds: tuple[Kind, ...] | None = None
    where: str | None = None
    sort: str | None = None

    def __post_init__(self) -> None:
        if self.query is None and not self.plus:
            raise ValueError("query is missing: a search needs one, or an item that was right (plus)")

    @property
    def what(self) -> QueryRequest:
        """The query, or the first item that was right."""
        if self.query is not None:
            return self.query
        first = self.plus[0]
        return QueryRequest(item=first if isinstance(first, str) else first.item)


@dataclasses.dataclass(frozen=True)
class Page:
    """Which results to give.

    Attributes:
      offset: the first of them.
      limit: how many at most.
    """

    offset: CountOrZero = 0
    limit: Annotated[int, at_least(0, most=1000)] = 200


@dataclasses.dataclass(frozen=True)
class WaitOrNot:
    """How to answer a search.

    Attributes:
      wait: answer when it is done, with the results.
    """

    wait: bool = False


@dataclasses.dataclass(frozen=True)
class Browse:
    """Which items to list.

    Attributes:
      index: whose items.
      where: a filter, as in a search.
      kind: only images, or only videos.
      sort: by a column, with a minus the largest first; by default in the order of the index.
      offset: the first of them.
      limit: how many at most.
    """

    index: str
    where: str | None = None
    kind: Kind | None = None
    sort: str | None = None
    offset: CountOrZero = 0
    limit: Annotated[int, at_least(1, most=1000)] = 200


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """An image of a medium.

    Attributes:
      at: of a video, the second.
      width: pixels at most.
    """

    at: Weight = 0.0
    width: Annotated[int, at_least(16, most=2048)] = 320


@dataclasses.dataclass(frozen=True)
class Filmstrip:
    """Frames of a video side by side.

    Attributes:
      frames: how many.
      width: pixels of each at most.
    """

    frames: Annotated[int, at_least(1, most=64)] = 16
    width: Annotated[int, at_least(16, most=320)] = 96


@dataclasses.dataclass(frozen=True)
class UploadName:
    """What is uploaded, where the body is the file itself.

    Attributes:
      name: of the file.
    """

    name: str = "upload"


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder below the media root.

    Attributes:
      path: relative to it; empty for the root.
    """

    path: str = ""


@dataclasses.dataclass(frozen=True)
class ComparisonRequest:
    """A query and a result to lay side by side.

    Attributes:
      index: that was searched.
      query: what with.
      item: the result.
      start: of a video, the second that what was found begins at.
      end: and that it ends at.
      options: of the search.
    """

    index: str
    query: QueryRequest
    item: str
    start: Weight | None = None
    end: Weight | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class DifferenceRequest:
    """Two frames whose difference is wanted; the query is one of an upload, an item and a path.

    Attributes:
      index: that was searched.
      item: the result.
      query_upload: the query, see `QueryRequest`.
      query_item: likewise.
      query_path: likewise.
      query_at: of a video, the second.
      item_at: of a video, the second.
      width: pixels at most.
    """

    index: str
    item: str
    query_upload: str | None = None
    query_item: str | None = None
    query_path: str | None = None
    query_at: Weight = 0.0
    item_at: Weight = 0.0
    width: Annotated[int, at_least(16, most=1024)] = 480

    def __post_init__(self) -> None:
        QueryRequest(self.query_upload, self.query_item, self.query_path)


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """Results to be written.

    Attributes:
      search: whose.
      format: csv, json, or edl for an edit decision list of the films among them.
      ranks: which of them; by default all.
    """

    search: str
    format: Literal["csv", "json", "edl"]
    ranks: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class CutRequest:
    """A part of a film to be cut out.

    Attributes:
      index: of the item.
      item: the film.
      start: second.
      end: second.
      exact: begin exactly at the start, which encodes the frames anew; by default at the key frame before it.
    """

    index: str
    item: str
    start: Weight
    end: Weight
    exact: bool = False

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ValueError(f"a clip must end after it starts, got {self.start:g} to {self.end:g} s")


@dataclasses.dataclass(frozen=True)
class IndexingRequest:
    """A folder to be added to an index.

    Attributes:
      index: that grows.
      folder: below the media root, relative to it; empty for all of it.
    """

    index: str
    folder: str
