"""Small frames of a video, quickly: for thumbnails and filmstrips, not for encoders.

`VideoReader` reads every packet of a file before the first frame, so that its frames are exact. A preview of a film of
two hours must not wait for that: here the file's own index is used to seek, and a frame that is near enough is taken.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import av

from jaxret.data.decode.containers import open_container
from jaxret.data.decode.convert import FrameConverter
from jaxret.data.decode.errors import MAX_PIXELS, OneLineErrors
from jaxret.data.readers import Pixels
from jaxret.data.sampling.transforms import FrameGeometry
from jaxret.errors import MediaError
from jaxret.files import require_regular

__all__ = ["StreamFacts", "preview_frames", "stream_facts", "whole_frame"]

_WORTH_SEEKING = 2.0  # seconds; less is decoded
_MOST_DECODED, _LEAST_DECODED = 2000, 24  # frames a call; for a moment. Where more lie before it, the last will do


@dataclasses.dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a video file says of itself.

    Attributes:
      formats: names of its container, such as ("mov", "mp4", "m4a", "3gp", "3g2", "mj2").
      codec: of the video stream, such as "h264".
      pixel_format: of its frames, such as "yuv420p".
      width, height: as displayed.
      duration: seconds, 0 where the file does not say.
      rate: frames a second, 0 where the file does not say.
    """

    formats: tuple[str, ...]
    codec: str
    pixel_format: str
    width: int
    height: int
    duration: float
    rate: float


def stream_facts(path: str | os.PathLike[str]) -> StreamFacts:
    """What a video file says of itself; one frame is decoded, for the way up.

    Raises:
      MediaError: it cannot be opened, has no video stream, or no frame decodes.
    """
    with _opened(path) as (container, stream), OneLineErrors(os.fspath(path)):
        first = next(container.decode(stream), None)
        if first is None:
            raise MediaError(os.fspath(path), "no frame decodes")
        height, width = FrameConverter(first, stream.sample_aspect_ratio).displayed_size
        duration = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if not duration and container.duration:
            duration = container.duration / av.time_base
        context = stream.codec_context
        return StreamFacts(
            tuple(container.format.name.split(",")),
            context.name,
            str(context.pix_fmt),
            width,
            height,
            duration,
            float(stream.average_rate or 0),
        )


def preview_frames(path: str | os.PathLike[str], times: Sequence[float], width: int) -> list[Pixels]:
    """Frames of a video near these moments, scaled to a width.

    Args:
      path: a file that FFmpeg can read.
      times: seconds, ascending.
      width: of each, at most the video's own.

    Returns:
      uint8 (H, width, 3) for each moment. A frame that does not decode is the one before it; a moment beyond the end is
      the last.

    Raises:
      MediaError: the file cannot be opened, has no video stream, or no frame decodes.

    Example:
      >>> import tempfile, numpy as np
      >>> from jaxret.data.decode.write import write_video
      >>> path = tempfile.mkdtemp() + "/a.mp4"
      >>> write_video(path, np.arange(4, dtype=np.uint8).repeat(32 * 48 * 3).reshape(4, 32, 48, 3) * 60, fps=2)
      >>> [frame.shape for frame in preview_frames(path, [0.0, 1.9], 24)]
      [(16, 24, 3), (16, 24, 3)]
    """
    name = os.fspath(path)
    with _opened(path) as (container, stream), OneLineErrors(name):
        frames = _FramesNear(container, stream)
        converter: FrameConverter | None = None
        found = []
        for number, second in enumerate(times):
            frame = frames.at(
                second, most=max(_LEAST_DECODED, (_MOST_DECODED - frames.decoded) // (len(times) - number))
            )
            if frame is None:
                raise MediaError(name, "no frame decodes")
            converter = converter or FrameConverter(frame, stream.sample_aspect_ratio)
            found.append(converter.convert(frame, whole_frame(*converter.displayed_size, width), 3))
        return found


def whole_frame(height: int, width: int, most: int) -> FrameGeometry:
    """A whole frame scaled down to at most this width.

    Example:
      >>> whole_frame(1080, 1920, 320).height
      180
    """
    scaled = min(width, max(1, most))
    high = max(1, round(height * scaled / width))
    return FrameGeometry(high, scaled, 0, 0, high, scaled)


class _FramesNear:
    """Frames at ascending moments, sought from key frame to key frame."""

    def __init__(self, container: Any, stream: Any):
        self._container, self._stream = container, stream
        self._origin = float((stream.start_time or 0) * stream.time_base)
        self._frames: Iterator[Any] = container.decode(stream)
        self._last: Any = None
        self.decoded = 0
        self._ahead: Any = None  # decoded, and shown after the moment that was wanted last

    def at(self, second: float, most: int) -> Any:
        """The frame on display, as near as so many decoded frames come; None where none decodes at all."""
        if self._ahead is not None and self._time(self._ahead) > second:
            return self._last or self._ahead
        before = self._last
        if second - (0.0 if before is None else self._time(before)) <= _WORTH_SEEKING:
            self._advance(second, most)
            return self._last
        # Some containers seek too far, and beyond the end there is nothing: further back there is.
        for back in (0.0, 5.0, second):
            self._seek(second - back)
            self._advance(second, most)
            if self._last is not None and self._time(self._last) <= second:
                return self._last
        return self._last or before

    def _advance(self, second: float, most: int) -> None:
        """Decode up to a moment, so many frames at most."""
        for _ in range(most):
            frame = self._ahead or self._next()
            self._ahead = None
            if frame is None:
                break
            if self._last is not None and self._time(frame) > second:
                self._ahead = frame
                break
            self._last = frame

    def _seek(self, second: float) -> None:
        """Go to the key frame before a moment; where the file cannot be sought, go on from here."""
        offset = round((second + self._origin) / float(self._stream.time_base))
        with contextlib.suppress(av.FFmpegError, OSError):
            self._container.seek(offset, stream=self._stream)
            self._frames = self._container.decode(self._stream)
            self._last, self._ahead = None, None

    def _next(self) -> Any:
        self.decoded += 1
        try:
            return next(self._frames, None)
        except (av.FFmpegError, OSError):
            return None

    def _time(self, frame: Any) -> float:
        return 0.0 if frame.time is None else float(frame.time) - self._origin


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[Any, Any]]:
    """The container and its video stream."""
    name = os.fspath(path)
    require_regular(name)
    with OneLineErrors(name):
        container = open_container(name)
    with container:
        moving = [
            stream
            for stream in container.streams.video
            if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None
        ]
        if not moving:
            raise MediaError(name, "no video stream that can be decoded")
        context = moving[0].codec_context
        if context.width * context.height > MAX_PIXELS:
            raise MediaError(name, f"{context.width}x{context.height} is above {MAX_PIXELS} pixels")
        yield container, moving[0]
