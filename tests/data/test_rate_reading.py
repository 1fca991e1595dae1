"""Images at a steady rate: which, of what size, and how many are held at once."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from PIL import Image

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.decode.video import VideoReader
from jaxret.data.items import MediaItem
from jaxret.data.readers import ArrayReader, MediaInfo, MediaReader
from jaxret.data.sampling.reading import open_item, read_at_rate
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing

LIMIT = Preprocessing(height=64, width=64, resize="limit")


def numbered(times, duration: float) -> ArrayReader:
    """Frame n is grey level n."""
    pixels = np.broadcast_to(np.arange(len(times), dtype=np.uint8)[:, None, None, None], (len(times), 32, 64, 3))
    return ArrayReader(pixels, np.asarray(times, np.float64), duration)


def shown(reader: MediaReader, rate: float, block: int = 3) -> tuple[list[float], list[int]]:
    times, levels = [], []
    for moments, pixels in read_at_rate(reader, rate, LIMIT, block=block):
        assert len(moments) == len(pixels) <= block
        times += moments.tolist()
        levels += pixels[:, 5, 5, 1].tolist()
    return times, levels


@pytest.mark.parametrize("rate", [0.7, 3.0, 10.0, 25.0])
@pytest.mark.parametrize(
    ("times", "duration"),
    [
        (np.arange(60) / 25, 2.4),
        ([0, 0.1, 0.2, 1.5, 1.6, 4.0], 5.0),  # a variable rate: a slide that stands
        ([0.0], 0.01),
        ([0.0, 0.04], 0.08),
    ],
)
def test_each_moment_shows_the_last_frame_that_has_begun(times, duration, rate):
    moments, levels = shown(numbered(times, duration), rate)
    expected, number = [], 0
    while number == 0 or number / rate < duration - 1e-6:
        expected.append(number / rate)
        number += 1
    np.testing.assert_allclose(moments, expected)
    assert levels == [max(n for n, time in enumerate(times) if time <= moment + 1e-9) for moment in expected]


def test_a_file_gives_the_frames_that_reading_by_number_gives(make_video):
    with VideoReader(make_video("rate.mp4", count=50)) as reader:
        blocks = list(read_at_rate(reader, 3.0, LIMIT, block=4))
        assert [len(times) for times, _ in blocks] == [4, 2]
        pixels = np.concatenate([pixels for _, pixels in blocks])
        expected = reader.read([0, 8, 16, 25, 33, 41], centre_geometry(48, 64, LIMIT))
    assert pixels.shape == (6, 64, 64, 3)  # 48 lines lie between one step of 32 and two, and halves go up
    np.testing.assert_array_equal(pixels, expected)


def test_modalities_and_images(tmp_path, make_video):
    Image.new("RGB", (100, 50), (9, 8, 7)).save(tmp_path / "a.png")
    files = MediaFiles(
        [
            MediaItem("a", "image", path=str(tmp_path / "a.png")),
            MediaItem("v", "video", path=str(make_video("v.mp4", count=30))),
        ]
    )
    both = Preprocessing(height=64, width=64, resize="limit", modalities=("rgb", "difference"))
    with open_item(files, 0, LIMIT) as reader:
        ((times, pixels),) = read_at_rate(reader, 3.0, LIMIT)
    assert (times.tolist(), pixels.shape) == ([0.0], (1, 32, 64, 3))
    with pytest.raises(MediaError, match="no motion"):
        open_item(files, 0, both)
    with open_item(files, 1, both) as reader:
        assert [pixels.shape for _, pixels in read_at_rate(reader, 3.0, both)] == [(4, 64, 64, 6)]


def test_a_long_video_holds_a_block_at_a_time():
    alive, most, given = 0, 0, 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    class Long(MediaReader):
        info = MediaInfo(180_000, 7200.0, width=64, height=32)
        times = np.arange(180_000) / 25

        def frames(self, indices, geometry=None, channels=3):
            nonlocal alive, most, given
            for _ in indices:
                frame = np.empty((1, 1, 3), np.uint8)
                alive, given = alive + 1, given + 1
                most = max(most, alive)
                weakref.finalize(frame, gone)
                yield frame
                del frame

    gc.collect()
    blocks = read_at_rate(Long(), 3.0, LIMIT, block=8)
    next(blocks)
    assert given == 8  # nothing is read ahead
    assert sum(len(times) for times, _ in blocks) == 21_600 - 8
    assert most <= 9


def test_bad_numbers_are_named_at_once():
    reader = numbered([0.0], 1.0)
    with pytest.raises(ValueError, match=r"rate must be a finite number .* got 0"):
        read_at_rate(reader, 0, LIMIT)
    with pytest.raises(ValueError, match="block must be at least 1 image, got 0"):
        read_at_rate(reader, 1.0, LIMIT, block=0)
