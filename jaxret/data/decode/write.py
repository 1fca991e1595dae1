"""Writing frames as a video file, for exporting data sets and for tests."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

__all__ = ["write_video"]


def write_video(
    path: str | Path,
    frames: npt.NDArray[np.uint8],
    fps: float,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> None:
    """Encode RGB frames at a constant rate; the container follows from the file name.

    Args:
      path: file to write; an existing one is replaced.
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
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode(None))
