"""The embedded data set keeps its promises: reversed pairs, disjoint sources, fixed unseen classes."""

from __future__ import annotations

import csv
from collections import defaultdict

import numpy as np
import pytest

from jaxret.data.datasets import moving_digits
from jaxret.data.datasets.moving_digits import MOTIONS, MovingDigits, class_labels, unseen_labels
from jaxret.data.decode.video import VideoReader


@pytest.fixture(scope="module")
def dataset() -> MovingDigits:
    return MovingDigits(train_clips=4, validation_clips=2, test_clips=3, seed=5)


def test_classes(dataset):
    assert len(class_labels()) == len(set(class_labels())) == 80
    assert set(dataset.labels) == set(class_labels())
    counts = defaultdict(int)
    for item in dataset.items:
        counts[item.split, item.label] += 1
    assert all(counts["test", label] == 3 for label in class_labels())
    for label in class_labels():
        assert counts["train", label] == (0 if label in unseen_labels() else 4)
        assert counts["validation", label] == (0 if label in unseen_labels() else 2)


def test_unseen_classes_leave_every_digit_and_motion_among_the_seen():
    unseen = set(unseen_labels())
    seen = set(class_labels()) - unseen
    assert len(unseen) == 20
    assert {label[0] for label in seen} == set("0123456789")
    assert {label[2:] for label in seen} == set(MOTIONS)
    for label in unseen:
        partner = MOTIONS[MOTIONS.index(label[2:]) ^ 1]
        assert f"{label[0]}-{partner}" in unseen


def test_sources_are_disjoint_between_splits_and_of_the_right_digit(dataset):
    from sklearn.datasets import load_digits

    digits = load_digits().target
    splits = defaultdict(set)
    for item in dataset.items:
        splits[item.source].add(item.split)
        assert digits[int(item.source.removeprefix("scan-"))] == int(item.label[0])
    assert all(len(names) == 1 for names in splits.values())
    assert len({item.key for item in dataset.items}) == len(dataset)


def test_clips_are_a_function_of_seed_and_number(dataset):
    again = MovingDigits(train_clips=4, validation_clips=2, test_clips=3, seed=5)
    np.testing.assert_array_equal(dataset.render([7, 300]), again.render([300, 7])[::-1])
    other = MovingDigits(train_clips=4, validation_clips=2, test_clips=3, seed=6)
    assert not np.array_equal(dataset.render([7]), other.render([7]))
    assert not np.array_equal(dataset.render([0]), dataset.render([1]))
    with pytest.raises(IndexError):
        dataset.render([len(dataset)])


def test_reader_agrees_with_render(dataset):
    pixels, times = dataset.read(11)
    np.testing.assert_array_equal(pixels, dataset.render([11])[0])
    np.testing.assert_allclose(times, np.arange(12) / 12)
    assert dataset.info(11).duration == 1.0
    assert pixels.dtype == np.uint8
    assert pixels.shape == (12, 32, 32, 3)


def test_motions_come_in_time_reversed_pairs(monkeypatch):
    """With the same random numbers the two members of a pair are each other's frames backwards."""
    dataset = MovingDigits(train_clips=1, validation_clips=0, test_clips=1)
    for axis in range(4):
        forward, backward = (
            next(
                n for n, item in enumerate(dataset.items) if item.label == f"{(axis + 1) % 4}-{MOTIONS[2 * axis + way]}"
            )
            for way in (0, 1)
        )
        clip = dataset.render([forward])[0]
        monkeypatch.setattr(dataset, "_motions", {forward: 2 * axis + 1})
        np.testing.assert_array_equal(dataset._render(forward), clip[::-1])
        monkeypatch.undo()
        assert dataset.items[backward].label != dataset.items[forward].label


def ink_track(clips: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where the moving thing is in each frame: centre (x, y) and spread of what differs over time."""
    grey = clips.astype(float).mean(-1)
    moving = np.abs(grey - np.median(grey, axis=1, keepdims=True)).reshape(*grey.shape[:2], -1) ** 2
    side = grey.shape[2]
    y, x = (axis.ravel() for axis in np.mgrid[:side, :side])
    weight = moving.sum(-1) + 1e-9
    cx, cy = (moving @ x) / weight, (moving @ y) / weight
    return cx, cy


@pytest.mark.parametrize(("motion", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)])
def test_translations_go_the_way_they_are_called(motion, axis, sign):
    dataset = MovingDigits(train_clips=0, validation_clips=0, test_clips=2)
    numbers = [n for n, item in enumerate(dataset.items) if item.label[2:] == motion]
    track = ink_track(dataset.render(numbers))[axis]
    assert np.mean(sign * (track[:, -1] - track[:, 0]) > 0) > 0.9


def test_zoom_and_turn_go_the_way_they_are_called(monkeypatch):
    """A lone dot above the centre of the glyph shows where the top of the digit goes."""
    dataset = MovingDigits(train_clips=0, validation_clips=0, test_clips=2, size=64)
    glyphs = np.zeros((1797, 64, 64), np.float32)
    glyphs[:, 14:20, 29:35] = 1
    monkeypatch.setattr(moving_digits, "_glyphs", lambda: (glyphs, None))
    monkeypatch.setattr(moving_digits, "_colours", lambda size, rng: (np.zeros((size, size, 3)), np.full(3, 255.0)))
    x = np.arange(64)
    for motion in ("zoom-in", "zoom-out", "rotate-clockwise", "rotate-counter-clockwise"):
        numbers = [n for n, item in enumerate(dataset.items) if item.label[2:] == motion]
        dots = dataset.render(numbers)[..., 0] > 127
        size = dots.sum((2, 3))
        across = (dots * x).sum((2, 3)) / size
        if motion.startswith("zoom"):
            assert np.all((size[:, -1] > 1.5 * size[:, 0]) == (motion == "zoom-in"))
        else:
            assert np.all((across[:, -1] > across[:, 0]) == (motion == "rotate-clockwise"))


def test_the_digit_stands_out(dataset):
    clips = dataset.render(range(0, len(dataset), 9)).astype(float).mean(-1)
    assert np.all(clips.max((1, 2, 3)) - clips.min((1, 2, 3)) > 40)


def test_written_folder_is_the_same_clips(dataset, tmp_path):
    numbers = [0, 17, len(dataset) - 1]
    table = dataset.write_media_folder(tmp_path / "clips", numbers)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["label"] for row in rows] == [dataset.items[number].label for number in numbers]
    assert [row["source"] for row in rows] == [dataset.items[number].source for number in numbers]
    for row, number in zip(rows, numbers, strict=True):
        with VideoReader(table.parent / row["path"]) as reader:
            difference = reader.read().astype(float) - dataset.render([number])[0]
            assert np.abs(difference).mean() < 12
            assert reader.info.duration == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_clips": -1}, "train_clips must be at least 0, got -1"),
        ({"frames": 1}, "frames must be at least 2, got 1"),
        ({"size": 8}, "size must be at least 16, got 8"),
        ({"fps": 0}, "fps must be above 0, got 0"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        MovingDigits(**settings)
