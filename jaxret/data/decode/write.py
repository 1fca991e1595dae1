"""Writing frames as a video, for exporting data sets, for queries that were encoded again, and for tests."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

__all__ = ["encoded_again", "write_video"]


def write_video(
    path: str | Path | io.BytesIO,
    frames: npt.NDArray[np.uint8],
    fps: float,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> None:
    """Encode RGB frames at a constant rate; the container follows from the file name.

    Args:
      path: file to write, an existing one is replaced; or memory, for an MP4.
      frames: uint8 (T, H, W, 3), T at least 1, H and W even (4:2:0 chroma).
      fps: frames a second.
      codec: an encoder of this FFmpeg build.
      options: the encoder's own; the default is x264's constant quality 18.

    Raises:
      ValueError: `frames` has another shape or dtype, odd sides, or fps is not above 0.
    """
    if frames.ndim != 4 or frames.dtype != np.uint8 or frames.shape[3] != 3 or not len(frames):
        raise ValueError(f"frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}")
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ValueError(f"frames must have even height and width, got {frames.shape[1]}x{frames.shape[2]}")
    if not fps > 0:
        raise ValueError(f"fps must be above 0, got {fps!r}")
    if options is None:
        options = {"crf": "18", "preset": "veryfast"} if codec == "libx264" else {}
    in_memory = isinstance(path, io.BytesIO)
    with av.open(path if in_memory else str(path), "w", format="mp4" if in_memory else None) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode(None))


def encoded_again(frames: npt.NDArray[np.uint8], quantiser: int) -> npt.NDArray[np.uint8]:
    """Frames as they look when they were encoded as MPEG-4 and decoded, in memory: the same each time.

    (x264 does not give the same bits each time, whatever its settings.)

    Args:
      frames: uint8 (T, H, W, 3), T at least 1, H and W even.
      quantiser: 1 to 31; the greater, the worse.

    Returns:
      uint8 (T, H, W, 3).

    Raises:
      ValueError: as `write_video`, or the quantiser is out of range.
    """
    if not 1 <= quantiser <= 31:
        raise ValueError(f"quantiser must lie in 1..31, got {quantiser!r}")
    file = io.BytesIO()
    fixed = {"qmin": str(quantiser), "qmax": str(quantiser), "threads": "1"}
    write_video(file, frames, 25, codec="mpeg4", options=fixed)
    file.seek(0)
    with av.open(file, "r") as container:
        # Copies: what a frame gives may lie in memory that the next one is decoded into.
        decoded = [np.array(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]
    return np.stack(decoded)
