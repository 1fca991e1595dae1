"""Adding a folder of media to an index."""

from __future__ import annotations

import dataclasses

from starlette.responses import Response, StreamingResponse

from jaxret.data.datasets.media_kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, file_extension
from jaxret.serve.api.endpoint import Call, Endpoint
from jaxret.serve.errors import ApiError
from jaxret.serve.indexing import Job
from jaxret.serve.parts import Parts
from jaxret.serve.progress import events

__all__ = ["indexing_endpoints"]


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder below the media root.

    Attributes:
      path: relative to it; empty for the root.
    """

    path: str = ""


@dataclasses.dataclass(frozen=True)
class IndexingRequest:
    """A folder to be added to an index.

    Attributes:
      index: that grows.
      folder: below the media root, relative to it; empty for all of it.
    """

    index: str
    folder: str


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


_MOST_UNREAD = 1000


def indexing_endpoints(parts: Parts) -> list[Endpoint]:
    """What can be requested of folders and additions."""

    def state(job: Job) -> JobAnswer:
        report = job.report
        return JobAnswer(
            job.id,
            job.state,
            job.index.id,
            job.folder,
            job.done,
            job.total,
            0 if report is None else len(report.added),
            0 if report is None else len(report.renewed),
            0 if report is None else len(report.present),
            tuple(Unread(path, reason) for path, reason in job.unread[:_MOST_UNREAD]),
            len(job.unread),
            job.error,
        )

    async def begin(call: Call) -> JobAnswer:
        wanted: IndexingRequest = call.body
        return state(parts.jobs.hand_in(parts.library.find(wanted.index), wanted.folder))

    async def look(call: Call) -> JobAnswer:
        return state(parts.jobs.find(call.path["job"]))

    async def follow(call: Call) -> Response:
        job = parts.jobs.find(call.path["job"])
        return StreamingResponse(events(job, lambda: dataclasses.asdict(state(job))), media_type="text/event-stream")

    async def cancel(call: Call) -> JobAnswer:
        job = parts.jobs.find(call.path["job"])
        parts.jobs.cancel(job)
        return state(job)

    async def folders(call: Call) -> FolderAnswer:
        wanted: Place = call.parameters
        root = parts.jobs.root

        def listed() -> FolderAnswer:
            place = root.find(wanted.path)
            if not place.is_dir():
                raise ApiError(400, f"{wanted.path!r} is no folder", "path")
            visible = sorted(entry for entry in place.iterdir() if not entry.name.startswith("."))
            media = IMAGE_EXTENSIONS | VIDEO_EXTENSIONS
            below = [entry for entry in visible if entry.is_dir() and not entry.is_symlink()]
            return FolderAnswer(
                root.name(place),
                None if place == root.folder else root.name(place.parent),
                tuple(FolderName(entry.name, root.name(entry)) for entry in below),
                sum(file_extension(entry) in media and entry.is_file() for entry in visible),
            )

        return await parts.looking.do(listed)

    one = "/api/jobs/{job}"
    return [
        Endpoint("GET", "/api/folders", "What lies in a folder below the media root.", folders, Place,
                 answer=FolderAnswer),
        Endpoint("POST", "/api/indexing", "Add the media of a folder below the media root to an index.", begin,
                 body=IndexingRequest, answer=JobAnswer, status=202),
        Endpoint("GET", one, "How far an addition is.", look, answer=JobAnswer),
        Endpoint("GET", f"{one}/events", "The state of an addition, told at every change (server-sent events).", follow,
                 media_type="text/event-stream"),
        Endpoint("DELETE", one, "End an addition; what was encoded by then stays in the index.", cancel,
                 answer=JobAnswer),
    ]  # fmt: skip
