"""Programs that judge claims about classes take labelled videos of their user's own."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import accuracy_c3d
import accuracy_open_set
import numpy as np
import pytest
from common.own_data import LabelledVideos
from studies.unseen_classes import videos
from studies.unseen_classes.videos import OwnBackbone, folder_name, open_videos

from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError

CLASSES, CLIPS = ("0-down", "0-up", "1-left", "2-right", "3-up", "4-down"), 6


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes of six videos, and a CSV that names splits in a column of its own: of each class two test."""
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=CLIPS, validation_clips=0, test_clips=0, size=32, frames=4)
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in CLASSES])
    next(root.glob("*.csv")).unlink()
    with (root.parent / "list.csv").open("w", newline="", encoding="utf-8") as file:
        written = csv.writer(file)
        written.writerow(("path", "label", "source", "split_a"))
        for path in sorted(root.rglob("*.mp4")):
            number = sorted(path.parent.iterdir()).index(path)
            split = ("train", "train", "train", "validation", "test", "test")[number]
            written.writerow((str(path), path.parent.name, f"{path.parent.name}-{number // 2}", split))
    return root


def test_given_splits_are_kept_and_validation_trains(media: Path) -> None:
    found = LabelledVideos.open(str(media.parent / "list.csv"), split_column="split_a")
    assert found.classes == sorted(CLASSES)
    np.testing.assert_array_equal(np.bincount(found.labels[found.test]), [2] * 6)
    np.testing.assert_array_equal(np.bincount(found.labels[~found.test]), [4] * 6)
    assert len(np.unique(found.sources)) == 18
    assert [item.label for item in found.items] == [found.classes[label] for label in found.labels]


def test_a_folder_is_dealt_by_source(media: Path) -> None:
    found = LabelledVideos.open(str(media))
    assert len(found.items) == 36
    assert 0 < found.test.sum() < 12
    assert not set(found.sources[found.test]) & set(found.sources[~found.test])


def test_what_does_not_test_is_refused(media: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    rows = (media.parent / "list.csv").read_text(encoding="utf-8").replace(",test\n", ",unused\n")
    path.write_text(rows.replace(",test\r\n", ",unused\r\n"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"has no labelled video that is to test .column split_a"):
        LabelledVideos.open(str(path), split_column="split_a")


def test_other_data_have_names_and_folders_of_their_own(media: Path, tmp_path: Path) -> None:
    assert folder_name("jhmdb") == "jhmdb"
    names = {folder_name(name) for name in ("/a/list.csv", "/b/list.csv", "ucf101:/a", "x" * 300)}
    assert len(names) == 4
    assert all(len(name) < 60 and "/" not in name and ":" not in name for name in names)
    own = open_videos(str(media.parent / "list.csv"), tmp_path, OwnBackbone(split_column="split_a"))
    assert (own.seen, len(own.train), len(own.test)) == (4, 24, 12)
    only = tmp_path / "few.csv"
    rows = (media.parent / "list.csv").read_text(encoding="utf-8").splitlines()
    only.write_text("\n".join(row for row in rows if row.count("0-") == 0 and "1-left" not in row), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"few\.csv has 3 classes: 4 are needed, one not to train on"):
        open_videos(str(only), tmp_path, OwnBackbone(split_column="split_a"))


def test_figures_of_other_data_are_printed_and_not_published(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(videos, "load_pretrained", lambda backbone, weights: None)
    monkeypatch.setattr(accuracy_open_set.results_file, "update", None)  # what would publish them
    data = str(media.parent / "list.csv")
    words = ["unlabelled", "chance", "--data", data, "--split-column", "split_a", "--backbone", "small-convnet"]
    monkeypatch.setattr(
        sys, "argv", ["program", *words, "--seeds", "0", "1", "--work", str(tmp_path), "--cache", str(tmp_path / "c")]
    )
    accuracy_open_set.main()
    printed = capsys.readouterr().out
    for method in ("mean of frame vectors, centred", "chance"):
        assert f"{method:<42}" in printed
    assert data in printed


def test_c3d_deals_half_of_few_classes(media: Path, tmp_path: Path) -> None:
    args = argparse.Namespace(
        work=tmp_path, name="My digits", data=str(media.parent / "list.csv"), split_columns=["split_a"]
    )
    path, name = accuracy_c3d.dealt(args, 0)
    assert (path.name, name) == ("my-digits-0.csv", "My digits, 3 + 3 classes")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36
    trained = {row["label"] for row in rows if row["split"] == "train"}
    assert len(trained) == 3
    assert sum(row["split"] == "train" for row in rows) == 12
    assert {row["split"] for row in rows if row["label"] not in trained} == {"test"}
    assert all(Path(row["path"]).is_file() for row in rows)
    args.data = str(media / "0-up")
    with pytest.raises(ConfigError):
        accuracy_c3d.dealt(args, 0)
