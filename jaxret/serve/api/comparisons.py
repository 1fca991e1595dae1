"""Why a query and a result match."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from PIL import Image
from starlette.responses import Response

from jaxret.data.readers import Pixels
from jaxret.ranges import Weight, at_least
from jaxret.retrieval import RegionComparison, SequenceComparison
from jaxret.serve.api.endpoint import Call, Endpoint
from jaxret.serve.api.requests import QueryRequest, SearchRequest
from jaxret.serve.errors import ApiError
from jaxret.serve.media.previews import frames_of
from jaxret.serve.parts import Parts
from jaxret.serve.queries import offset_of, read_options

__all__ = ["comparison_endpoints"]


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


def comparison_endpoints(parts: Parts) -> list[Endpoint]:
    """What can be requested of a query and a result together."""

    async def compare(call: Call) -> dict[str, Any]:
        wanted: ComparisonRequest = call.body
        index = parts.library.find(wanted.index)
        options = read_options(index, SearchRequest(wanted.index, wanted.query, options=wanted.options))
        key = index.item(wanted.item).key
        span = None if wanted.start is None else (wanted.start, wanted.start if wanted.end is None else wanted.end)

        def compared() -> ComparisonAnswer:
            encoded = parts.searches.encode(index, wanted.query, options)
            found = index.retriever.compare(encoded, key, options=options, span=span)
            return comparison_answer(found, wanted.query)

        return _without_nothing(await parts.searches.workers.do(compared))

    async def difference(call: Call) -> Response:
        wanted: DifferenceRequest = call.parameters
        index = parts.library.find(wanted.index)
        query = QueryRequest(wanted.query_upload, wanted.query_item, wanted.query_path)

        def drawn() -> bytes:
            source = parts.media.source(index, query)
            assert source is not None
            item = parts.sources.of_item(index, index.item(wanted.item))
            (own,) = frames_of(source, [wanted.query_at], wanted.width)
            (found,) = frames_of(item, [wanted.item_at], wanted.width)
            return _jpeg_of_difference(own, found)

        made = await parts.drawing.do(drawn)
        return Response(made, media_type="image/jpeg")

    return [
        Endpoint(
            "POST",
            "/api/comparisons",
            "How a query and a result match: moments of two videos that meet, or places that agree.",
            compare,
            body=ComparisonRequest,
            answer=ComparisonAnswer,
        ),
        Endpoint(
            "GET",
            "/api/comparisons/difference",
            "Where a frame of the query and one of a result differ: dark where they are alike.",
            difference,
            DifferenceRequest,
            media_type="image/jpeg",
        ),
    ]


def comparison_answer(found: SequenceComparison | RegionComparison | None, query: QueryRequest) -> ComparisonAnswer:
    """A comparison as requests see it."""
    if found is None:
        return ComparisonAnswer("images")
    if isinstance(found, SequenceComparison):
        return ComparisonAnswer(
            "alignment",
            query_times=tuple(np.round(found.query_times + offset_of(query), 4).tolist()),
            item_times=tuple(np.round(found.item_times, 4).tolist()),
            path=tuple(map(tuple, found.path.tolist())),
            distances=tuple(tuple(float(f"{d:.4g}") for d in row) for row in found.distances.tolist()),
            backwards=found.backwards,
        )
    box = None
    if found.box is not None:
        left, top, right, bottom = found.box
        box = (left, top, right - left, bottom - top)
    pairs = zip(found.query_points.tolist(), found.points.tolist(), strict=True)
    return ComparisonAnswer(
        "regions",
        query_box=query.region or (0.0, 0.0, 1.0, 1.0),
        box=box,
        points=tuple({"query": own, "item": met} for own, met in pairs),
    )


def _without_nothing(answer: ComparisonAnswer) -> dict[str, Any]:
    """The fields of the answer's kind alone."""
    return {name: value for name, value in dataclasses.asdict(answer).items() if value is not None or name == "box"}


def _jpeg_of_difference(own: Pixels, found: Pixels) -> bytes:
    if min(*own.shape[:2], *found.shape[:2]) < 1:
        raise ApiError(422, "an image without pixels has no difference")
    size = found.shape[1], found.shape[0]
    scaled = np.asarray(Image.fromarray(own).resize(size, Image.Resampling.BILINEAR), np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.abs(scaled - found).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
