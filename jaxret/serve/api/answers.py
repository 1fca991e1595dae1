"""What is answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from jaxret.data.items import ColumnValue, MediaItem
from jaxret.retrieval import Hit
from jaxret.serve.library import OpenIndex, folder_of, item_id
from jaxret.serve.media.source import Sources
from jaxret.serve.media.uploads import Upload

__all__ = ["HitAnswer", "ItemAnswer", "ItemsAnswer", "SearchAnswer", "UploadAnswer", "hit_answer", "item_answer"]


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


@dataclasses.dataclass(frozen=True)
class ItemsAnswer:
    """Items of an index.

    Attributes:
      items: those that were wanted.
      total: how many pass the filter.
    """

    items: tuple[ItemAnswer, ...]
    total: int


@dataclasses.dataclass(frozen=True)
class SearchAnswer:
    """How far a search is, and what it found.

    Attributes:
      search: its name in requests.
      state: waiting, running, done, failed or cancelled.
      stage: of a running one, what it does: decode, encode or rank.
      position: how many are before it in line.
      error: why it failed.
      total: results.
      hits: those that were wanted.
      timings: seconds by part: wait, decode, encode, rank.
      damage: what is missing from the query's file, if something is.
    """

    search: str
    state: str
    stage: str | None
    position: int
    error: str | None
    total: int
    hits: tuple[HitAnswer, ...]
    timings: Mapping[str, float]
    damage: str | None


@dataclasses.dataclass(frozen=True)
class UploadAnswer:
    """A file that was uploaded.

    Attributes:
      upload: its name in requests.
      name: of the file.
      kind: image or video.
      width: pixels.
      height: pixels.
      duration: seconds, 0 of an image.
      frames: how many, about.
      playable: whether browsers show it.
      media: the address of the file.
      thumbnail: the address of a small image of it.
      filmstrip: the address of frames side by side, of a video.
    """

    upload: str
    name: str
    kind: str
    width: int
    height: int
    duration: float
    frames: int | None
    playable: bool
    media: str
    thumbnail: str
    filmstrip: str | None


@dataclasses.dataclass(frozen=True)
class ComparisonAnswer:
    """How a query and a result match.

    Attributes:
      kind: alignment of two videos, regions of two images, or images, which have no parts to lay side by side.
      query_times: of an alignment: seconds of the query's rows.
      item_times: and of the result's.
      path: pairs of rows that meet.
      distances: between all rows, a list for each row of the query.
      backwards: whether one of the two was read backwards.
      query_box: of regions: left, top, width and height, in shares, of what was marked.
      box: of what was found; null where nothing of it was.
      points: pairs of points that agree, x and y in shares: query and item.
    """

    kind: str
    query_times: tuple[float, ...] | None = None
    item_times: tuple[float, ...] | None = None
    path: tuple[tuple[int, ...], ...] | None = None
    distances: tuple[tuple[float, ...], ...] | None = None
    backwards: bool | None = None
    query_box: tuple[float, float, float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    points: tuple[Mapping[str, Any], ...] | None = None


@dataclasses.dataclass(frozen=True)
class Unread:
    """A file that could not be read.

    Attributes:
      path: below the media root.
      reason: why.
    """

    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class JobAnswer:
    """How far an addition is.

    Attributes:
      job: its name in requests.
      state: waiting, running, done, failed or cancelled.
      index: that grows.
      folder: below the media root.
      done: files that were encoded.
      total: files that are new or were changed.
      added: items that are new in the index.
      renewed: items that were described anew.
      present: items that were there already.
      skipped: files that could not be read, of many the first.
      skipped_total: how many.
      error: why it failed.
    """

    job: str
    state: str
    index: str
    folder: str
    done: int
    total: int
    added: int
    renewed: int
    present: int
    skipped: tuple[Unread, ...]
    skipped_total: int
    error: str | None


@dataclasses.dataclass(frozen=True)
class FolderName:
    """A folder.

    Attributes:
      name: of it.
      path: below the media root.
    """

    name: str
    path: str


@dataclasses.dataclass(frozen=True)
class FolderAnswer:
    """What lies in a folder.

    Attributes:
      path: below the media root; empty for the root.
      parent: the folder above; null of the root.
      folders: in it.
      media: how many images and videos lie in it directly, by their names.
    """

    path: str
    parent: str | None
    folders: tuple[FolderName, ...]
    media: int


def upload_answer(upload: Upload) -> UploadAnswer:
    """An upload as requests see it."""
    place, details = f"/api/uploads/{upload.id}", upload.details
    return UploadAnswer(
        upload.id,
        upload.source.name,
        upload.source.kind,
        details.width,
        details.height,
        details.duration,
        details.frames,
        details.playable,
        f"{place}/media",
        f"{place}/thumbnail",
        f"{place}/filmstrip" if upload.source.kind == "video" else None,
    )


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
