"""Adding a folder of media to an index."""

from __future__ import annotations

import dataclasses

from starlette.responses import Response, StreamingResponse

from jaxret.data.datasets.media_kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, file_extension
from jaxret.serve.api.answers import FolderAnswer, FolderName, JobAnswer, Unread
from jaxret.serve.api.endpoint import Call, Endpoint
from jaxret.serve.api.requests import IndexingRequest, Place
from jaxret.serve.errors import ApiError
from jaxret.serve.indexing import Job
from jaxret.serve.parts import Parts
from jaxret.serve.progress import events

__all__ = ["indexing_endpoints"]

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
