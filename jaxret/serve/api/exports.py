"""Results and parts of films as files."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Literal

from starlette.responses import FileResponse, Response

from jaxret.data.decode.cut import CutClip, cut_video
from jaxret.ranges import Weight
from jaxret.serve.api.endpoint import Call, Endpoint
from jaxret.serve.errors import ApiError
from jaxret.serve.exports import as_csv, as_edl, as_json
from jaxret.serve.parts import Parts

__all__ = ["export_endpoints"]


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


_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json", "edl": "text/plain; charset=utf-8"}


def export_endpoints(parts: Parts) -> list[Endpoint]:
    """What can be requested as a file."""

    async def export(call: Call) -> Response:
        wanted: ExportRequest = call.body
        search = parts.searches.find(wanted.search)
        if search.state != "done":
            raise ApiError(409, f"the search is {search.state}, and has no results to export", "search")
        ranked = list(enumerate(search.hits, start=1))
        if wanted.ranks is not None:
            chosen = set(wanted.ranks)
            if not chosen:
                raise ApiError(400, "ranks must name at least one result, or be left out for all", "ranks")
            if odd := sorted(chosen - {rank for rank, _ in ranked}):
                raise ApiError(400, f"ranks are 1 to {len(ranked)}, got {odd[0]}", "ranks")
            ranked = [(rank, hit) for rank, hit in ranked if rank in chosen]

        def written() -> str:
            if wanted.format == "edl":
                return as_edl(search.index.name, ranked)
            return (as_csv if wanted.format == "csv" else as_json)(ranked)

        text = await parts.looking.do(written)
        return Response(
            text.encode("utf-8", "backslashreplace"),
            media_type=_TYPES[wanted.format],
            headers={"Content-Disposition": f'attachment; filename="results.{wanted.format}"'},
        )

    async def cut(call: Call) -> Response:
        wanted: CutRequest = call.body
        most = parts.limits.encoded_seconds if wanted.exact else parts.limits.cut_seconds
        if wanted.end - wanted.start > most:
            raise ApiError(400, f"a clip lasts at most {most:g} seconds, got {wanted.end - wanted.start:g}", "end")
        index = parts.library.find(wanted.index)
        item = index.item(wanted.item)
        if item.kind != "video":
            raise ApiError(400, f"{item.key} is an image, and has no clips", "item")
        path = parts.cuts.new_file(".mp4")

        def made() -> CutClip:
            film = parts.sources.rendered.file(parts.sources.of_item(index, item))
            return cut_video(film, path, wanted.start, wanted.end, exact=wanted.exact)

        clip = await asyncio.shield(parts.drawing.do(made))
        stem = Path(item.key).stem.encode("ascii", "ignore").decode().translate(_SPECIAL) or "clip"
        name = f"{stem}-{clip.start:.1f}-{clip.end:.1f}.mp4"
        told = {
            "X-Clip-Start": f"{clip.start:.3f}",
            "X-Clip-End": f"{clip.end:.3f}",
            "X-Clip-Encoded": f"{clip.encoded}",
        }
        return FileResponse(path, media_type="video/mp4", filename=name, headers=told)

    return [
        Endpoint(
            "POST", "/api/exports", "Results as a table, as JSON, or as an edit decision list.", export,
            body=ExportRequest, media_type="text/csv",
        ),
        Endpoint(
            "POST", "/api/cuts", "A part of a film as a file: from the key frame before it on, as it is, or exactly, "
            "encoded anew.", cut, body=CutRequest, media_type="video/mp4",
        ),
    ]  # fmt: skip


_SPECIAL = {ord(sign): "_" for sign in "\"'\\/:;*?<>|%\r\n\t"}
