"""Folders and CSVs of media, with the files that real folders hold."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret.data.datasets.folders import MediaFiles, media_kind, open_media, read_csv, scan_folder
from jaxret.errors import ConfigError, MediaError


def image(path: Path, level: int = 100, size: tuple[int, int] = (30, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)
    return path


@pytest.fixture
def folder(tmp_path, make_video) -> Path:
    root = tmp_path / "media"
    image(root / "cat" / "b.jpg", 10)
    image(root / "cat" / "deep" / "a.PNG", 20)
    image(root / "dog" / "c.jpg", 30)
    (root / "dog" / "d.mp4").write_bytes(make_video("folder.mp4", count=8).read_bytes())
    (root / "dog" / "notes.txt").write_text("not media")
    (root / "dog" / ".hidden.jpg").write_bytes(b"x")
    image(root / ".cache" / "e.jpg")
    return root


def test_folder_of_classes(folder):
    dataset = MediaFiles(scan_folder(folder))
    assert [(item.key, item.kind, item.label, item.source, item.split) for item in dataset.items] == [
        ("cat/b.jpg", "image", "cat", "cat/b.jpg", None),
        ("cat/deep/a.PNG", "image", "cat", "cat/deep/a.PNG", None),
        ("dog/c.jpg", "image", "dog", "dog/c.jpg", None),
        ("dog/d.mp4", "video", "dog", "dog/d.mp4", None),
    ]
    assert dataset.labels == ("cat", "dog")
    assert dataset.skipped == dataset.damaged == ()
    assert dataset.info(3).frame_count == 8
    assert dataset.read(2)[0].shape == (1, 20, 30, 3)
    part = dataset.subset([3, 0]).subset([1])
    assert part.parent is dataset
    assert part.items[0].key == "cat/b.jpg"
    assert part.read(0)[0][0, 0, 0].tolist() == [10, 10, 10]
    assert len(dataset.select(lambda item: item.kind == "video")) == 1
    with pytest.raises(IndexError, match="got 4"):
        dataset.subset([4])


def test_broken_files_are_skipped_and_listed(folder, make_video):
    whole = make_video("whole.mkv", count=100).read_bytes()
    (folder / "cat" / "broken.jpg").write_bytes((folder / "cat" / "b.jpg").read_bytes()[:300])
    (folder / "cat" / "broken.mp4").write_bytes(b"nothing")
    (folder / "dog" / "empty.avi").write_bytes(b"")
    faststart = make_video("fast.mp4", count=60, container_options={"movflags": "faststart"}).read_bytes()
    (folder / "dog" / "cut.mp4").write_bytes(faststart[: len(faststart) * 2 // 3])
    (folder / "dog" / "whole.mkv").write_bytes(whole)
    dataset = MediaFiles(scan_folder(folder), threads=3)
    assert len(dataset) == 6
    assert [Path(error.path).name for error in dataset.skipped] == ["broken.jpg", "broken.mp4", "empty.avi"]
    assert all(error.reason for error in dataset.skipped)
    assert [Path(error.path).name for error in dataset.damaged] == ["cut.mp4"]
    assert "truncated" in dataset.damaged[0].reason
    trusted = MediaFiles(scan_folder(folder), probe=False)
    assert len(trusted) == 9
    assert trusted.info(0).width == 30


def test_split_folders(tmp_path):
    for path in ("train/cat/a.jpg", "val/cat/b.jpg", "test/dog/c.jpg"):
        image(tmp_path / path)
    items = scan_folder(tmp_path)
    assert [(item.split, item.label) for item in items] == [
        ("test", "dog"),
        ("train", "cat"),
        ("validation", "cat"),
    ]
    image(tmp_path / "other/cat/d.jpg")
    assert {item.label for item in scan_folder(tmp_path)} == {"train", "val", "test", "other"}


def test_files_without_class_folder(tmp_path):
    image(tmp_path / "a.jpg")
    assert scan_folder(tmp_path)[0].label is None


def test_nothing_to_read(tmp_path):
    with pytest.raises(ConfigError, match="is not a folder"):
        scan_folder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no image or video"):
        scan_folder(tmp_path)


def table(path: Path, *rows: tuple[str, ...], header: str = "path,label,source,split") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


def test_csv_inside_the_folder(folder):
    listing = table(
        folder / "list.csv",
        ("cat/b.jpg", "cat", "film 1", "train"),
        ("dog/d.mp4", "dog", "", "test"),
        ("dog/c.jpg", "", "", ""),
    )
    items = read_csv(listing)
    assert [(item.key, item.label, item.source, item.split) for item in items] == [
        ("cat/b.jpg", "cat", "film 1", "train"),
        ("dog/d.mp4", "dog", "dog/d.mp4", "test"),
        ("dog/c.jpg", None, "dog/c.jpg", None),
    ]
    assert MediaFiles(items).info(1).frame_count == 8


def test_csv_elsewhere_and_several_splits(folder, tmp_path):
    listing = table(
        tmp_path / "list.csv",
        ("cat/b.jpg", "a", "train", "test"),
        ("dog/c.jpg", "b", "", "train"),
        header="path,label,split1,split2",
    )
    with pytest.raises(ConfigError, match=r"2 files that are not in .*cat/b.jpg, dog/c.jpg"):
        read_csv(listing)
    assert [item.split for item in read_csv(listing, folder)] == [None, None]
    assert [item.split for item in read_csv(listing, folder, split_column="split2")] == ["test", "train"]
    with pytest.raises(ConfigError, match=r"no column 'split3'; columns of splits are split1, split2"):
        read_csv(listing, folder, split_column="split3")


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("label,source", [("a", "b")], "must name a column `path`"),
        ("path,colour", [("cat/b.jpg", "x")], "unknown column 'colour'"),
        ("path,label,label", [("cat/b.jpg", "x", "y")], "column 'label' is there twice"),
        ("path,label", [("cat/b.jpg", "a"), ("cat/b.jpg", "b")], "line 3: path 'cat/b.jpg' is listed twice"),
        ("path,label", [("cat/b.jpg",)], "line 2: 1 cells, but the header names 2"),
        ("path,label", [("", "a")], "line 2: the path is empty"),
        ("path", [("dog/notes.txt",)], "is no image or video by its extension and first bytes"),
        ("path", [("cat/b.jpg",), ("no.jpg",)], "1 files that are not in"),
        ("path", [], "lists no files"),
    ],
)
def test_csv_errors_name_the_line(folder, header, rows, message):
    with pytest.raises(ConfigError, match=message):
        read_csv(table(folder / "list.csv", *rows, header=header))


def test_csv_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_csv(tmp_path / "no.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=r"binary\.csv"):
        read_csv(tmp_path / "binary.csv")


def test_gif_is_a_video_if_it_moves(tmp_path):
    still = image(tmp_path / "still.gif")
    frames = [Image.new("L", (16, 16), level) for level in (0, 120, 250)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=100)
    assert media_kind(still) == "image"
    assert media_kind(tmp_path / "moving.gif") == "video"
    with open_media(tmp_path / "moving.gif") as reader:
        assert reader.info.frame_count == 3
        np.testing.assert_allclose(reader.times, [0, 0.1, 0.2])
        assert reader.read([2])[0].mean() > 230
    assert len(MediaFiles(scan_folder(tmp_path))) == 2


def test_single_files(tmp_path):
    with open_media(image(tmp_path / "a.jpg")) as reader:
        assert reader.info.frame_count == 1
    with pytest.raises(MediaError, match="no such file"):
        open_media(tmp_path / "b.jpg")
    (tmp_path / "c.txt").write_text("x")
    with pytest.raises(MediaError, match="neither an image nor a video by its extension and first bytes"):
        open_media(tmp_path / "c.txt")


def test_real_listing(shared_media):
    items = read_csv(shared_media / "data/jhmdb/clips.csv", split_column="split1")
    assert len(items) == 928
    assert len({item.label for item in items}) == 21
    assert {item.split for item in items} == {"train", "test", None}
    some = MediaFiles(items[::60])
    assert some.skipped == ()
    assert all(15 <= some.info(number).frame_count <= 50 for number in range(len(some)))
