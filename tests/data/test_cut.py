"""Clips that are cut hold the frames that they say they hold."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from jaxret.data.decode.cut import cut_video
from jaxret.data.decode.video import VideoReader
from jaxret.data.decode.write import write_video
from jaxret.errors import MediaError


def film(path: Path, codec: str = "libx264", **options: str) -> Path:
    """60 frames at 10 a second, each brighter than the one before it, with a key frame every second."""
    frames = np.repeat(np.arange(60, dtype=np.uint8) * 4, 48 * 64 * 3).reshape(60, 48, 64, 3)
    write_video(path, frames, fps=10, codec=codec, options={"g": "10", "keyint_min": "10", **options})
    return path


def brightness(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        return reader.read().mean(axis=(1, 2, 3)) / 4


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_packets_are_copied_from_the_key_frame_on(ending: str, b_frames: str, tmp_path: Path) -> None:
    source = film(tmp_path / f"film.{ending}", bf=b_frames, crf="5")
    whole = brightness(source)
    clip = cut_video(source, tmp_path / "clip.mp4", 2.35, 4.05)
    assert not clip.encoded
    assert clip.start == pytest.approx(2.0, abs=0.01)
    assert 4.05 <= clip.end < 4.6
    found = brightness(tmp_path / "clip.mp4")
    first = round(clip.start * 10)
    np.testing.assert_allclose(found, whole[first : first + len(found)], atol=0.2)
    assert abs(len(found) - (clip.end - clip.start) * 10) <= 1
    with VideoReader(tmp_path / "clip.mp4") as reader:
        np.testing.assert_allclose(np.diff(reader.times), 0.1, atol=0.02)


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_an_exact_cut_begins_where_it_should(codec: str, tmp_path: Path) -> None:
    source = film(tmp_path / "film.mkv", codec)
    clip = cut_video(source, tmp_path / "clip.mp4", 2.35, 4.05, exact=codec == "libx264")
    assert clip.encoded
    assert (clip.start, clip.end) == (pytest.approx(2.4, abs=0.01), pytest.approx(4.05))
    np.testing.assert_allclose(brightness(tmp_path / "clip.mp4"), np.arange(24, 41), atol=1)


def test_sound_goes_along(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        images = container.add_stream("libx264", rate=10, options={"g": "10"})
        images.width, images.height, images.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=8000)
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 5, np.uint8), "rgb24")
            container.mux(images.encode(frame))
            samples = np.full((1, 800), 0.1, np.float32)
            wave = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            wave.sample_rate, wave.pts = 8000, number * 800
            container.mux(sound.encode(wave))
        container.mux(images.encode(None))
        container.mux(sound.encode(None))
    clip = cut_video(path, tmp_path / "clip.mp4", 1.0, 2.0)
    assert clip.sound
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.audio[0].duration * container.streams.audio[0].time_base == pytest.approx(1.0, abs=0.3)


def test_what_cannot_be_cut_is_told(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4")
    with pytest.raises(ValueError, match="must begin at 0 s or later and end after that, got 2 to 1 s"):
        cut_video(source, tmp_path / "clip.mp4", 2.0, 1.0)
    with pytest.raises(MediaError, match="it has no frame within 70 to 80 s"):
        cut_video(source, tmp_path / "clip.mp4", 70.0, 80.0, exact=True)
    with pytest.raises(MediaError, match="it ends at 6 s, and has nothing from 70 s on"):
        cut_video(source, tmp_path / "clip.mp4", 70.0, 80.0)
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(MediaError, match="Invalid data"):
        cut_video(tmp_path / "text.mp4", tmp_path / "clip.mp4", 0.0, 1.0)
    assert not (tmp_path / "clip.mp4").exists()
