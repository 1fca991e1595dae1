"""Chunks for indexing and clips for training, from files and from memory."""

from __future__ import annotations

import dataclasses
import sys
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.items import MediaItem
from jaxret.data.readers import ArrayReader
from jaxret.data.sampling.frames import even_samples
from jaxret.data.sampling.modalities import modality_image
from jaxret.data.sampling.reading import chunks_of, read_chunks, read_images, read_training_clip
from jaxret.data.sampling.transforms import Augmentation, centre_geometry, random_geometry
from jaxret.errors import ConfigError, MediaError
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
    assert len(dataset.given) == 16  # the rest of the video has not been read
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


# Modalities

LENGTHS = {"rgb": 1, "flow": 2, "difference": 4, "dynamic-image": 10}
STACKS = [("difference",), ("rgb", "difference"), ("dynamic-image", "rgb"), ("difference", "rgb", "dynamic-image")]


def slow_image(video: np.ndarray, moment: int, modalities: tuple[str, ...]) -> np.ndarray:
    """What the encoder sees of one moment of a video (N, H, W, 3) that is scaled already."""
    images = []
    for name in modalities:
        start = max(0, min(moment, len(video) - LENGTHS[name]))
        snippet = video[start : start + LENGTHS[name]]
        if name != "dynamic-image":
            snippet = np.concatenate([snippet, *[video[-1:]] * (LENGTHS[name] - len(snippet))])
        images.append(modality_image(name, snippet))
    return np.concatenate(images, axis=-1)


@pytest.mark.parametrize("modalities", [*STACKS, ("rgb", "flow")], ids=" ".join)
@pytest.mark.parametrize("number", [0, 2])
def test_chunks_of_modalities_against_a_slow_twin(files, modalities, number):
    if "flow" in modalities:
        pytest.importorskip("cv2")
    settings = dataclasses.replace(SETTINGS, modalities=modalities)
    video = files.read(number, geometry=centre_geometry(48, 64, SETTINGS))[0]
    plain = list(read_chunks(files, number, SETTINGS))
    chunks = list(read_chunks(files, number, settings))
    assert len(chunks) == len(plain)
    for chunk, rgb in zip(chunks, plain, strict=True):
        assert (chunk.start, chunk.end) == (rgb.start, rgb.end)
        np.testing.assert_array_equal(chunk.times, rgb.times)
        moments = np.rint(chunk.times * 25).astype(int)
        expected = np.stack([slow_image(video, moment, modalities) for moment in moments])
        np.testing.assert_array_equal(chunk.pixels, expected)
        assert chunk.pixels.shape == (4, 24, 24, settings.pixel_channels)


@pytest.mark.parametrize("modalities", [("rgb",), *STACKS], ids=" ".join)
def test_dense_and_repeated_moments(files, modalities):
    """Every moment up to the last frame, some twice: overlapping snippets, moved back at the end."""
    settings = dataclasses.replace(SETTINGS, modalities=modalities)
    geometry = centre_geometry(48, 64, SETTINGS)
    moments = sorted([*range(90), 0, 17, 17, 88, 89])
    video = files.read(0, geometry=geometry)[0]
    with files.open(0) as reader:
        images = list(read_images(reader, moments, geometry, settings))
    expected = np.stack([slow_image(video, moment, modalities) for moment in moments])
    np.testing.assert_array_equal(np.stack(images), expected)
    images[18][:] = 0  # a repeated moment is an array of its own
    np.testing.assert_array_equal(images[19], expected[19])


def test_clips_of_modalities_take_the_same_moments_and_window_as_rgb(files):
    """Against a slow twin that draws chunk, window and moments with a generator of its own."""
    augment = Augmentation(zoom=1.5)
    settings = dataclasses.replace(SETTINGS, modalities=("rgb", "difference"))
    mirrored = 0
    for seed in range(6):
        clip = read_training_clip(files, 0, settings, np.random.default_rng(seed), augment)
        rgb = read_training_clip(files, 0, SETTINGS, np.random.default_rng(seed), augment)
        np.testing.assert_array_equal(clip[..., :3], rgb)
        rng = np.random.default_rng(seed)
        start = rng.uniform(0, 3.6 - 0.9)
        geometry = random_geometry(48, 64, SETTINGS, rng, augment)
        moments = np.floor((start + (np.arange(4) + rng.random(4)) * 0.9 / 4) * 25 + 1e-6).astype(int)
        video = files.read(0, geometry=geometry)[0]
        expected = np.stack([slow_image(video, moment, settings.modalities) for moment in moments])
        np.testing.assert_array_equal(clip, expected)
        mirrored += geometry.mirror
    assert 0 < mirrored < 6


def test_mirroring_turns_flow_around():
    pytest.importorskip("cv2")

    class Drift(MediaDataset):
        """Blobs that move one pixel a frame to the right."""

        items = (MediaItem("drift", "video"),)

        def open(self, index: int) -> ArrayReader:
            coarse = np.random.default_rng(0).integers(20, 230, (10, 14), np.uint8)
            scene = np.asarray(Image.fromarray(coarse).resize((84, 60), Image.Resampling.BICUBIC))
            frames = [np.repeat(scene[:, 20 - n : 80 - n, None], 3, axis=-1) for n in range(20)]
            return ArrayReader(np.stack(frames), np.arange(20) / 10, 2.0)

    settings = Preprocessing(height=60, width=60, frames=3, chunk_seconds=2.0, modalities=("flow",))
    clips = [
        read_training_clip(Drift(), 0, settings, np.random.default_rng(0), Augmentation(zoom=1.0, mirror=mirror))
        for mirror in (0.0, 1.0)
    ]
    across = [float(np.median(clip[:, 15:45, 15:45, 0].astype(float) - 128)) for clip in clips]
    np.testing.assert_allclose(across, [127 / 20, -127 / 20], atol=1)


def test_modalities_in_one_pass_with_few_frames_in_memory():
    class Counted(Numbered):
        """Counts how many frames are alive."""

        alive = most = 0

        def open(self, index: int) -> ArrayReader:
            reader = super().open(index)
            give = reader.frames

            def frames(*arguments) -> Iterator[np.ndarray]:
                for frame in give(*arguments):
                    self.alive += 1
                    self.most = max(self.most, self.alive)
                    weakref.finalize(frame, self.gone)
                    yield frame

            reader.frames = frames
            return reader

        def gone(self) -> None:
            self.alive -= 1

    dataset = Counted(2_000)
    settings = Preprocessing(height=2, width=2, frames=16, modalities=("rgb", "difference", "dynamic-image"))
    chunks = read_chunks(dataset, 0, settings)
    next(chunks)
    assert dataset.given[-1] < 100 + 10  # of 2,000: only the first chunk's snippets have been read
    assert sum(1 for _ in chunks) == 19
    assert dataset.given == sorted(set(dataset.given))
    assert dataset.most <= 10 + 2


@pytest.mark.parametrize("modalities", [("rgb",), ("rgb", "difference")], ids=" ".join)
def test_moments_out_of_order_or_range(files, modalities):
    settings = dataclasses.replace(SETTINGS, modalities=modalities)
    geometry = centre_geometry(48, 64, SETTINGS)
    with files.open(0) as reader:
        with pytest.raises(ValueError, match=r"must not decrease, got \[3, 2\]"):
            list(read_images(reader, [3, 2], geometry, settings))
        with pytest.raises(IndexError, match=r"0\.\.89, got 90"):
            list(read_images(reader, [3, 90], geometry, settings))


def test_a_image_has_no_motion(files):
    settings = dataclasses.replace(SETTINGS, modalities=("rgb", "difference"))
    message = r"a\.png: an image has no motion for the modality 'difference'"
    with pytest.raises(MediaError, match=message):
        list(read_chunks(files, 1, settings))
    with pytest.raises(MediaError, match=message):
        read_training_clip(files, 1, settings, np.random.default_rng(0))
    with files.open(1) as reader, pytest.raises(MediaError, match=message):
        list(chunks_of(reader, settings, is_image=True))


def test_flow_without_opencv_is_found_out_before_decoding(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)

    class Shut(MediaDataset):
        items = (MediaItem("shut", "video"),)

        def open(self, index: int) -> ArrayReader:
            raise AssertionError("opened")

    settings = dataclasses.replace(SETTINGS, modalities=("rgb", "flow"))
    with pytest.raises(ConfigError, match="extra `opencv`"):
        next(read_chunks(Shut(), 0, settings))
    with pytest.raises(ConfigError, match="extra `opencv`"):
        read_training_clip(Shut(), 0, settings, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="extra `opencv`"):
        read_images(Numbered(3).open(0), [0], centre_geometry(2, 2, settings), settings)
