"""Cutting a part out of a video: its packets as they are, from key frame to end, or its frames encoded anew."""

from __future__ import annotations

import dataclasses
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from jaxret.data.decode.containers import open_container
from jaxret.data.decode.errors import OneLineErrors
from jaxret.data.decode.video import VideoReader
from jaxret.data.readers import MediaReader
from jaxret.errors import MediaError
from jaxret.files import require_regular, write_atomically

__all__ = ["CutClip", "cut_video", "encode_span"]

_SOUND = {"aac", "mp3", "ac3", "opus", "alac"}  # that an MP4 takes as it is
_LEAST = 0.001  # seconds between frames
_TICK = Fraction(1, 90_000)
_IMAGES = {"h264", "hevc", "av1", "mpeg4", "vp9", "mpeg2video", "mpeg1video", "mjpeg"}


@dataclasses.dataclass(frozen=True)
class CutClip:
    """A clip that was cut.

    Attributes:
      start, end: seconds of the film that it holds.
      encoded: whether its frames were encoded anew.
      sound: whether it has sound.
    """

    start: float
    end: float
    encoded: bool
    sound: bool


def cut_video(
    path: str | os.PathLike[str], to: str | os.PathLike[str], start: float, end: float, *, exact: bool = False
) -> CutClip:
    """Write a part of a video as an MP4.

    Without `exact` the packets are copied: nothing is lost and it takes no time, but a clip can only begin at a key
    frame, so it begins at the last one at or before `start`. With `exact`, or where an MP4 does not take the codec, the
    frames from `start` on are encoded (H.264), without sound.

    Args:
      path: a file that FFmpeg can read.
      to: the new file, ending in .mp4; an old one is replaced.
      start, end: seconds from the first frame.
      exact: begin at `start`, whatever lies there.

    Raises:
      ValueError: the span is empty, or begins below 0.
      MediaError: the file cannot be read, or has nothing in the span.
      OSError: the new file cannot be written.
    """
    name = os.fspath(path)
    if not 0 <= start < end:
        raise ValueError(f"a clip must begin at 0 s or later and end after that, got {start:g} to {end:g} s")
    require_regular(name)
    with write_atomically(Path(to)) as partial:
        cut = _encoded if exact or not _can_be_copied(name) else _copied
        return cut(name, str(partial), start, end)


def _can_be_copied(name: str) -> bool:
    """Whether an MP4 takes the packets of the film."""
    with OneLineErrors(name), open_container(name) as film:
        return _moving(name, film).codec_context.name in _IMAGES


def _copied(name: str, to: str, start: float, end: float) -> CutClip:
    with OneLineErrors(name), open_container(name) as film, _new_clip(to) as clip:
        images = _moving(name, film)
        sounds = [s for s in film.streams.audio if s.codec_context is not None and s.codec_context.name in _SOUND]
        streams = [images, *sounds[:1]]
        into = {stream.index: clip.add_stream_from_template(stream) for stream in streams}
        origin = float((images.start_time or 0) * images.time_base)
        begin = _seek_key_frame(film, images, start + origin)
        if begin is None or begin >= end + origin:
            raise MediaError(name, f"it has no key frame to begin at before {end:g} s")
        last, begun = begin, False
        for packet in film.demux(*streams):
            if packet.dts is None or packet.pts is None:
                continue
            second = _second(packet)
            if packet.stream_index == images.index:
                begun = begun or second == begin
                if not begun:
                    continue
                # What is decoded next is shown after all others: none that belongs before it is missing.
                if second > last >= end + origin - _LEAST:
                    break
                last = max(last, second + float((packet.duration or 0) * packet.time_base) - _LEAST)
            if begin <= second and (packet.stream_index == images.index or second < end + origin):
                shift = round(begin / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = into[packet.stream_index]
                clip.mux(packet)
        ended = last + _LEAST - origin
        if ended <= start:
            raise MediaError(name, f"it ends at {ended:g} s, and has nothing from {start:g} s on")
        return CutClip(max(begin - origin, 0.0), ended, encoded=False, sound=len(streams) > 1)


def _seek_key_frame(film: Any, images: Any, second: float) -> float | None:
    """Seek to the last key frame at or before a second, or else to the first; its second, None where there is none.

    Containers seek by the time of decoding, or by an index of few entries: what comes first may lie too late.
    """
    for back in (0.0, 2.0, 10.0, 60.0, second + 1):
        place = round((second - back) / images.time_base)
        film.seek(place, stream=images)
        found = None
        for packet in film.demux(images):
            if packet.pts is None or packet.dts is None:
                continue
            if packet.is_keyframe and (found is None or _second(packet) <= second + _LEAST):
                found = _second(packet)
            if float(packet.dts * packet.time_base) > second:
                break
        if found is not None and (found <= second + _LEAST or back > second):
            film.seek(place, stream=images)
            return found
    return None


def _encoded(name: str, to: str, start: float, end: float) -> CutClip:
    with VideoReader(name) as reader:
        begun, ended = encode_span(reader, to, start, end)
        return CutClip(begun, ended, encoded=True, sound=False)


def encode_span(reader: MediaReader, to: str | os.PathLike[str], start: float, end: float) -> tuple[float, float]:
    """Write frames of an open item as an MP4 (H.264), a frame in memory at a time, at the times that they have.

    Args:
      reader: any, of a file or of clips that are rendered.
      to: the new file.
      start, end: seconds; the frames that begin in between are written.

    Returns:
      The time of the first frame, and the end of the last, or `end` where that is earlier.

    Raises:
      MediaError: there is no frame in the span, or one does not decode.
    """
    first, after = np.searchsorted(reader.times, (start, end)).tolist()
    if first == after:
        name = str(getattr(reader, "path", "the medium"))
        raise MediaError(name, f"it has no frame within {start:g} to {end:g} s")
    info, begun = reader.info, float(reader.times[first])
    down, across = info.height % 2, info.width % 2  # colours are kept for squares of four pixels
    with _new_clip(os.fspath(to)) as clip:
        stream = clip.add_stream("libx264", options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height = info.width + across, info.height + down
        stream.pix_fmt, stream.time_base = "yuv420p", _TICK
        stream.codec_context.time_base = _TICK
        for number, pixels in enumerate(reader.frames(range(first, after)), start=first):
            even = np.pad(pixels, [(0, down), (0, across), (0, 0)], mode="edge")
            frame = av.VideoFrame.from_ndarray(even, "rgb24")
            frame.pts, frame.time_base = round((reader.times[number] - begun) / _TICK), _TICK
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode(None))
    return begun, min(end, info.duration)


def _new_clip(to: str) -> Any:
    return av.open(to, "w", format="mp4", options={"movflags": "+faststart"})


def _moving(name: str, film: Any) -> Any:
    """The stream of images."""
    for stream in film.streams.video:
        if stream.codec_context is not None and not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise MediaError(name, "no video stream that can be cut")


def _second(packet: Any) -> float:
    return float(packet.pts * packet.time_base)
