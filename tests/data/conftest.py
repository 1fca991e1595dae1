"""Small media files made on the spot, and a decoder that is too simple to be wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest


def moving_bar(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames that all differ: the grey level counts up and a white bar walks on. uint8 (T, H, W, 3)."""
    frames = np.empty((count, height, width, 3), np.uint8)
    for number in range(count):
        frames[number] = (number * 37) % 200
        frames[number, :, (3 * number) % width :][:, :6] = 255
        frames[number, : 1 + number % height, :4, 0] = 250
    return frames


def encode(
    path: Path,
    frames: np.ndarray,
    codec: str = "libx264",
    *,
    options: dict[str, str] | None = None,
    stamps: Sequence[int] | None = None,
    rate: int = 25,
    pix_fmt: str = "yuv420p",
    container_options: dict[str, str] | None = None,
    **attributes: Any,
) -> Path:
    """Write `frames`; `stamps` are presentation times in milliseconds (variable rate)."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        rotation = attributes.pop("rotation", None)
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        if stamps is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_everything(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The slow twin: every frame in order, (N, H, W, 3), and its time from the first, (N,).

    AVI has no presentation times and FFmpeg may deal out its guesses in the wrong order; the order in which
    the decoder gives frames is right, and so is the set of times.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        decoded = [
            (float(frame.pts * frame.time_base), frame.reformat(format="rgb24", threads=1).to_ndarray())
            for frame in container.decode(stream)
        ]
    times = np.array(sorted(time for time, _ in decoded))
    return np.stack([pixels for _, pixels in decoded]), times - times[0]


@pytest.fixture(scope="session")
def make_video(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("videos")

    def make(name: str, count: int = 30, codec: str = "libx264", **settings: Any) -> Path:
        if codec not in av.codecs_available:
            pytest.skip(f"this FFmpeg has no {codec}")
        return encode(folder / name, moving_bar(count), codec, **settings)

    return make


@pytest.fixture(scope="session")
def decode_all() -> Callable[[Path], tuple[np.ndarray, np.ndarray]]:
    return decode_everything


@pytest.fixture(scope="session")
def bar_frames() -> Callable[..., np.ndarray]:
    return moving_bar
