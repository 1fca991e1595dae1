"""Splits, cached frame vectors and resolved settings: the pieces that recipes share."""

from __future__ import annotations

import dataclasses
import os
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.moving_digits import MovingDigits, unseen_labels
from jaxret.data.items import MediaItem
from jaxret.data.readers import ArrayReader
from jaxret.data.sampling.reading import read_chunks
from jaxret.data.sampling.transforms import Augmentation
from jaxret.data.splits import split_dataset
from jaxret.errors import ConfigError, MediaError
from jaxret.index import IndexBusyError
from jaxret.index.write_lock import addition_lock, write_lock
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.registry import PackagedWeights
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.clip_media import embed_items, training_mode
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.recipes.clips.model import resolve
from jaxret.recipes.clips.moving_digits import MOVING_DIGITS
from jaxret.recipes.finish import make_run_index
from jaxret.retrieval import Retriever
from jaxret.retrieval.encode import frame_vectors
from jaxret.training import RunFolder


class Noise(MediaDataset):
    """Videos of noise of several lengths and rates; item 2 does not read, item 4 is a picture."""

    FRAMES = (40, 5, 10, 90, 1, 30)

    def __init__(self) -> None:
        self.items = tuple(MediaItem(f"n{i}", "image" if i == 4 else "video", "ab"[i % 2]) for i in range(6))

    def content_hash(self, index: int) -> str:
        if index == 2:
            raise MediaError("n2", "made to fail")
        return f"noise{index}"

    def open(self, index: int) -> ArrayReader:
        if index == 2:
            raise MediaError("n2", "made to fail")
        count = self.FRAMES[index]
        pixels = np.random.default_rng(index).integers(0, 255, (count, 36, 32, 3)).astype(np.uint8)
        rate = 10.0 + index
        return ArrayReader(pixels, np.arange(count) / rate, 0.0 if count == 1 else count / rate)


@pytest.fixture(scope="module")
def encoder() -> VideoEncoder:
    rngs = nnx.Rngs(0)
    return VideoEncoder(
        create_backbone("small-convnet", widths=[4], embedding_size=8, rngs=rngs),
        TemporalEncoder(8, 6, rngs=rngs),
        Preprocessing(height=32, width=32, frames=5, chunk_seconds=2.0),
    )


def make_features(encoder: VideoEncoder, folder: Path, views: int = 1) -> FrozenFeatures:
    features = FrozenFeatures(Noise(), encoder, folder, views=views, augment=Augmentation(), seed=0)
    failures = features.prepare(threads=2, show=False)
    assert [failure.path for failure in failures] == ["n2"]
    return features


@pytest.mark.parametrize("views", [1, 3])
def test_cached_frame_vectors_are_those_of_the_index_road(encoder: VideoEncoder, tmp_path: Path, views: int) -> None:
    cached = make_features(encoder, tmp_path, views).frame_vectors(range(6))
    direct = dict(frame_vectors(Noise(), encoder, indices=[0, 1, 3, 5]))
    assert list(cached) == list(direct)
    for number, expected in direct.items():
        np.testing.assert_allclose(cached[number].vectors, expected.vectors, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(cached[number].times, expected.times)
        np.testing.assert_array_equal(cached[number].spans, expected.spans)


def test_other_views_are_changed_and_the_first_is_not(encoder: VideoEncoder, tmp_path: Path) -> None:
    loaded = []
    for changes in (0.0, 1.0):
        augment = Augmentation(1.0, 0.0, changes)
        features = FrozenFeatures(Noise(), encoder, tmp_path, views=3, augment=augment, seed=0)
        features.prepare(threads=2, show=False)
        loaded.append(features._load(1)[0])
    np.testing.assert_array_equal(loaded[0][0], loaded[1][0])
    assert np.abs(loaded[1][1] - loaded[0][1]).max() > 0.1 * np.abs(loaded[0]).max()
    assert np.abs(loaded[1][1] - loaded[1][2]).max() > 0.1 * np.abs(loaded[0]).max()


def test_clips_of_more_videos_than_files_may_be_open_are_the_same(
    encoder: VideoEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = make_features(encoder, tmp_path, views=2)
    videos, classes = [0, 1, 3, 5], [0, 1, 1, 0]

    def clips() -> list[np.ndarray]:
        read = features.reader(videos, classes)
        return [read(row, np.random.default_rng(row))["inputs"] for row in (0, 1, 2, 3, 0, 2)]

    whole = clips()
    held: list[weakref.ref] = []
    load = features._load

    def watched(index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert sum(vectors() is not None for vectors in held) <= 2
        loaded = load(index)
        held.append(weakref.ref(loaded[0]))
        return loaded

    monkeypatch.setattr(features, "_load", watched)
    monkeypatch.setattr("jaxret.recipes.clips.features._most_open_files", lambda: 4)
    for few, all_open in zip(clips(), whole, strict=True):
        np.testing.assert_array_equal(few, all_open)
    assert len(held) == 6  # two are kept: each is opened again


def test_a_log_of_cached_frame_vectors_ends_once(
    encoder: VideoEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FrozenFeatures(Noise(), encoder, tmp_path, views=1, augment=Augmentation(), seed=0).prepare(threads=2, show=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("frame vectors: 100%") for line in lines] == [False] * (len(lines) - 1) + [True]


def test_a_second_run_computes_nothing_and_another_backbone_everything(encoder: VideoEncoder, tmp_path: Path) -> None:
    make_features(encoder, tmp_path)
    counted = VideoEncoder(encoder.backbone, encoder.temporal, encoder.preprocessing)
    calls: list[int] = []
    counted.encode_frames = lambda frames: calls.append(len(frames)) or encoder.encode_frames(frames)  # type: ignore
    make_features(counted, tmp_path)
    assert calls == []
    other = create_backbone("small-convnet", widths=[4], embedding_size=8, rngs=nnx.Rngs(1))
    changed = VideoEncoder(other, encoder.temporal, encoder.preprocessing)
    fresh = make_features(changed, tmp_path).frame_vectors([0])[0].vectors
    assert not np.allclose(fresh, make_features(encoder, tmp_path).frame_vectors([0])[0].vectors)


def test_training_draws_one_moment_of_each_segment_from_every_view(encoder: VideoEncoder, tmp_path: Path) -> None:
    features = make_features(encoder, tmp_path, views=2)
    read = features.reader([3, 0], [7, 9])
    clips = [read(0, np.random.default_rng(seed)) for seed in range(60)]
    assert {int(clip["labels"]) for clip in clips} == {7}
    assert all(clip["inputs"].shape == (5, 8) for clip in clips)
    again = read(0, np.random.default_rng(5))["inputs"]
    np.testing.assert_array_equal(again, clips[5]["inputs"])
    assert len({clip["inputs"].tobytes() for clip in clips}) > 40
    # Both views occur: the even frames of view 0 are known, and some draws share none of them.
    known = {vector.tobytes() for vector in features._load(3)[0][0].reshape(-1, 8)}
    shared = [sum(vector.tobytes() in known for vector in clip["inputs"]) for clip in clips]
    assert set(shared) == {0, 5}


def with_modalities(encoder: VideoEncoder, *modalities: str) -> SimpleNamespace:
    """Stands in for an encoder that takes any number of channels: a frame's vector is the mean of its pixels."""
    return SimpleNamespace(
        unit="frame",
        preprocessing=dataclasses.replace(encoder.preprocessing, modalities=modalities),
        backbone=encoder.backbone,
        encode_frames=lambda frames: np.asarray(frames).mean((1, 2), dtype=np.float32),
    )


def test_cached_modalities_are_those_of_the_index_road(encoder: VideoEncoder, tmp_path: Path) -> None:
    both = with_modalities(encoder, "rgb", "difference")
    cached = make_features(both, tmp_path, views=2).frame_vectors(range(6))
    assert list(cached) == [0, 1, 3, 5]
    for number, vectors in cached.items():
        chunks = list(read_chunks(Noise(), number, both.preprocessing))
        expected = np.stack([chunk.pixels.mean((1, 2)) for chunk in chunks])
        assert expected.shape[-1] == 6
        np.testing.assert_allclose(vectors.vectors, expected, rtol=1e-5)
        np.testing.assert_array_equal(vectors.times, np.stack([chunk.times for chunk in chunks]))
    # Another modality is another cache, though the backbone is the same.
    other = make_features(with_modalities(encoder, "rgb", "dynamic-image"), tmp_path, views=2).frame_vectors([0])
    np.testing.assert_allclose(other[0].vectors[..., :3], cached[0].vectors[..., :3], rtol=1e-5)
    assert np.abs(other[0].vectors[..., 3:] - cached[0].vectors[..., 3:]).max() > 1


def test_pictures_among_videos_are_skipped_by_name_where_motion_is_asked_for(encoder: VideoEncoder) -> None:
    vectors, failures = embed_items(Noise(), with_modalities(encoder, "difference"), range(6), threads=2)
    assert sorted(vectors) == [0, 1, 3, 5]
    assert [failure.path for failure in failures] == ["n2", "n4"]
    assert failures[1].reason == "an image has no motion for the modality 'difference'"


def test_caching_flow_without_opencv_stops_with_the_name_of_the_extra(
    encoder: VideoEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match="extra `opencv`"):
        make_features(with_modalities(encoder, "flow"), tmp_path)


def test_moving_digits_keep_their_own_unseen_classes() -> None:
    dataset = MovingDigits(train_clips=2, validation_clips=1, test_clips=1)
    splits = split_dataset(dataset, unseen_fraction=0.0, seed=0)
    assert splits.unseen == tuple(sorted(unseen_labels()))
    assert len(splits.seen) == 60
    assert {dataset.items[n].label for n in splits.test} == set(splits.seen) | set(splits.unseen)


class Listed(MediaDataset):
    def __init__(self, items: list[MediaItem]):
        self.items = tuple(items)

    def open(self, index: int) -> ArrayReader:
        raise NotImplementedError


def many_items(split: str | None = None) -> list[MediaItem]:
    return [MediaItem(f"{i}", "video", f"class-{i % 6}", source=f"s{i // 3}", split=split) for i in range(240)]


def test_sources_stay_together_and_unseen_classes_only_test() -> None:
    dataset = Listed([*many_items(), MediaItem("unlabelled", "video")])
    splits = split_dataset(dataset, unseen_fraction=0.5, seed=1)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    assert Counter(np.concatenate(list(parts.values())).tolist()) == Counter(range(240))
    for name in ("train", "validation"):
        assert not {dataset.items[n].label for n in parts[name]} & set(splits.unseen)
    sources = {
        name: {dataset.items[n].source for n in p if dataset.items[n].label in splits.seen} for name, p in parts.items()
    }
    assert not sources["train"] & sources["validation"]
    assert not sources["train"] & sources["test"]
    assert len(splits.seen) == len(splits.unseen) == 3
    assert split_dataset(dataset, unseen_fraction=0.5, seed=2).unseen != splits.unseen


def test_named_splits_hold_and_a_missing_validation_part_comes_from_training() -> None:
    items = many_items("train")[:180] + [dataclasses.replace(item, split="test") for item in many_items()[180:]]
    idle = [MediaItem("idle", "video", "class-0", split="unused"), MediaItem("left out", "video", "class-0")]
    splits = split_dataset(Listed([*items, *idle]), unseen_fraction=0.0, seed=0)
    assert splits.test.tolist() == list(range(180, 240))
    assert len(splits.validation) == pytest.approx(18, abs=4)
    assert sorted([*splits.train, *splits.validation]) == list(range(180))


def test_classes_that_only_test_items_have_are_unseen() -> None:
    named = {"class-4": "test", "class-5": "validation"}
    items = [dataclasses.replace(item, split=named.get(str(item.label), "train")) for item in many_items()]
    items += [MediaItem("known", "video", "class-0", split="test"), MediaItem("unlabelled", "video", split="test")]
    splits = split_dataset(Listed(items), unseen_fraction=0.0, seed=0)
    assert splits.seen == ("class-0", "class-1", "class-2", "class-3")
    assert splits.unseen == ("class-4",)
    assert {items[n].label for n in splits.test} == {"class-0", "class-4"}
    # With a share of unseen classes as well: both kinds count.
    more = split_dataset(Listed(items), unseen_fraction=0.2, seed=3)
    assert set(more.unseen) == {items[n].label for n in more.test} - set(more.seen)
    assert len(more.unseen) >= 1


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([MediaItem(f"{i}", "video", "only") for i in range(20)], r"at least two classes, found 1 \(only\)"),
        ([MediaItem(f"{i}", "video") for i in range(20)], "at least two classes, found 0"),
        (many_items("holdout"), "must be train, validation, test or unused, got 'holdout'"),
    ],
)
def test_data_that_cannot_train_are_refused(items, message) -> None:
    with pytest.raises(ConfigError, match=message):
        split_dataset(Listed(items), unseen_fraction=0.0, seed=0)


def test_what_there_is_to_train() -> None:
    pictures = Listed([MediaItem(f"{i}", "image", "a") for i in range(3)])
    assert training_mode(pictures, freeze=True) is None
    assert training_mode(pictures, freeze=False) == "images"
    assert training_mode(Noise(), freeze=True) == "features"
    assert training_mode(Noise(), freeze=False) == "clips"


@pytest.mark.parametrize(
    ("settings", "digits", "expected"),
    [
        ({"weights": "none"}, False, ("none", "small-convnet", 64, False)),
        ({"weights": "none"}, True, ("none", "small-convnet", 32, False)),
        ({}, True, ("none", "small-convnet", 32, False)),
        ({"weights": "imagenet"}, False, ("imagenet", "efficientnet-lite0", 224, True)),
        ({"weights": "a/mobile.h5"}, False, ("a/mobile.h5", "mobilenet-v1", 224, True)),
        ({"weights": "v.h5", "backbone": "vgg16", "freeze": False}, False, ("v.h5", "vgg16", 224, False)),
        ({"weights": "none", "image_size": 48}, False, ("none", "small-convnet", 48, False)),
    ],
)
def test_settings_left_open_are_resolved(settings, digits, expected, tmp_path, monkeypatch) -> None:
    for name in ("imagenet", "none"):  # folders of users, which are meant as ./imagenet and ./none alone
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    base = MOVING_DIGITS if digits else CnnLstmConfig()
    dataset = MovingDigits(1, 0, 0) if digits else Noise()
    resolved = resolve(dataclasses.replace(base, **settings), dataset)
    assert (resolved.weights, resolved.backbone, resolved.image_size, resolved.freeze) == expected
    assert resolve(resolved, dataset) == resolved


@pytest.mark.parametrize(("installed", "weights"), [(True, "imagenet"), (False, "none")])
def test_a_backbone_that_is_trained_starts_from_the_weights_that_there_are(
    installed: bool, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackagedWeights, "installed", installed)
    assert resolve(CnnLstmConfig(freeze=False), Noise()).weights == weights
    assert resolve(CnnLstmConfig(), Noise()).freeze == installed
    digits = resolve(dataclasses.replace(MOVING_DIGITS, freeze=False), MovingDigits(1, 0, 0))
    assert (digits.weights, digits.backbone) == ("none", "small-convnet")


def test_a_run_index_made_anew_keeps_what_the_user_gave_it(encoder: VideoEncoder, tmp_path: Path, monkeypatch) -> None:
    noise, run = Noise(), RunFolder(tmp_path / "run")
    media = embed_items(noise, encoder, [0, 1, 4], threads=1)[0]
    own = tmp_path / "own.png"
    Image.fromarray(np.random.default_rng(9).integers(0, 255, (36, 32, 3), np.uint8)).save(own)
    told: list[str] = []

    def make() -> Retriever:
        return make_run_index(run, noise, media, encoder, threads=1, log=told.append)

    index = make().index
    Retriever.open(run.index).add(MediaFiles([MediaItem("own.png", "image", path=str(own))]))
    index.refresh()
    index.set_columns({"n0": {"shelf": "left"}, "own.png": {"shelf": "right"}})
    index.set_media_root(tmp_path)
    index.make_cells("frame", 2)

    def state() -> tuple[object, ...]:
        there = Retriever.open(run.index).index
        there.verify()
        shelves = dict(zip(there.values("key"), there.values("shelf"), strict=True))
        return shelves, there.media_root, there.cells, list(there.values("path"))

    before = state()
    assert before[0] == {"n0": "left", "n1": None, "n4": None, "own.png": "right"}
    # A stop while the added file is embedded again.
    add, calls = Retriever.add, []

    def stopped(self, dataset, **settings):
        calls.append(dataset)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return add(self, dataset, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(Retriever, "add", stopped)
        with pytest.raises(KeyboardInterrupt):
            make()
    assert len(calls) == 2
    assert state() == before
    # A stop between the two renames.
    os.replace(run.index, tmp_path / "run" / "index.going")
    again = make()
    assert state() == before
    assert again.index.folder == run.index
    assert told == ["1 of 1 items that were added to the index before are in it again"]
    assert sorted(path.name for path in run.path.iterdir()) == ["index"]


@pytest.mark.parametrize(
    ("lock", "message"),
    [(write_lock, "another writer holds this index"), (addition_lock, "media are being added to this index")],
)
def test_a_run_index_is_not_taken_from_one_who_adds_to_it(
    encoder: VideoEncoder, tmp_path: Path, monkeypatch, lock: Callable[..., Any], message: str
) -> None:
    noise, run = Noise(), RunFolder(tmp_path / "run")
    media = embed_items(noise, encoder, [0], threads=1)[0]
    make_run_index(run, noise, media, encoder, threads=1, log=print)
    monkeypatch.setattr("jaxret.recipes.finish._SECONDS_FOR_WRITERS", 0.0)
    with lock(run.index, 0.0), pytest.raises(IndexBusyError, match=message):
        make_run_index(run, noise, media, encoder, threads=1, log=print)
    assert [item.key for item in Retriever.open(run.index).index.items] == ["n0"]
