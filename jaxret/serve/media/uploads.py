"""Files that were uploaded to search with, in a temporary folder, within bounds."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from jaxret.data.datasets.media_kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, file_extension
from jaxret.errors import MediaError
from jaxret.serve.errors import ApiError
from jaxret.serve.limits import Limits
from jaxret.serve.media.source import MediaDetails, Source, Sources, file_source

__all__ = ["Upload", "Uploads"]


@dataclasses.dataclass(frozen=True)
class Upload:
    """A file that was uploaded, and can be read.

    Attributes:
      id: how requests name it.
      size: bytes.
      source: it.
      details: what it is.
    """

    id: str
    size: int
    source: Source
    details: MediaDetails


class Uploads:
    """The files that were uploaded.

    Args:
      folder: where they lie.
      limits: how many and how large.
      sources: reads them.
    """

    def __init__(self, folder: Path, limits: Limits, sources: Sources):
        self._folder, self._limits, self._sources = folder, limits, sources
        self._kept: collections.OrderedDict[str, Upload] = collections.OrderedDict()
        self._coming = 0  # bytes that are being received

    async def receive(self, name: str, chunks: AsyncIterator[bytes]) -> tuple[str, Path]:
        """Write what comes to a file.

        Args:
          name: that it had; only its ending has a part in it.
          chunks: the bytes.

        Returns:
          How requests will name it, and the file.

        Raises:
          ApiError: it is too large, empty, or too much comes at once.
        """
        id = secrets.token_urlsafe(12)
        extension = file_extension(name)
        path = self._folder / (id + (extension if extension in IMAGE_EXTENSIONS | VIDEO_EXTENSIONS else ""))
        size = 0
        try:
            with open(path, "xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    self._coming += len(chunk)
                    if size > self._limits.upload_bytes:
                        most = self._limits.upload_bytes / 1e6
                        raise ApiError(413, f"the file is larger than {most:,.0f} MB, the most that is taken", "file")
                    if self._coming > self._limits.uploads_bytes:
                        raise ApiError(503, "too much is being uploaded at once: try again in a moment")
                    file.write(chunk)
            if not size:
                raise ApiError(400, "the file is empty", "file")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            self._coming -= size
        return id, path

    def look_at(self, id: str, path: Path, name: str) -> Upload:
        """What was received, once it is found to be media within the limits; it is deleted where it is none.

        Raises:
          ApiError: it cannot be read, or is above a limit.
        """
        try:
            source = file_source(path, os.path.basename(name.replace("\\", "/")) or "upload")
            details = self._sources.details(source)
            limits = self._limits
            if details.width * details.height > limits.upload_pixels:
                most = f"{limits.upload_pixels / 1e6:g} megapixels"
                raise ApiError(413, f"{details.width} x {details.height} pixels are above {most}", "file")
            if details.duration > limits.upload_seconds:
                raise ApiError(413, f"it lasts longer than {limits.upload_seconds / 60:g} minutes", "file")
            return Upload(id, path.stat().st_size, source, details)
        except MediaError as error:
            path.unlink(missing_ok=True)
            raise ApiError(422, f"{os.path.basename(name)}: {error.reason}", "file") from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def keep(self, upload: Upload) -> None:
        """Keep an upload; the oldest make room."""
        self._kept[upload.id] = upload
        limits = self._limits
        while len(self._kept) > limits.uploads or sum(each.size for each in self._kept.values()) > limits.uploads_bytes:
            self._delete(self._kept.popitem(last=False)[1])

    def find(self, id: str) -> Upload:
        """An upload by its name.

        Raises:
          ApiError: there is none, or it made room for others.
        """
        if id not in self._kept:
            raise ApiError(404, "this upload is not here any more: upload the file again", "upload")
        self._kept.move_to_end(id)
        return self._kept[id]

    def remove(self, id: str) -> None:
        """Delete an upload.

        Raises:
          ApiError: as `find`.
        """
        self._delete(self.find(id))
        del self._kept[id]

    @staticmethod
    def _delete(upload: Upload) -> None:
        if upload.source.path is not None:
            with contextlib.suppress(OSError):
                upload.source.path.unlink()
