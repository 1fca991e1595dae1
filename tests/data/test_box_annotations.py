"""CSV files of boxes, and the padded images that detectors train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret.data.ground_truth.boxes import BoxReader, read_box_annotations
from jaxret.errors import ConfigError
from jaxret.preprocessing import Preprocessing

HEADER = "path,left,top,right,bottom,label"
PRE = Preprocessing(height=64, width=64, resize="fit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 32 x 16 pixels with a bright box, a dark one, and a file that is no image."""
    root = tmp_path_factory.mktemp("boxes")
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[4:12, 2:10] = 255
    Image.fromarray(pixels).save(root / "box.png")
    Image.fromarray(0 * pixels).save(root / "dark.png")
    (root / "broken.png").write_bytes(b"no image")
    return root


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    table = folder / "boxes.csv"
    table.write_text("\n".join([header, *rows]) + "\n")
    return table


def test_rows_of_a_image_are_put_together(folder: Path) -> None:
    rows = ["box.png,2,4,10,12,square,train", "dark.png,,,,,,test", "box.png,0,0,32,16,all,train", "broken.png,,,,,,"]
    found = read_box_annotations(write(folder, *rows, header=HEADER + ",split"))
    assert found.classes == ("all", "square")
    assert [(item.key, item.label, item.split) for item in found.images.items] == [
        ("box.png", None, "train"),
        ("dark.png", None, "test"),
    ]
    assert [error.path for error in found.images.skipped] == [str(folder / "broken.png")]
    assert found.boxes[0].tolist() == [[2, 4, 10, 12], [0, 0, 32, 16]]
    assert [labels.tolist() for labels in found.labels] == [[1, 0], []]
    assert found.most_boxes == 2


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_boxes_move_with_the_image(folder: Path, mirror: float) -> None:
    found = read_box_annotations(write(folder, "box.png,2,4,10,12,square", "dark.png,,,,,"))
    read = BoxReader(found.images, found.boxes, found.labels, PRE, places=3, mirror=mirror)
    element = read(0, np.random.default_rng(0))
    assert element["images"].shape == (64, 64, 3)
    assert element["sizes"].tolist() == [32, 64]  # scaled up twice, the lower half is padding
    left, top, right, bottom = element["boxes"][0]
    assert [left, top, right, bottom] == ([44, 8, 60, 24] if mirror else [4, 8, 20, 24])
    bright = np.argwhere(element["images"][..., 0] > 127)  # (row, column)
    assert bright.min(axis=0).tolist() == [top, left]
    assert (bright.max(axis=0) + 1).tolist() == [bottom, right]
    assert element["labels"].tolist() == [1, 0, 0]
    assert read(1, np.random.default_rng(0))["labels"].tolist() == [0, 0, 0]
    assert len(read) == 2


def test_half_of_the_images_are_mirrored(folder: Path) -> None:
    found = read_box_annotations(write(folder, "box.png,2,4,10,12,square"))
    read = BoxReader(found.images, found.boxes, found.labels, PRE, places=1)
    rng = np.random.default_rng(0)
    lefts = [float(read(0, rng)["boxes"][0, 0]) for _ in range(40)]
    assert set(lefts) == {4.0, 44.0}
    assert 10 < lefts.count(4.0) < 30


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["box.png,2,4,10,12"], "path,left,top,right,bottom", "no column 'label'; the header is path, left"),
        (["x"], HEADER + ",lable", "unknown column 'lable': did you mean 'label'"),
        (["x"], HEADER + ",label", "column 'label' is there twice"),
        (["box.png,2,4,10,12,a", "box.png,2,4,10"], HEADER, "line 3: 4 cells, but the header names 6"),
        (["box.png,2,4,ten,12,a"], HEADER, r"line 2: a box is four numbers, got \['2', '4', 'ten', '12'\]"),
        (["box.png,2,4,,12,a"], HEADER, "line 2: a box is four numbers"),
        (["box.png,2,4,2,12,a"], HEADER, r"line 2: the box \(2.0, 4.0, 2.0, 12.0\) has no area"),
        (
            ["", "box.png,2,4,33,12,a"],
            HEADER,
            r"line 3: the box \(2.0, 4.0, 33.0, 12.0\) reaches outside 'box.png'",
        ),
        (["box.png,2,4,10,12,"], HEADER, r"line 2: the box \(2.0, 4.0, 10.0, 12.0\) has no label"),
        ([",2,4,10,12,a"], HEADER, "line 2: the path is empty"),
        (["film.mp4,2,4,10,12,a"], HEADER, "line 2: 'film.mp4' has no extension of an image"),
        (["lost.png,2,4,10,12,a"], HEADER, "lists 1 images that are not in .*: lost.png"),
        (["box.png,,,,,"], HEADER, "lists no box"),
        ([], HEADER, "lists no box"),
        (
            ["box.png,2,4,10,12,a,train", "box.png,2,4,10,12,a,test"],
            HEADER + ",split",
            "line 3: 'box.png' is in the split 'test' here and in 'train' in line 2",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(folder: Path, rows: list[str], header: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_box_annotations(write(folder, *rows, header=header))


def test_no_file_and_bad_readers_are_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.csv: No such file"):
        read_box_annotations(folder / "none.csv")
    found = read_box_annotations(write(folder, "box.png,2,4,10,12,square"))
    parts = (found.images, found.boxes, found.labels)
    with pytest.raises(ValueError, match="places must be at least 1, the boxes of one image, got 0"):
        BoxReader(*parts, PRE, places=0)
    with pytest.raises(ValueError, match=r"mirror must be a probability in 0\.\.1, got 2"):
        BoxReader(*parts, PRE, places=1, mirror=2)
    with pytest.raises(ConfigError, match="resize must be fit or limit, got 'crop'"):
        BoxReader(*parts, Preprocessing(height=64, width=64), places=1)
    with pytest.raises(ValueError, match="must be of one length, got 1, 1 and 0"):
        BoxReader(*parts[:2], [], PRE, places=1)
