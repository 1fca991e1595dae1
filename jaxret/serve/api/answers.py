"""Items and results as requests see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from jaxret.data.items import ColumnValue, MediaItem
from jaxret.retrieval import Hit
from jaxret.serve.library import OpenIndex, folder_of, item_id
from jaxret.serve.media.source import Sources

__all__ = ["HitAnswer", "ItemAnswer", "hit_answer", "item_answer"]


@dataclasses.dataclass(frozen=True)
class ItemAnswer:
    """An item of an index.

    Attributes:
      item: its name in requests.
      key: its name in the index.
      name: of its file.
      folder: that it lies in, by the key.
      kind: image or video.
      label: its class, if it has one.
      width: pixels; null where only opening it would tell.
      height: likewise.
      duration: seconds, 0 of an image.
      media: the address of its file.
      thumbnail: the address of a small image of it.
      filmstrip: the address of frames side by side, of a video.
      playable: whether browsers show its file, as far as the name tells.
      missing: whether its file is gone.
      columns: the values of the user's own columns.
    """

    item: str
    key: str
    name: str
    folder: str
    kind: str
    label: str | None
    width: int | None
    height: int | None
    duration: float | None
    media: str
    thumbnail: str
    filmstrip: str | None
    playable: bool
    missing: bool
    columns: Mapping[str, ColumnValue]


@dataclasses.dataclass(frozen=True)
class HitAnswer(ItemAnswer):
    """A result of a search.

    Attributes:
      rank: its place, from 1.
      distance: to the query, by the metric.
      metric: of the distance.
      start: the second in the item that what was found begins at.
      end: and that it ends at; the same for a frame.
      moment: of an image that found a shot, the second of the frame nearest to it.
      query_start: the second in the query.
      query_end: and its end.
      backwards: whether one of the two was read backwards.
      box: left, top, width and height of the place that was found, in shares of the image's sides.
      cosine: similarity to the query, where it was needed.
      inliers: key points that agree, where they were compared.
    """

    rank: int = 0
    distance: float = 0.0
    metric: str = ""
    start: float = 0.0
    end: float = 0.0
    moment: float | None = None
    query_start: float = 0.0
    query_end: float = 0.0
    backwards: bool = False
    box: tuple[float, float, float, float] | None = None
    cosine: float | None = None
    inliers: int | None = None


def item_answer(index: OpenIndex, item: MediaItem, sources: Sources) -> ItemAnswer:
    """An item as requests see it."""
    return ItemAnswer(**_item_fields(index, item, sources, at=0.0, size=None))


def hit_answer(index: OpenIndex, rank: int, hit: Hit, sources: Sources, *, offset: float = 0.0) -> HitAnswer:
    """A result as requests see it.

    Args:
      index, rank, hit: the result.
      sources: of its medium.
      offset: seconds in the query's medium from which those of the query count.
    """
    box = None
    if hit.box is not None and hit.size is not None:
        (left, top, right, bottom), (height, width) = hit.box, hit.size
        box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    at = hit.moment if hit.moment is not None else (hit.start + hit.end) / 2
    return HitAnswer(
        **_item_fields(index, hit.item, sources, at=at, size=hit.size),
        rank=rank,
        distance=hit.distance,
        metric=hit.metric,
        start=hit.start,
        end=hit.end,
        moment=hit.moment,
        query_start=hit.query_span[0] + offset,
        query_end=hit.query_span[1] + offset,
        backwards=hit.backwards,
        box=box,
        cosine=hit.cosine,
        inliers=hit.inliers,
    )


def _item_fields(
    index: OpenIndex, item: MediaItem, sources: Sources, *, at: float, size: tuple[int, int] | None
) -> dict[str, Any]:
    id = item_id(item.key)
    place = f"{index.id}/{id}"
    video = item.kind == "video"
    moment = "?" + urlencode({"at": f"{at:.3f}"}) if video else ""
    return {
        "item": id,
        "key": item.key,
        "name": item.key.rsplit("/", 1)[-1],
        "folder": folder_of(item.key),
        "kind": item.kind,
        "label": item.label,
        "width": size and size[1],
        "height": size and size[0],
        "duration": item.duration,
        "media": f"/api/media/{place}",
        "thumbnail": f"/api/thumbnails/{place}{moment}",
        "filmstrip": f"/api/filmstrips/{place}" if video else None,
        "playable": sources.may_play(item),
        "missing": sources.is_missing(item),
        "columns": dict(item.columns),
    }
