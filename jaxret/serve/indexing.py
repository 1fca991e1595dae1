"""Additions to an index from the page: one at a time, with progress, to be cancelled."""

from __future__ import annotations

import collections
import functools
import os
import secrets
import threading
from pathlib import Path

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles
from jaxret.errors import JaxretError, MediaError
from jaxret.retrieval import AddReport, fresh_items
from jaxret.serve.errors import ApiError
from jaxret.serve.library import OpenIndex
from jaxret.serve.media.places import MediaRoot, is_below
from jaxret.serve.progress import Watched
from jaxret.serve.workers import Workers

__all__ = ["Job", "Jobs"]

_MOST_KEPT, _MOST_WAITING = 64, 8


class Job(Watched):
    """An addition to an index.

    Attributes:
      id: how requests name it.
      index: that grows.
      folder: whose media are added.
      done, total: files.
      unread: what could not be read, path and reason.
      report: what came of it.
      error: why it failed.
      cancelled: set when it is to end; what is encoded by then is kept.
    """

    def __init__(self, index: OpenIndex, folder: str):
        super().__init__()
        self.id = secrets.token_urlsafe(9)
        self.index, self.folder = index, folder
        self.done = self.total = 0
        self.unread: list[tuple[str, str]] = []
        self.report: AddReport | None = None
        self.error: str | None = None
        self.cancelled = threading.Event()


class Jobs:
    """The line of additions.

    Args:
      root: below which media lie; None for none, and no additions.
      refreshing: the workers in whose thread indexes are searched, and moved to what was added.
    """

    def __init__(self, root: MediaRoot | None, refreshing: Workers):
        self._root, self._refreshing = root, refreshing
        self.workers = Workers("index", 1, _MOST_WAITING)
        self._kept: collections.OrderedDict[str, Job] = collections.OrderedDict()

    @property
    def root(self) -> MediaRoot:
        """The media root.

        Raises:
          ApiError: there is none.
        """
        if self._root is None:
            raise ApiError(403, "folders are looked into below --media-root, and none was given", "folder")
        return self._root

    def hand_in(self, index: OpenIndex, folder: str) -> Job:
        """Put an addition in line.

        Raises:
          ApiError: the folder may not be looked into, or the line is full.
        """
        place = self.root.find(folder)
        if not place.is_dir():
            raise ApiError(400, f"{folder!r} is no folder", "folder")
        job = Job(index, folder)
        self.workers.submit(lambda: self._run(job, place))
        self._kept[job.id] = job
        for old in list(self._kept.values())[: max(0, len(self._kept) - _MOST_KEPT)]:
            if old.finished:
                del self._kept[old.id]
        return job

    def find(self, id: str) -> Job:
        """An addition by its name.

        Raises:
          ApiError: there is none.
        """
        if id not in self._kept:
            raise ApiError(404, "this addition is not here any more", "job")
        return self._kept[id]

    def cancel(self, job: Job) -> None:
        """End an addition; what is encoded by now is kept in the index."""
        job.cancelled.set()
        if job.state == "waiting":
            job.tell("cancelled")

    def _run(self, job: Job, place: Path) -> None:
        """In the thread that adds."""
        if job.finished:
            return
        job.tell("running")
        try:
            dataset, outside = self._media(place)
            job.unread += outside
            retriever = job.index.for_changes()
            job.total = len(fresh_items(dataset, retriever.index))
            job.tell()

            def on_item(_: int) -> None:
                job.done += 1
                job.tell()

            job.report = retriever.add(dataset, on_item=on_item, stop=job.cancelled.is_set)
            job.unread += [self._named(error) for error in (*dataset.skipped, *job.report.skipped)]
        except (ApiError, JaxretError, ValueError, OSError) as error:
            job.error = str(error)
            job.tell("failed")
        except BaseException:
            job.error = "the server failed at this addition: its log says how"
            job.tell("failed")
            raise
        else:
            self._refresh(job)

    def _refresh(self, job: Job) -> None:
        """Let searches see what was added, and tell of the end after that."""

        def work() -> None:
            try:
                job.index.refresh()
                job.tell("cancelled" if job.cancelled.is_set() else "done")
            except (ApiError, JaxretError, OSError) as error:
                job.error = str(error)
                job.tell("failed")

        job.loop.call_soon_threadsafe(functools.partial(self._refreshing.submit, work, own=True))

    def _media(self, place: Path) -> tuple[MediaDataset, list[tuple[str, str]]]:
        """The media of a folder, those that links lead to outside of the root left out."""
        files = MediaFiles.of_folder(place, probe=False)
        real = [Path(os.path.realpath(item.path or "")) for item in files.items]
        inside = [number for number, path in enumerate(real) if is_below(path, self.root.folder)]
        outside = [
            (self.root.name(item.path or ""), "a link that leads out of the media root")
            for number, item in enumerate(files.items)
            if not is_below(real[number], self.root.folder)
        ]
        return files.subset(inside) if outside else files, outside

    def _named(self, error: MediaError) -> tuple[str, str]:
        """A file as the page names it, and what is wrong with it."""
        path = Path(error.path)
        return (self.root.name(path) if is_below(path, self.root.folder) else path.name), error.reason
