"""Queries cropped from the videos that are searched: which frames, which times, and what is right."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.ground_truth.cropped import CroppedQueries, crop_frames
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset


@pytest.mark.parametrize(
    ("count", "crops", "length", "gap"), [(20, 3, 4, 1), (20, 3, 6, 1), (9, 1, 4, 1), (7, 2, 1, 3)]
)
def test_runs_are_consecutive_with_gaps_between(count, crops, length, gap):
    for seed in range(50):
        frames = crop_frames(count, crops, length, np.random.default_rng(seed), gap=gap)
        assert frames.shape == (crops * length,)
        assert frames[0] >= 0
        assert frames[-1] < count
        runs = frames.reshape(crops, length)
        assert np.all(np.diff(runs, axis=1) == 1)
        assert np.all(runs[1:, 0] - runs[:-1, -1] > gap)


def test_every_way_of_laying_the_runs_is_equally_likely():
    """All layouts of two runs of two frames in eight, found by trying all pairs of starts."""
    layouts = [pair for pair in combinations(range(7), 2) if pair[1] - pair[0] >= 3]
    rng = np.random.default_rng(0)
    drawn = Counter(tuple(crop_frames(8, 2, 2, rng)[::2].tolist()) for _ in range(5000))
    assert set(drawn) == set(layouts)
    expected = 5000 / len(layouts)
    # Chi-squared with 9 degrees of freedom lies below 28 but once in a thousand.
    assert sum((drawn[pair] - expected) ** 2 / expected for pair in layouts) < 28


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crops": 0}, "crops must be at least 1, got 0"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"gap": -1}, "gap must be at least 0, got -1"),
        ({"length": 4}, "3 runs of 4 frames, 1 apart, need 14 frames, got 10"),
    ],
)
def test_what_cannot_be_laid(settings, message):
    with pytest.raises(ValueError, match=message):
        crop_frames(10, **{"crops": 3, "length": 2, "rng": np.random.default_rng(0), **settings})


@pytest.fixture
def files(tmp_path, make_video) -> MediaFiles:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    variable = np.cumsum([0] + [30, 50] * 20).tolist()
    videos = {
        "long": make_video("long.mp4", count=60, options={"x264-params": "keyint=10"}),
        "other": make_video("variable.mkv", count=41, stamps=variable),
        "brief": make_video("brief.mp4", count=4),
    }
    items = [
        MediaItem(name, "video", label="x" if name == "long" else "y", source=f"s-{name}", split="test", path=str(path))
        for name, path in videos.items()
    ]
    return MediaFiles([*items, MediaItem("image", "image", label="x", path=str(tmp_path / "a.png"))])


def test_queries_show_frames_of_their_video(files):
    queries = CroppedQueries(files, crops=3, share=0.5, queries_per_video=2, seed=7)
    assert [item.key for item in queries.items] == ["long#0", "long#1", "other#0", "other#1"]
    assert queries.videos.tolist() == [0, 0, 1, 1]
    assert [str(error) for error in queries.skipped] == [
        f"{files.items[2].path}: 4 frames are too few for 3 runs with gaps between"
    ]
    # A share that leaves no room for gaps gives the longest runs that do.
    dense = CroppedQueries(files, videos=[0], crops=3, share=0.99, seed=7)
    assert [len(frames) for frames in dense.frames] == [3 * 19]
    assert (np.diff(dense.frames[0]) > 1).sum() == 2
    first = queries.items[0]
    assert (first.label, first.source, first.split, first.path) == ("x", "s-long", "test", None)
    assert queries.frames[0].tolist() != queries.frames[1].tolist()
    for number, video in enumerate(queries.videos):
        whole, times = files.read(video)
        with queries.open(number) as reader:
            frames = queries.frames[number]
            np.testing.assert_array_equal(reader.read(), whole[frames])
            np.testing.assert_array_equal(reader.read([5, 0, 5]), whole[frames[[5, 0, 5]]])
            shown = np.append(times[1:], files.info(video).duration) - times
            np.testing.assert_allclose(np.diff(reader.times), shown[frames][:-1])
            assert reader.info.duration == pytest.approx(shown[frames].sum())
            assert reader.info.frame_count == len(frames) == 3 * (len(times) // 2 // 3)


def test_queries_follow_from_the_seed_and_the_video_alone(files):
    queries = CroppedQueries(files, seed=7)
    alone = CroppedQueries(files, videos=[1], seed=7)
    np.testing.assert_array_equal(alone.frames[0], queries.frames[1])
    assert alone.content_hash(0) == queries.content_hash(1) != queries.content_hash(0)
    other = CroppedQueries(files, seed=8)
    assert other.frames[0].tolist() != queries.frames[0].tolist()
    assert other.content_hash(0) != queries.content_hash(0)


def test_what_is_right_by_clip_and_by_class(files):
    queries = CroppedQueries(files)
    gallery = [3, 2, 1, 0]
    assert queries.relevant(gallery, "clip") == [{3: 1.0}, {2: 1.0}]
    assert queries.relevant(gallery, "class") == [{0: 1.0, 3: 1.0}, {1: 1.0, 2: 1.0}]
    with pytest.raises(ValueError, match="by must be one of clip, class, got 'label'"):
        queries.relevant(gallery, "label")
    for settings, message in (
        ({"share": 1.0}, "share must lie between 0 and 1, got 1.0"),
        ({"crops": 0}, "must be at least 1, got 0 and 1"),
    ):
        with pytest.raises(ValueError, match=message):
            CroppedQueries(files, **settings)


def test_queries_of_rgbd_videos_have_depth(tmp_path):
    rng = np.random.default_rng(0)
    depths = rng.uniform(1, 3, (12, 6, 8)).astype(np.float32)
    write_rgbd_folder(tmp_path / "walk", rng.integers(0, 256, (12, 6, 8, 3), np.uint8), depths)
    queries = CroppedQueries(open_dataset(f"rgbd:{tmp_path / 'walk'}"), crops=2)
    with queries.open(0) as reader:
        assert reader.has_depth
        np.testing.assert_allclose(np.stack(list(reader.depths(range(6)))), depths[queries.frames[0]], atol=6e-4)
    with pytest.raises(ValueError, match="query 'walk#0' has no label to be relevant by"):
        queries.relevant([0], "class")
