"""The cache computes each item once, survives kills and notices damage."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxret
from jaxret.data.batches.cache import FeatureCache
from jaxret.data.datasets.folders import MediaFiles, scan_folder
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.sampling.reading import read_chunks
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing

SETTINGS = Preprocessing(height=16, width=16, frames=3, chunk_seconds=0.4)


@pytest.fixture
def files(tmp_path, make_video) -> MediaFiles:
    root = tmp_path / "media"
    root.mkdir()
    for number in range(5):
        Image.new("RGB", (20, 20), (number * 40, 7, 200)).save(root / f"{number}.png")
    (root / "v.mp4").write_bytes(make_video("cached.mp4", count=30).read_bytes())
    (root / "w.mp4").write_bytes(make_video("cached-short.mp4", count=3).read_bytes())
    return MediaFiles(scan_folder(root))


class Backbone:
    """Mean colour of each frame; counts frames and calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        self.calls.append(frames.shape)
        return frames.mean((1, 2)) + np.arange(frames.shape[-1])


def make(tmp_path: Path, **changes) -> FeatureCache:
    return FeatureCache(
        tmp_path / "cache", **{"encoder": "e1", "sampling": SETTINGS.to_json(), "dtype": "float32", **changes}
    )


def slow_features(dataset: MediaFiles, index: int) -> np.ndarray:
    return np.stack([chunk.pixels.mean((1, 2)) + np.arange(3) for chunk in read_chunks(dataset, index, SETTINGS)])


def fill(cache: FeatureCache, dataset, backbone, read=read_chunks, **options):
    """Features an item at a time, each chunk on its own."""

    def compute(numbers):
        for number in numbers:
            try:
                chunks = list(read(dataset, number, SETTINGS))
            except MediaError as error:
                yield number, error
            else:
                features = np.stack([backbone(chunk.pixels) for chunk in chunks])
                yield number, (features, np.stack([chunk.times for chunk in chunks]))

    return cache.fill(dataset, compute, **options)


def test_features_are_those_of_one_item_at_a_time(tmp_path, files):
    seen = []
    table = fill(make(tmp_path), files, Backbone(), progress=lambda *done: seen.append(done))
    assert (table.computed, table.reused, table.broken) == (7, 0, {})
    assert seen == [(n, 7) for n in range(1, 8)]
    for index in range(7):
        stored = table.load(index)
        np.testing.assert_allclose(stored.features, slow_features(files, index), rtol=1e-6)
        chunks = list(read_chunks(files, index, SETTINGS))
        np.testing.assert_array_equal(stored.times, [chunk.times for chunk in chunks])
    assert table.load(5).features.shape == (3, 3, 3)  # 1.2 s in chunks of 0.4 s
    assert isinstance(table.load(5).features, np.memmap)


def test_second_fill_computes_nothing(tmp_path, files):
    fill(make(tmp_path), files, Backbone())
    again = Backbone()
    table = fill(make(tmp_path), files, again)
    assert again.calls == []
    assert (table.computed, table.reused) == (0, 7)
    for changes in ({"encoder": "e2"}, {"sampling": {"frames": 4}}, {"dtype": "float16"}):
        assert fill(make(tmp_path, **changes), files, Backbone()).computed == 7


def test_changed_content_is_recomputed_and_renamed_is_not(tmp_path, files):
    fill(make(tmp_path), files, Backbone())
    root = Path(files.items[0].path).parent
    (root / "1.png").rename(root / "moved.png")
    Image.new("RGB", (20, 20), (1, 2, 3)).save(root / "0.png")
    dataset = MediaFiles(scan_folder(root))
    table = fill(make(tmp_path), dataset, Backbone())
    assert (table.computed, table.reused) == (1, 6)
    np.testing.assert_allclose(table.load(0).features[0, 0], [1, 3, 5])


def test_twins_are_computed_once(tmp_path, files):
    root = Path(files.items[0].path).parent
    (root / "twin.png").write_bytes((root / "0.png").read_bytes())
    backbone = Backbone()
    table = fill(make(tmp_path), MediaFiles(scan_folder(root)), backbone)
    assert len(backbone.calls) == 5 + 3 + 1
    np.testing.assert_array_equal(table.load(0).features, table.load(5).features)
    assert (table.computed, table.reused) == (8, 0)


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "gone", "times gone", "other dtype"])
def test_damaged_file_is_redone_alone(tmp_path, files, damage):
    table = fill(make(tmp_path), files, Backbone())
    cache = table.cache
    path = cache._path(table.contents[5])
    data = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(data[:-8])
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(b"x" * len(data))
        case "gone":
            path.unlink()
        case "times gone":
            path.with_suffix(".times.npy").unlink()
        case "other dtype":
            np.save(path, np.zeros((3, 3, 3), np.float64))
    with pytest.raises(MediaError, match="fill the cache again"):
        table.load(5)
    again = fill(make(tmp_path), files, Backbone())
    assert (again.computed, again.reused) == (1, 6)
    np.testing.assert_allclose(again.load(5).features, slow_features(files, 5), rtol=1e-6)


def test_broken_items_are_listed(tmp_path, files):
    root = Path(files.items[0].path).parent
    (root / "2.png").write_bytes((root / "2.png").read_bytes()[:60])
    (root / "3.png").unlink()
    table = fill(make(tmp_path), files, Backbone())
    assert set(table.broken) == {2, 3}
    assert (table.computed, table.reused) == (5, 0)
    with pytest.raises(MediaError, match=r"2\.png"):
        table.load(2)
    assert table.load(4).features[0, 0, 0] == 160


def test_item_that_breaks_off_in_the_middle(tmp_path, files):
    def read(dataset, index, settings):
        for number, chunk in enumerate(read_chunks(dataset, index, settings)):
            if index == 5 and number == 2:
                raise MediaError("v.mp4", "frame 20 of 30 does not decode")
            yield chunk

    table = fill(make(tmp_path), files, Backbone(), read=read)
    assert set(table.broken) == {5}
    np.testing.assert_allclose(table.load(6).features, slow_features(files, 6), rtol=1e-6)


def test_killed_run_keeps_what_it_had(tmp_path):
    program = f"""
import sys, os
import numpy as np
from jaxret.data.batches.cache import FeatureCache
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.sampling.reading import read_chunks
from jaxret.preprocessing import Preprocessing
settings = Preprocessing(**{SETTINGS.to_json()!r})
dataset = MovingDigits(train_clips=1, validation_clips=0, test_clips=0).subset(range(20))
cache = FeatureCache({str(tmp_path / "cache")!r}, encoder="e1", sampling=settings.to_json(), dtype="float32")
def progress(done, todo):
    if done == 9:
        os.kill(os.getpid(), 9)
def compute(numbers):
    for number in numbers:
        chunks = list(read_chunks(dataset, number, settings))
        yield number, (np.stack([c.pixels.mean((1, 2)) for c in chunks]), np.stack([c.times for c in chunks]))
cache.fill(dataset, compute, progress=progress)
"""
    root = Path(jaxret.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, done.stderr
    dataset = MovingDigits(train_clips=1, validation_clips=0, test_clips=0).subset(range(20))
    table = fill(make(tmp_path), dataset, lambda x: x.mean((1, 2)))
    assert (table.computed, table.reused) == (11, 9)


def test_two_writers_agree(tmp_path, files):
    tables = []
    workers = [
        threading.Thread(target=lambda: tables.append(fill(make(tmp_path), files, Backbone()))) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(tables) == 3
    for index in range(7):
        np.testing.assert_allclose(tables[0].load(index).features, slow_features(files, index), rtol=1e-6)


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    cache = make(tmp_path)
    old, new = cache.folder / "partial-old", cache.folder / "partial-new"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    make(tmp_path)
    assert not old.exists()
    assert new.exists()


def test_manifest_says_what_made_the_features(tmp_path):
    cache = make(tmp_path)
    manifest = json.loads((cache.folder / "manifest.json").read_text())
    assert manifest == {"format": 1, "encoder": "e1", "sampling": SETTINGS.to_json(), "dtype": "float32"}


def test_half_precision_and_bad_values(tmp_path):
    cache = make(tmp_path, dtype="float16")
    values = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    cache.put("abcd", values, np.zeros((2, 3)))
    assert cache.get("abcd").features.dtype == np.float16
    np.testing.assert_allclose(cache.get("abcd").features, values, rtol=1e-3)
    for bad in (np.nan, np.inf, 1e6):
        values[1, 1, 1] = bad
        with pytest.raises(ValueError, match="NaN, infinite or too large for float16"):
            cache.put("abcd", values, np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"got \(2, 3, 5\) and \(2, 2\)"):
        cache.put("abcd", np.zeros((2, 3, 5)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="dtype must be float16 or float32, got 'int8'"):
        make(tmp_path, dtype="int8")


def test_content_of_moving_digits_follows_from_its_settings():
    small = {"train_clips": 1, "validation_clips": 0, "test_clips": 0}
    dataset = MovingDigits(**small)
    hashes = [dataset.content_hash(index) for index in range(len(dataset))]
    assert len(set(hashes)) == len(hashes)
    assert MovingDigits(**small).subset([3]).content_hash(0) == hashes[3]
    for change in ({"seed": 1}, {"frames": 16}, {"size": 40}, {"fps": 10}):
        assert MovingDigits(**small, **change).content_hash(3) != hashes[3]


@pytest.mark.parametrize("content", ["12-rL0Y20zC+Fzt72VPzMSk2A==/x", "../../outside", "9-a/b"])
def test_any_tag_of_a_store_names_a_file_in_the_cache(tmp_path, content):
    cache = make(tmp_path)
    cache.put(content, np.ones((1, 2, 3)), np.zeros((1, 2)))
    assert cache.get(content).features.tolist() == np.ones((1, 2, 3)).tolist()
    assert cache.get(content[:-1]) is None
    assert all(cache.folder in path.parents for path in tmp_path.rglob("*.npy"))


def test_too_many_open_files_are_not_taken_for_a_damaged_cache(tmp_path):
    cache = make(tmp_path)
    cache.put("a", np.ones((1, 2, 3)), np.zeros((1, 2)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            cache.get("a")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
