"""Uploading what to search with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from python_multipart.multipart import parse_options_header
from starlette.responses import Response

from jaxret.serve.api.endpoint import Call, Endpoint, patient
from jaxret.serve.api.form_file import FileOfForm
from jaxret.serve.errors import ApiError
from jaxret.serve.media.uploads import Upload
from jaxret.serve.parts import Parts

__all__ = ["upload_endpoints"]


@dataclasses.dataclass(frozen=True)
class UploadName:
    """What is uploaded, where the body is the file itself.

    Attributes:
      name: of the file.
    """

    name: str = "upload"


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


def upload_endpoints(parts: Parts) -> list[Endpoint]:
    """What can be requested of uploads."""

    async def upload(call: Call) -> UploadAnswer:
        chunks = patient(call.request, parts.limits.upload_pause)
        announced = call.request.headers.get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced) > parts.limits.upload_bytes + (1 << 16):
            most = parts.limits.upload_bytes / 1e6
            raise ApiError(413, f"the file is larger than {most:,.0f} MB, the most that is taken", "file")
        kind, options = parse_options_header(call.request.headers.get("content-type", ""))
        name = call.parameters.name
        if kind == b"multipart/form-data":
            form = FileOfForm(chunks, options.get(b"boundary", b""))
            name, chunks = await form.name(), form.chunks()
        id, path = await parts.uploads.receive(name, chunks)
        return await _looked_at(id, path, name)

    async def _looked_at(id: str, path: Path, name: str) -> UploadAnswer:
        try:
            found = await parts.looking.do(lambda: parts.uploads.look_at(id, path, name))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        parts.uploads.keep(found)
        return upload_answer(found)

    async def details(call: Call) -> UploadAnswer:
        return upload_answer(parts.uploads.find(call.path["upload"]))

    async def remove(call: Call) -> Response:
        parts.uploads.remove(call.path["upload"])
        return Response(status_code=204)

    told = "Upload an image or a video to search with: as the field `file` of a form, or as the body itself."
    one = "/api/uploads/{upload}"
    return [
        Endpoint("POST", "/api/uploads", told, upload, UploadName, answer=UploadAnswer, status=201),
        Endpoint("GET", one, "An upload.", details, answer=UploadAnswer),
        Endpoint("DELETE", one, "Delete an upload.", remove, status=204),
    ]
