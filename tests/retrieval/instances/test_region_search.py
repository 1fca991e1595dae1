"""Search by vectors of regions against loops over the stored squares."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from instance_making import PICTURES, make_pictures, ranked, region_encoder
from PIL import Image

from jaxret.data.open import open_dataset
from jaxret.data.sampling.reading import read_chunks
from jaxret.recipes.instances.faster_rcnn import FasterRcnnConfig, make_detector
from jaxret.retrieval import Region, RegionSearch, Retriever, single_file
from jaxret.retrieval.storage import bytes_per_image
from jaxret.retrieval.systems.regions import RegionVectors

FLAG = Region(8, 8, 24, 24)


def described(retriever: Retriever, folders: list[Path]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each row the image's vector, and boxes in shares and vectors of its squares, one frame at a time."""
    encoder, rows = retriever.encoder, []
    for folder in folders:
        dataset = open_dataset(folder)
        for number in range(len(dataset)):
            for chunk in read_chunks(dataset, number, encoder.preprocessing):
                for frame in chunk.pixels:
                    found = encoder.regions(frame[None])
                    valid = np.asarray(found.valid)[0].astype(bool)
                    boxes = np.asarray(found.boxes)[0][valid] / np.tile(frame.shape[1::-1], 2)
                    # What an index keeps of them.
                    vectors = np.asarray(found.vectors)[0][valid].astype(np.float16).astype(float)
                    rows.append(
                        (
                            np.asarray(found.image_vector)[0].astype(float),
                            boxes.astype(np.float16).astype(float),
                            vectors,
                        )
                    )
    return rows


def cosine(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float:
    a, b = a * weights, b * weights
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize("expand", [0, 3])
@pytest.mark.parametrize("idf", [False, True])
def test_both_passes_equal_loops(
    region_retriever: Retriever, images: Path, films: Path, idf: bool, expand: int
) -> None:
    rows = described(region_retriever, [images, films])
    image, size = region_retriever.system.image(single_file(images / "a.png"))
    box = np.array([[FLAG.box(size)]], np.float32)
    query = np.asarray(region_retriever.encoder.region_vectors(image[None], box))[0, 0].astype(float)
    weights = np.ones(len(query))
    if idf:
        means = np.mean([np.abs(vector) for vector, _, _ in rows], axis=0)
        weights = np.log(means.sum() / means)

    def places(query: np.ndarray, row: int) -> tuple[float, int]:
        cosines = [cosine(query, vector, weights) for vector in rows[row][2]]
        return max(cosines), int(np.argmax(cosines))

    def best(query: np.ndarray) -> list[int]:
        return sorted(range(len(rows)), key=lambda row: -places(query, row)[0])

    if expand:
        chosen = [query / np.linalg.norm(query)]
        chosen += [rows[row][2][places(query, row)[1]] for row in best(query)[:expand]]
        query = np.mean(chosen, axis=0)
    gallery = region_retriever.system.prepared(region_retriever.index)
    options = RegionSearch(FLAG, candidates=len(rows), idf=idf, expand=expand)
    found = ranked(region_retriever, image, size, options)
    assert found.ids.tolist() == list(dict.fromkeys(gallery.items[best(query)].tolist()))
    for place, row in enumerate(found.rows.tolist()):
        expected, square = places(query, row)
        assert found.distances[place] == pytest.approx(1 - expected, abs=2e-5)
        np.testing.assert_allclose(found.boxes[place], rows[row][1][square], atol=1e-6)
    if not expand:
        first = ranked(region_retriever, image, size, RegionSearch(FLAG, candidates=0, idf=idf))
        distances = [1 - cosine(query, vector, weights) for vector, _, _ in rows]
        np.testing.assert_allclose(first.distances, np.array(distances)[first.rows], atol=2e-5)
        for item, distance in zip(first.ids, first.distances, strict=True):
            assert distance == pytest.approx(np.array(distances)[gallery.items == item].min(), abs=2e-5)
        assert (np.diff(first.distances) >= 0).all()


@pytest.mark.parametrize(("kind", "count"), [("proposals", 6), ("windows", 121)])
def test_regions_of_a_detector_equal_loops(tmp_path: Path, images: Path, kind: str, count: int) -> None:
    """Of an untrained Faster R-CNN: whatever it proposes, or slides over an image, is stored and searched."""
    settings: dict = {"backbone": "small-convnet", "weights": "none", "image_size": 64, "anchor_sizes": (12, 24)}
    settings["search_regions"] = kind
    encoder = make_detector(
        FasterRcnnConfig(data="boxes.csv", **settings, proposals=6, proposer_channels=8, head_units=8), ("thing",)
    )
    retriever = Retriever.create(tmp_path / "index", encoder)
    assert len(retriever.add(open_dataset(images)).added) == 7
    again = Retriever.open(tmp_path / "index")
    rows = described(again, [images])
    image, size = again.system.image(single_file(images / "a.png"))
    query = np.asarray(encoder.region_vectors(image[None], np.array([[FLAG.box(size)]], np.float32)))[0, 0]
    same = np.ones(len(query))
    found = ranked(again, image, size, RegionSearch(FLAG))
    for place, row in enumerate(found.rows.tolist()):
        cosines = [cosine(query, vector, same) for vector in rows[row][2]]
        assert found.distances[place] == pytest.approx(1 - max(cosines), abs=1e-3)
        near = [box for box, value in zip(rows[row][1], cosines, strict=True) if value > max(cosines) - 1e-3]
        assert min(np.abs(found.boxes[place] - box).max() for box in near) < 1e-3
    assert (np.diff(found.distances) >= 0).all()
    first = ranked(again, image, size, RegionSearch(FLAG, candidates=0))
    expected = [1 - cosine(query, rows[row][0], same) for row in first.rows]
    np.testing.assert_allclose(first.distances, expected, atol=1e-4)
    assert bytes_per_image(again.index) == 4 * encoder.vector_size + 2 * count * (4 + encoder.vector_size) + 8


def test_the_thing_is_found_where_it_is(region_retriever: Retriever, images: Path) -> None:
    for name, other in (("a.png", "b.png"), ("e.png", "f.png")):
        ((left, top, right, bottom),) = PICTURES[name][1].values()
        region = Region(left, top, right - left, bottom - top)
        found = region_retriever.search(images / name, 2, options=RegionSearch(region), kinds=["image"])
        assert {match.item.key for match in found} == {name, other}
        for match in found:
            (truth,) = PICTURES[match.item.key][1].values()
            assert match.box is not None
            middle = (truth[0] + truth[2]) / 2, (truth[1] + truth[3]) / 2
            assert match.box[0] <= middle[0] <= match.box[2]
            assert match.box[1] <= middle[1] <= match.box[3]


def test_the_whole_image_searches_with_its_own_vector(region_retriever: Retriever, images: Path) -> None:
    image, size = region_retriever.system.image(single_file(images / "c.png"))
    found = ranked(region_retriever, image, size, RegionSearch(candidates=0))
    assert region_retriever.index.items[int(found.ids[0])].key == "c.png"
    assert found.distances[0] == pytest.approx(0, abs=1e-6)


def test_a_box_smaller_than_a_cell_searches_with_the_nearest(region_retriever: Retriever, images: Path) -> None:
    inside, cell = (
        region_retriever.search(images / "a.png", 9, options=RegionSearch(region))
        for region in (Region(17, 17, 0.5, 0.5, shares=False), Region(16, 16, 4, 4))
    )
    assert inside == cell
    assert inside != region_retriever.search(images / "a.png", 9, options=RegionSearch(Region(48, 48, 4, 4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (RegionSearch(centre=True), "a prior for the centre weights visual words, and the index has none"),
        (
            RegionSearch(Region(8, 8, 24, 24), scales=3),
            "^scales=3 are those of patches of grids, and the index has none",
        ),
        (RegionSearch(surroundings=0.2), "^surroundings is a setting of visual words, and the index has none"),
        (RegionSearch(min_words=2), "^min_words is a setting of visual words, and the index has none"),
        (RegionSearch(min_words=2, surroundings=0.2), "^min_words and surroundings are settings of visual words"),
        (RegionSearch(verify=True), "verify compares key points: it needs an index of SIFT words"),
    ],
)
def test_settings_of_words_are_refused(
    region_retriever: Retriever, images: Path, options: RegionSearch, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        region_retriever.search(images / "a.png", options=dataclasses.replace(options, region=FLAG))


def test_images_without_any_activation_are_found_last(tmp_path: Path) -> None:
    """Weighted or not: zeros have no direction, and no number is rarer than another where all are zero."""
    folder = make_pictures(tmp_path / "pictures", ["a.png", "b.png"])
    encoder = region_encoder()
    encoder.backbone.backbone.convolutions[2].norm.bias[...] -= 1e6  # nothing is above 0 after the rectifier
    retriever = Retriever.create(tmp_path / "dark", encoder)
    retriever.add(open_dataset(folder))
    for idf in (False, True):
        found = retriever.search(folder / "a.png", 2, options=RegionSearch(FLAG, idf=idf))
        assert [match.distance for match in found] == [1.0, 1.0]
        assert [match.item.key for match in found] == ["a.png", "b.png"]


def test_several_sizes_in_one_index(tmp_path: Path, region_retriever: Retriever) -> None:
    folder = make_pictures(tmp_path / "odd", ["a.png"])
    rng = np.random.default_rng(0)
    shapes = {"one": (1, 1), "wide": (4, 400), "tall": (400, 4), "large": (200, 300)}
    for name, shape in shapes.items():
        Image.fromarray(rng.integers(0, 256, (*shape, 3)).astype(np.uint8)).save(folder / f"{name}.png")
    retriever = Retriever.create(tmp_path / "index", region_retriever.encoder)
    assert len(retriever.add(open_dataset(folder)).added) == 5
    system = retriever.system
    assert isinstance(system, RegionVectors)
    for name, (height, width) in shapes.items():
        found = retriever.search(folder / f"{name}.png", 5, options=RegionSearch(Region(0.1, 0.1, 0.8, 0.8)))
        assert len({match.item.key for match in found}) == 5
        for match in found:
            assert match.box is not None
            assert 0 <= match.box[0] < match.box[2] <= match.size[1] * 1.001
            assert 0 <= match.box[1] < match.box[3] <= match.size[0] * 1.001
        own = next(match for match in found if match.item.key == f"{name}.png")
        assert own.size == (height, width)
