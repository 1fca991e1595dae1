"""Files of items and uploads, and small images of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from starlette.responses import FileResponse, Response

from jaxret.ranges import Weight, at_least
from jaxret.serve.api.endpoint import Call, Endpoint
from jaxret.serve.media.playing import media_type
from jaxret.serve.media.source import Source
from jaxret.serve.parts import Parts

__all__ = ["media_endpoints"]


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


_KEPT = {"Cache-Control": "private, max-age=3600"}


def media_endpoints(parts: Parts) -> list[Endpoint]:
    """What can be requested of media: of items and of uploads alike."""

    def of_item(call: Call) -> Source:
        index = parts.library.find(call.path["index"])
        return parts.sources.of_item(index, index.item(call.path["item"]))

    def of_upload(call: Call) -> Source:
        return parts.uploads.find(call.path["upload"]).source

    def file(find: Callable[[Call], Source]) -> Any:
        async def answer(call: Call) -> Response:
            def found() -> Path:
                return parts.sources.rendered.file(find(call))

            path = await parts.drawing.do(found)
            return FileResponse(path, media_type=media_type(path), headers={"Cache-Control": "private, no-cache"})

        return answer

    def thumbnail(find: Callable[[Call], Source]) -> Any:
        async def answer(call: Call) -> Response:
            wanted: Thumbnail = call.parameters
            made = await parts.drawing.do(lambda: parts.previews.thumbnail(find(call), wanted.at, wanted.width))
            return Response(made, media_type="image/jpeg", headers=_KEPT)

        return answer

    def filmstrip(find: Callable[[Call], Source]) -> Any:
        async def answer(call: Call) -> Response:
            wanted: Filmstrip = call.parameters

            def made() -> bytes:
                source = find(call)
                duration = parts.sources.details(source).duration
                return parts.previews.filmstrip(source, duration, wanted.frames, wanted.width)

            return Response(await parts.drawing.do(made), media_type="image/jpeg", headers=_KEPT)

        return answer

    jpeg = "image/jpeg"
    found: list[Endpoint] = []
    for of, find, paths in (
        ("an item", of_item, ("/api/media/{index}/{item}", "/api/thumbnails/{index}/{item}",
                              "/api/filmstrips/{index}/{item}")),
        ("an upload", of_upload, ("/api/uploads/{upload}/media", "/api/uploads/{upload}/thumbnail",
                                  "/api/uploads/{upload}/filmstrip")),
    ):  # fmt: skip
        media, small, strip = paths
        found += [
            Endpoint("GET", media, f"The file of {of}, whole or in ranges.", file(find), media_type="video/*"),
            Endpoint("GET", small, f"A small image of {of}.", thumbnail(find), Thumbnail, media_type=jpeg),
            Endpoint("GET", strip, f"Frames of {of}, side by side.", filmstrip(find), Filmstrip, media_type=jpeg),
        ]
    return found
