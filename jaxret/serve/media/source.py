"""Where the media of items and uploads are read from, once it is found that they may be."""

from __future__ import annotations

import collections
import dataclasses
import os
import threading
from pathlib import Path

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.media_kinds import media_kind
from jaxret.data.datasets.rgbd import parse_rgbd_spec
from jaxret.data.decode.cut import encode_span
from jaxret.data.decode.previews import stream_facts
from jaxret.data.items import Kind, MediaItem
from jaxret.data.of_item import medium_of
from jaxret.errors import MediaError
from jaxret.files import is_there, require_regular
from jaxret.serve.library import OpenIndex
from jaxret.serve.limits import Limits
from jaxret.serve.media.places import MediaRoot, is_below
from jaxret.serve.media.playing import may_play, plays

__all__ = ["MediaDetails", "Rendered", "Source", "Sources", "file_source"]


@dataclasses.dataclass(frozen=True)
class Source:
    """An image or video that may be shown.

    Attributes:
      name: how people know it.
      kind: what it is.
      path: its file; None where it is rendered, or a folder of frames.
      data: it, as a data set of one item.
      stamp: changes when the content does, to keep what was made of it.
    """

    name: str
    kind: Kind
    path: Path | None
    data: MediaDataset
    stamp: str


@dataclasses.dataclass(frozen=True)
class MediaDetails:
    """What a person wants to know of a medium before it is shown.

    Attributes:
      width, height: as displayed, in pixels.
      duration: seconds, 0 for an image.
      frames: how many; None where only counting would tell.
      playable: whether browsers show it as it is.
    """

    width: int
    height: int
    duration: float
    frames: int | None
    playable: bool


def file_source(path: Path, name: str) -> Source:
    """A file that may be read.

    Raises:
      MediaError: it is not there, no regular file, or no image or video.
    """
    require_regular(path)
    kind = media_kind(path)
    if kind is None:
        raise MediaError(name, "neither an image nor a video by its name and first bytes")
    found = path.stat()
    data = MediaFiles([MediaItem(path.name, kind, path=str(path))], probe=False)
    return Source(name, kind, path, data, f"{path}:{found.st_size}:{found.st_mtime_ns}")


class Sources:
    """The media of the open indexes' items.

    Args:
      root: below which media may lie wherever an index says; None for none.
      folder: where media that are no files here are written to be played.
      limits: how many of these, and how long.

    Attributes:
      rendered: these.
    """

    def __init__(self, root: MediaRoot | None, folder: Path, limits: Limits):
        self._root = root
        self.rendered = Rendered(folder, limits.rendered, limits.encoded_seconds)

    def of_item(self, index: OpenIndex, item: MediaItem) -> Source:
        """The medium of an item.

        Raises:
          MediaError: it is not there, or is a link to another place than the index says.
        """
        if item.path is None or not os.path.isabs(item.path):
            return Source(item.key, item.kind, None, medium_of(item), f"{item.origin or item.path}")
        real = Path(os.path.realpath(item.path))
        within = [folder for folder in (index.retriever.index.media_root, self._root and self._root.folder) if folder]
        known = real == Path(os.path.normpath(item.path))
        if not known and not any(is_below(real, os.path.realpath(folder)) for folder in within):
            raise MediaError(item.key, "the file is a link to another place than was indexed")
        require_regular(real)
        found = real.stat()
        return Source(item.key, item.kind, real, medium_of(item), f"{real}:{found.st_size}:{found.st_mtime_ns}")

    def is_missing(self, item: MediaItem) -> bool:
        """Whether the file of an item is gone; not told of what is no file."""
        if item.path is None or not os.path.isabs(item.path):
            return False
        try:
            return not is_there(item.path)
        except PermissionError:
            return True

    def may_play(self, item: MediaItem) -> bool:
        """Whether browsers show an item by its name; what is rendered is written so that they do."""
        if item.path is None or parse_rgbd_spec(item.path) is not None:
            return item.kind == "video"
        return os.path.isabs(item.path) and may_play(item.path, item.kind)

    def details(self, source: Source) -> MediaDetails:
        """Size, length, and whether browsers play it.

        Raises:
          MediaError: it cannot be read.
        """
        if source.path is not None and source.kind == "video":
            facts = stream_facts(source.path)
            frames = round(facts.duration * facts.rate) or None
            return MediaDetails(facts.width, facts.height, facts.duration, frames, plays(source.path, facts))
        info = source.data.info(0)
        playable = source.path is None or may_play(source.path, source.kind)
        return MediaDetails(info.width, info.height, info.duration, info.frame_count, playable)


class Rendered:
    """Videos that are no files here (rendered clips, folders of frames), written as files to be played.

    Args:
      folder: where; it is emptied with the server's other temporary files.
      most: that are kept; the one that was wanted longest ago makes room.
      seconds: that one may last.
    """

    def __init__(self, folder: Path, most: int, seconds: float):
        self._folder, self._most, self._seconds = folder, most, seconds
        self._files: collections.OrderedDict[str, Path] = collections.OrderedDict()
        self._lock = threading.Lock()
        self._count = 0

    def file(self, source: Source) -> Path:
        """The file of a medium: its own, or one that is written now.

        Raises:
          MediaError: it cannot be read.
        """
        if source.path is not None:
            return source.path
        with self._lock:
            if source.stamp in self._files:
                self._files.move_to_end(source.stamp)
                return self._files[source.stamp]
            self._count += 1
            path = self._folder / f"rendered-{self._count}.mp4"
            with source.data.open(0) as reader:
                if reader.info.duration > self._seconds:
                    raise MediaError(source.name, f"it is no file here, and longer than {self._seconds:g} s: too long")
                encode_span(reader, path, 0.0, reader.info.duration)
            self._files[source.stamp] = path
            if len(self._files) > self._most:
                self._files.popitem(last=False)[1].unlink(missing_ok=True)
            return path
