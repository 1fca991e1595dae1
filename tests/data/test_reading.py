"""Chunks for indexing and clips for training, from files and from memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from jaxret.data.frame_sampling import even_samples
from jaxret.data.media_folders import MediaFiles
from jaxret.data.media_item import ArrayReader, MediaDataset, MediaItem
from jaxret.data.reading import read_chunks, read_training_clip
from jaxret.data.transforms import Augmentation, centre_geometry
from jaxret.preprocessing import Preprocessing

SETTINGS = Preprocessing(height=24, width=24, frames=4, chunk_seconds=1.0)


@pytest.fixture
def files(tmp_path, make_video) -> MediaFiles:
    video = make_video("chunks.mp4", count=90, options={"x264-params": "keyint=12:min-keyint=12:bframes=2"})
    Image.new("RGB", (40, 20), (9, 8, 7)).save(tmp_path / "a.png")
    short = make_video("short.mp4", count=2)
    return MediaFiles(
        [
            MediaItem("video", "video", path=str(video)),
            MediaItem("image", "image", path=str(tmp_path / "a.png")),
            MediaItem("short", "video", path=str(short)),
        ]
    )


def test_chunks_are_evenly_sampled(files):
    chunks = list(read_chunks(files, 0, SETTINGS))
    assert [(round(chunk.start, 6), round(chunk.end, 6)) for chunk in chunks] == [
        (0.0, 0.9), (0.9, 1.8), (1.8, 2.7), (2.7, 3.6)
    ]  # fmt: skip
    times = np.arange(90) / 25
    geometry = centre_geometry(48, 64, SETTINGS)
    for chunk in chunks:
        chosen = even_samples(times, chunk.start, chunk.end, 4)
        np.testing.assert_array_equal(chunk.pixels, files.read(0, chosen, geometry)[0])
        np.testing.assert_allclose(chunk.times, times[chosen])
        assert np.all((chunk.start <= chunk.times) & (chunk.times < chunk.end))


def test_image_is_one_chunk_of_one_frame(files):
    (chunk,) = read_chunks(files, 1, dataclasses.replace(SETTINGS, channels=1))
    assert chunk.pixels.shape == (1, 24, 24, 1)
    assert (chunk.start, chunk.end, chunk.times.tolist()) == (0.0, 0.0, [0.0])


def test_short_video_repeats_its_frames(files):
    (chunk,) = read_chunks(files, 2, SETTINGS)
    np.testing.assert_allclose(chunk.times, [0, 0, 0.04, 0.04])
    np.testing.assert_array_equal(chunk.pixels[0], chunk.pixels[1])
    assert not np.array_equal(chunk.pixels[1], chunk.pixels[2])


class Numbered(MediaDataset):
    """A long video whose pixels say which frame they are; counts the frames handed out."""

    def __init__(self, count: int):
        self.items = (MediaItem("long", "video"),)
        self.count = count
        self.given: list[int] = []

    def open(self, index: int) -> ArrayReader:
        outer = self

        class Reader(ArrayReader):
            def frames(self, indices, geometry=None, channels=3) -> Iterator[np.ndarray]:
                for number in indices:
                    outer.given.append(int(number))
                    yield np.full((geometry.height, geometry.width, channels), number % 251, np.uint8)

        return Reader(np.zeros((self.count, 2, 2, 3), np.uint8), np.arange(self.count) / 10, self.count / 10)


def test_one_pass_one_chunk_at_a_time():
    dataset = Numbered(10_000)
    chunks = read_chunks(dataset, 0, Preprocessing(height=2, width=2, frames=16))
    next(chunks)
    assert len(dataset.given) == 16  # the rest of the video has not been asked for
    assert sum(1 for _ in chunks) == 99
    assert dataset.given == sorted(dataset.given)


def test_training_clips_vary_and_repeat_with_the_generator(files):
    clips = [read_training_clip(files, 0, SETTINGS, np.random.default_rng(seed)) for seed in range(6)]
    assert all(clip.shape == (4, 24, 24, 3) and clip.dtype == np.uint8 for clip in clips)
    assert len({clip.tobytes() for clip in clips}) == 6
    np.testing.assert_array_equal(clips[3], read_training_clip(files, 0, SETTINGS, np.random.default_rng(3)))
    assert read_training_clip(files, 1, SETTINGS, np.random.default_rng(0)).shape == (1, 24, 24, 3)
    assert read_training_clip(files, 2, SETTINGS, np.random.default_rng(0)).shape == (4, 24, 24, 3)


def test_one_crop_a_clip():
    """A still scene stays still whatever is drawn: the choice is made once, not for each frame."""

    class Still(MediaDataset):
        items = (MediaItem("still", "video"),)

        def open(self, index: int) -> ArrayReader:
            scene = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
            return ArrayReader(np.repeat(scene[None], 12, 0), np.arange(12) / 10, 1.2)

    clips = [
        read_training_clip(Still(), 0, SETTINGS, np.random.default_rng(seed), Augmentation(zoom=1.5))
        for seed in range(8)
    ]
    for clip in clips:
        assert np.all(clip == clip[0])
    assert len({clip.tobytes() for clip in clips}) == 8


def test_without_augmentation_only_the_chunk_is_random(files):
    clip = read_training_clip(files, 0, dataclasses.replace(SETTINGS, chunk_seconds=10), np.random.default_rng(0), None)
    (chunk,) = read_chunks(files, 0, dataclasses.replace(SETTINGS, chunk_seconds=10))
    np.testing.assert_array_equal(clip, chunk.pixels)
