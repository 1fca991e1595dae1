"""The images that instance retrieval is tried on, and how it is scored."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studies.instances.object_cutouts import cut_out
from studies.instances.object_pasting import Canvas, Hiding, resize
from studies.instances.pasted_objects import (
    PastedObject,
    PastedObjects,
    PastedQuery,
    PastedSettings,
    _Maker,
    make_pasted_objects,
)
from studies.instances.protocol import ClassedImages, corel_classes, score, score_classes

SMALL = PastedSettings(height=96, width=144, training_objects=2, training=20, gallery=40, shown=24, queries=3)


def on_cloth(colour: tuple[int, int, int], hole: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A disc of radius 30 in noise around 25, with a hole as dark as the cloth; and where the disc is."""
    y, x = np.mgrid[:100, :110]
    radius = np.hypot(y - 50, x - 60)
    image = np.random.default_rng(0).integers(22, 29, (100, 110, 3)).astype(np.uint8)
    image[radius <= 30] = colour
    image[radius < hole] = 25
    return image, radius <= 30


@pytest.mark.parametrize(("colour", "hole"), [((200, 180, 90), 0), ((200, 180, 90), 12), ((16, 40, 22), 0)])
def test_a_cutout_is_the_object_with_its_dark_parts_and_no_dark_rim(colour, hole):
    image, disc = on_cloth(colour, hole)
    cutout = cut_out(image)
    opaque = cutout[..., 3] > 127
    assert opaque.sum() == pytest.approx(disc.sum(), rel=0.12)  # a pixel less all around
    assert opaque[opaque.shape[0] // 2, opaque.shape[1] // 2]
    rows, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    assert (rows[0], columns[0]) == (3, 3)
    assert (rows[-1], columns[-1]) == (opaque.shape[0] - 4, opaque.shape[1] - 4)
    assert {0, 255} < set(cutout[..., 3].ravel().tolist())  # between them the soft edge
    rim = (cutout[..., 3] > 0) & (cutout[..., 3] < 255)
    np.testing.assert_array_equal(cutout[rim][:, :3], np.broadcast_to(np.uint8(colour), (rim.sum(), 3)))


def test_nothing_cannot_be_cut_out():
    with pytest.raises(ValueError, match="shows no object"):
        cut_out(np.full((40, 40, 3), 25, np.uint8))
    with pytest.raises(ValueError, match=r"uint8 \(H, W, 3\), got float64 \(4, 4\)"):
        cut_out(np.zeros((4, 4)))


def test_a_resized_object_has_the_side_asked_for():
    cutout = cut_out(on_cloth((200, 180, 90))[0])
    for side in (20, 41.5, 90):
        opaque = resize(cutout, side, np.random.default_rng(1))[..., 3] >= 0.5
        for axis in (0, 1):
            assert np.ptp(np.flatnonzero(opaque.any(axis=axis))) + 1 == pytest.approx(side, abs=1.6)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("by_patch", [True, False])
def test_box_and_share_are_those_of_the_pixels_that_show(share, by_patch):
    square = np.zeros((24, 44, 4))
    square[2:-2, 2:-2] = (250, 10, 10, 1)
    photograph = np.full((60, 90, 3), 100, np.uint8)
    patch = np.full_like(photograph, 180)
    sides = set()
    for seed in range(12):
        canvas = Canvas(photograph)
        canvas.paste(square, np.random.default_rng(seed), Hiding(share, patch if by_patch else None) if share else None)
        image = canvas.image()
        shows = (image == (250, 10, 10)).all(axis=2)
        rows, columns = np.flatnonzero(shows.any(axis=1)), np.flatnonzero(shows.any(axis=0))
        (box, visible), *_ = canvas.seen()
        assert box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert visible == pytest.approx(shows.sum() / 800, abs=1e-4)
        assert visible == pytest.approx(1 - share, abs=0.06)  # whole rows and columns
        assert ((image == 180).all(axis=2).any()) == (by_patch and share > 0)
        sides.add((rows[0] == 0, columns[0] == 0, rows[-1] == 59, columns[-1] == 89))
    assert by_patch or not share or len(sides) == 4


def test_a_second_object_keeps_clear_and_what_it_covers_is_not_visible():
    square = np.zeros((20, 20, 4))
    square[..., 3] = 1
    clear, covered = Canvas(np.zeros((60, 90, 3), np.uint8)), Canvas(np.zeros((20, 30, 3), np.uint8))
    for canvas in (clear, covered):
        for _ in range(2):
            canvas.paste(square, np.random.default_rng(3))
    assert [visible for _, visible in clear.seen()] == [1.0, 1.0]
    (below, visible), (above, whole) = covered.seen()
    assert whole == 1.0
    assert visible < 1
    assert above is not None
    if below is not None:
        assert visible == pytest.approx((below[2] - below[0]) / 20)


@pytest.fixture(scope="module")
def data(shared_media, tmp_path_factory) -> Path:
    """Four objects from 24 sides and all of Corel."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "corel5k").symlink_to((shared_media / "data/corel5k").resolve())
    for label in ("obj005", "obj019", "obj037", "obj048"):
        (folder / "coil17" / label).mkdir(parents=True)
        for degrees in range(0, 360, 15):
            name = f"coil17/{label}/{degrees:03}.jpg"
            (folder / name).symlink_to((shared_media / "data" / name).resolve())
    return folder


@pytest.fixture(scope="module")
def made(data, tmp_path_factory) -> PastedObjects:
    return make_pasted_objects(tmp_path_factory.mktemp("pictures"), 0, data=data, settings=SMALL)


def turned(first: int, second: int) -> int:
    return min((first - second) % 360, (second - first) % 360)


def test_pictures_are_as_many_as_asked_for(made):
    assert (len(made.gallery), sum(map(bool, made.shown)), len(made.queries)) == (40, 24, 6)
    assert {len(objects) for objects in made.shown} == {0, 1, 2}
    assert not all(made.shown[:24])  # empty ones lie among the others
    for path in [*made.gallery, *(query.path for query in made.queries)]:
        with Image.open(path) as image:
            assert image.size == (144, 96)
    assert sorted(query.group for query in made.queries) == ["large"] * 2 + ["middle"] * 2 + ["small"] * 2


def test_queries_show_other_objects_than_training_and_other_views_than_the_gallery(made):
    searched = {query.shown.label for query in made.queries}
    assert len(searched) == 2
    assert not searched & set(made.training_labels)
    assert {there.label for objects in made.shown for there in objects} == searched
    for query in made.queries:
        assert query.shown.visible == 1.0
        there = made.where(query)
        assert there
        assert all(turned(query.shown.degrees, each.degrees) >= 30 for each in there.values())
    sides = {"small": (0.2, 0.37), "middle": (0.36, 0.54), "large": (0.53, 0.7)}
    for query in made.queries:
        left, top, right, bottom = query.shown.box
        least, most = sides[query.group]
        assert least - 0.03 < max(right - left, bottom - top) / 96 < most + 0.03


def test_no_picture_shows_an_object_twice_and_boxes_lie_inside(made):
    for objects in made.shown:
        assert len({there.label for there in objects}) == len(objects)
        for there in objects:
            left, top, right, bottom = there.box
            assert 0 <= left < right <= 144
            assert 0 <= top < bottom <= 96
            assert 0 < there.visible <= 1
    assert any(there.visible < 0.9 for objects in made.shown for there in objects)


def test_training_rows_name_pictures_boxes_and_objects(made):
    with open(made.training_csv, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "left", "top", "right", "bottom", "label", "split"]
    assert {row["label"] for row in rows} == set(made.training_labels)
    split = {row["path"]: row["split"] for row in rows}
    assert len(split) == 20
    assert sorted(split.values()) == ["train"] * 18 + ["validation"] * 2
    assert len({(row["path"], row["label"]) for row in rows}) == len(rows)
    assert all((made.training_csv.parent / path).is_file() for path in split)


def test_each_photograph_is_used_once(data, tmp_path):
    maker = _Maker(tmp_path, 0, data, SMALL)
    below = [path for part in maker.photographs.values() for path in part]
    assert len(set(below)) == len(below) == 66
    assert not set(below) & {path for part in maker.patches.values() for path in part}
    assert not set(maker.patches["training"]) & set(maker.patches["gallery"])
    for part, folder in (("training", "train"), ("gallery", "train"), ("queries", "test")):
        assert all(f"/corel5k/{folder}/" in path for path in maker.photographs[part])


def test_the_seed_decides_and_what_is_whole_is_used_again(made, data, tmp_path):
    again = make_pasted_objects(tmp_path, 0, data=data, settings=SMALL)
    assert again.shown == made.shown
    assert [path.read_bytes() for path in again.gallery] == [path.read_bytes() for path in made.gallery]
    times = [path.stat().st_mtime_ns for path in again.gallery]
    make_pasted_objects(tmp_path, 0, data=data, settings=SMALL)
    assert [path.stat().st_mtime_ns for path in again.gallery] == times
    again.gallery[3].unlink()
    make_pasted_objects(tmp_path, 0, data=data, settings=SMALL)
    assert again.gallery[3].read_bytes() == made.gallery[3].read_bytes()
    with pytest.raises(SystemExit, match="another seed, settings or data"):
        make_pasted_objects(tmp_path, 1, data=data, settings=SMALL)
    with pytest.raises(SystemExit, match="4 objects, and 11 are needed"):
        make_pasted_objects(tmp_path / "b", 0, data=data, settings=dataclasses.replace(SMALL, training_objects=9))


def test_corel_by_class(shared_media):
    images = corel_classes(shared_media / "data")
    assert (len(images.gallery), len(images.queries)) == (4500, 499)
    assert len(set(images.gallery_labels)) == 50
    assert images.gallery[7].parent.name == images.gallery_labels[7]


def by_hand() -> PastedObjects:
    """Five images: cup good, cup ok, cup junk, none, can good; a small cup and a large can are asked for."""

    def there(label: str, visible: float) -> tuple[PastedObject, ...]:
        return (PastedObject(label, (0.0, 0.0, 10.0, 10.0), visible, 0),)

    return PastedObjects(
        Path("training.csv"),
        ("box",),
        [Path(f"{n}.jpg") for n in range(5)],
        [there("cup", 0.6), there("cup", 0.25), there("cup", 0.2), (), there("can", 1.0)],
        [
            PastedQuery(Path("a.jpg"), there("cup", 1.0)[0], "small"),
            PastedQuery(Path("b.jpg"), there("can", 1.0)[0], "large"),
        ],
    )


def test_scores_by_hand():
    rankings = [[2, 1, 3, 0, 4], [3, 4, 0, 1, 2]]
    found = np.full((2, 4, 4), np.nan)
    found[0, 1] = (0, 0, 10, 5)  # half of the cup
    found[1, 1] = (0, 0, 10, 10)
    found[1, 0] = (0, 0, 1, 1)  # in an image without a can
    figures = score(by_hand(), rankings, found)
    assert figures["middle"] == {}
    ideal = 2 + 1 / np.log2(3)
    assert figures["small"] == pytest.approx(
        {"mAP": (1 + 2 / 3) / 2, "NDCG": (1 + 2 / np.log2(4)) / ideal, "mean IoU": 0.25, "IoU >= 0.5": 0.5}
    )
    assert figures["large"] == pytest.approx({"mAP": 0.5, "NDCG": 1 / np.log2(3), "mean IoU": 1.0, "IoU >= 0.5": 1.0})
    assert figures["all"]["mAP"] == pytest.approx((figures["small"]["mAP"] + 0.5) / 2)
    assert figures["all"]["mean IoU"] == pytest.approx(1.5 / 3)  # over results, not queries


def test_scores_without_boxes_and_with_odd_ones():
    best = [[0, 1, 2, 3, 4], [4, 0, 1, 2, 3]]
    figures = score(by_hand(), best)
    assert figures["all"] == {"mAP": 1.0, "NDCG": 1.0}
    assert "mean IoU" not in score(by_hand(), [[2, 3, 4, 0, 1], [0, 1, 2, 3, 4]], np.full((2, 1, 4), np.nan))["all"]
    with pytest.raises(ValueError, match=r"found_boxes must be \(2, K, 4\) with K up to 5, got \(2, 6, 4\)"):
        score(by_hand(), best, np.zeros((2, 6, 4)))
    with pytest.raises(ValueError, match="whole gallery"):
        score(by_hand(), [row[:3] for row in best])


def test_scores_by_class():
    images = ClassedImages([Path(f"{n}.jpg") for n in range(11)], ["sea"] * 2 + ["sky"] * 9, [Path("q.jpg")], ["sea"])
    order = [2, 0, 1, *range(3, 11)]
    figures = score_classes(images, [order])
    assert figures == pytest.approx({"mAP": (1 / 2 + 2 / 3) / 2, "P@1": 0.0, "P@10": 0.2})
