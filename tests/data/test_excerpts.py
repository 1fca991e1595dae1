"""Frames and spans of videos as items of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.previews import preview_frames, stream_facts
from jaxret.data.decode.write import write_video
from jaxret.data.excerpts import FrameOf, SpanOf
from jaxret.data.items import MediaItem
from jaxret.data.of_item import medium_of
from jaxret.errors import MediaError


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> MediaFiles:
    """50 frames at 10 a second, each brighter than the one before it."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    frames = np.repeat(np.arange(50, dtype=np.uint8) * 5, 32 * 48 * 3).reshape(50, 32, 48, 3)
    write_video(path, frames, fps=10, options={"crf": "5", "g": "10"})
    return MediaFiles([MediaItem("film.mp4", "video", path=str(path))])


def brightness(pixels: np.ndarray) -> np.ndarray:
    return np.round(pixels.mean(axis=(1, 2, 3)) / 5).astype(int)


def test_a_span_is_the_frames_that_begin_in_it(film: MediaFiles) -> None:
    span = SpanOf(film, 0, 1.25, 2.5)
    pixels, times = span.read(0)
    assert brightness(pixels).tolist() == list(range(13, 25))
    np.testing.assert_allclose(times, np.arange(12) / 10, atol=1e-6)
    assert span.info(0).duration == pytest.approx(2.5 - 1.3)
    assert brightness(SpanOf(film, 0, 4.0, float("inf")).read(0)[0]).tolist() == list(range(40, 50))
    with span.open(0) as reader:
        assert brightness(np.stack(list(reader.frames([2, 2, 11])))).tolist() == [15, 15, 24]
        with pytest.raises(IndexError, match=r"0\.\.11, got 12"):
            list(reader.frames([12]))


def test_a_frame_is_an_image(film: MediaFiles) -> None:
    frame = FrameOf(film, 0, 2.37)
    assert (frame.items[0].kind, frame.info(0).frame_count, frame.info(0).duration) == ("image", 1, 0.0)
    assert brightness(frame.read(0)[0]).tolist() == [23]  # the one on display
    assert brightness(FrameOf(film, 0, 5.0).read(0)[0]).tolist() == [49]


def test_what_has_no_such_part_is_told(film: MediaFiles) -> None:
    with pytest.raises(MediaError, match=r"film.mp4: it ends at 5 s, and has no frame at 7 s"):
        FrameOf(film, 0, 7.0).open(0)
    with pytest.raises(MediaError, match=r"film.mp4: it has no frame within 5.5 to 6 s"):
        SpanOf(film, 0, 5.5, 6.0).open(0)
    with pytest.raises(ValueError, match="a span must begin at 0 s or later and end after that, got 2 to 2 s"):
        SpanOf(film, 0, 2.0, 2.0)
    with pytest.raises(ValueError, match="at must be a second of the video, at least 0, got -1"):
        FrameOf(film, 0, -1.0)
    image = MediaFiles([MediaItem("a.png", "image", path="a.png")], probe=False)
    with pytest.raises(ValueError, match=r"a.png is an image, and has no frames or spans"):
        FrameOf(image, 0, 0.0)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "ts"])
def test_previews_are_near_the_exact_frames(ending: str, tmp_path: Path) -> None:
    frames = np.repeat(np.arange(50, dtype=np.uint8) * 5, 32 * 48 * 3).reshape(50, 32, 48, 3)
    write_video(tmp_path / f"a.{ending}", frames, fps=10, options={"crf": "5", "g": "10"})
    times = [0.0, 0.05, 1.0, 2.7, 4.8, 60.0]
    found = np.stack(preview_frames(tmp_path / f"a.{ending}", times, 24))
    assert found.shape == (6, 16, 24, 3)
    assert np.abs(brightness(found) - [0, 0, 10, 27, 48, 49]).max() <= 2
    alone = [preview_frames(tmp_path / f"a.{ending}", [second], 24)[0] for second in times]
    assert np.abs(brightness(np.stack(alone)) - [0, 0, 10, 27, 48, 49]).max() <= 2
    facts = stream_facts(tmp_path / f"a.{ending}")
    assert (facts.codec, facts.width, facts.height, facts.rate) == ("h264", 48, 32, 10.0)
    assert facts.duration == pytest.approx(5.0, abs=0.3)


def test_previews_of_what_is_no_film_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    for read in (lambda: preview_frames(tmp_path / "a.mp4", [0.0], 10), lambda: stream_facts(tmp_path / "a.mp4")):
        with pytest.raises(MediaError, match=r"a.mp4: Invalid data"):
            read()
    with pytest.raises(MediaError, match="no such file"):
        stream_facts(tmp_path / "b.mp4")


def test_the_medium_of_an_item_is_opened_again(film: MediaFiles) -> None:
    assert medium_of(film.items[0]).info(0).frame_count == 50
    digits = MovingDigits()
    item = digits.items[1234]
    indexed = MediaItem(item.key, "video", origin=digits.origin(1234))
    np.testing.assert_array_equal(medium_of(indexed).read(0)[0], digits.read(1234)[0])
    for gone in (MediaItem("a", "image"), MediaItem("a", "image", path="/nowhere/a.png"),
                 MediaItem("a", "video", origin="moving-digits/none")):  # fmt: skip
        with pytest.raises(MediaError, match=r"no such file|cannot be opened again"):
            medium_of(gone)


def test_previews_of_a_long_film_decode_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film with one key frame: what lies far from it is near enough, and found in bounded time."""
    frames = np.repeat(np.arange(250, dtype=np.uint8), 32 * 48 * 3).reshape(250, 32, 48, 3)
    write_video(tmp_path / "a.mp4", frames, fps=10, options={"crf": "5", "g": "1000", "sc_threshold": "0"})
    exact = np.stack(preview_frames(tmp_path / "a.mp4", [24.0], 48)).mean()
    assert exact == pytest.approx(240, abs=3)
    monkeypatch.setattr("jaxret.data.decode.previews._MOST_DECODED", 60)
    few = np.stack(preview_frames(tmp_path / "a.mp4", [24.0], 48)).mean()
    assert few == pytest.approx(60, abs=3)
