"""Thumbnails and filmstrips, made when they are wanted and kept in memory while there is room."""

from __future__ import annotations

import collections
import io
import threading
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from jaxret.data.decode.previews import preview_frames, whole_frame
from jaxret.data.readers import Pixels
from jaxret.serve.media.source import Source

__all__ = ["Previews"]

_QUALITY = 82


class Previews:
    """Small JPEGs of media.

    Args:
      most_bytes: that are kept; those that were wanted longest ago make room.
    """

    def __init__(self, most_bytes: int):
        self._most, self._bytes = most_bytes, 0
        self._kept: collections.OrderedDict[tuple[object, ...], bytes] = collections.OrderedDict()
        self._lock = threading.Lock()

    def thumbnail(self, source: Source, at: float, width: int) -> bytes:
        """A frame of a medium near a moment, at most this wide, as JPEG.

        Raises:
          MediaError: it cannot be read.
        """
        chosen = ("thumbnail", source.stamp, round(at, 2), width)
        return self._remembered(chosen, lambda: _jpeg(frames_of(source, [at], width)[0]))

    def filmstrip(self, source: Source, duration: float, frames: int, width: int) -> bytes:
        """Frames of a medium at even distances, side by side, each at most this wide, as JPEG.

        Args:
          source: the medium.
          duration: of it, in seconds.
          frames: how many; each stands for its share of the duration, and is from the middle of it.
          width: of each.

        Raises:
          MediaError: it cannot be read.
        """
        times = ((np.arange(frames) + 0.5) * duration / frames).tolist()
        chosen = ("strip", source.stamp, frames, width)
        return self._remembered(chosen, lambda: _jpeg(np.concatenate(frames_of(source, times, width), axis=1)))

    def _remembered(self, chosen: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if chosen in self._kept:
                self._kept.move_to_end(chosen)
                return self._kept[chosen]
        made = make()
        with self._lock:
            if chosen not in self._kept:
                self._kept[chosen] = made
                self._bytes += len(made)
            while self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made


def frames_of(source: Source, times: Sequence[float], width: int) -> list[Pixels]:
    """Frames near moments, at most this wide: uint8 (H, W, 3) each.

    Raises:
      MediaError: they cannot be read.
    """
    if source.path is not None and source.kind == "video":
        return preview_frames(source.path, times, width)
    with source.data.open(0) as reader:
        geometry = whole_frame(reader.info.height, reader.info.width, width)
        return list(reader.read_at(times, geometry))


def _jpeg(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
