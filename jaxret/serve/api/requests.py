"""What a search says; what other requests say stands beside their endpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxret.data.items import Kind
from jaxret.ranges import Count, Weight

__all__ = ["Marked", "QueryRequest", "SearchRequest"]


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
