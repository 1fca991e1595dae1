"""Search by patches of grids against loops over what each image gives alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from instance_making import PICTURES, grid_encoder, ranked

from jaxret.data.open import open_dataset
from jaxret.data.sampling.reading import read_chunks
from jaxret.models.descriptors.grid import grid_cells, window_means
from jaxret.recipes.instances.recipe import InstanceSearchConfig, fit_encoder
from jaxret.retrieval import Region, RegionSearch, Retriever, single_file
from jaxret.retrieval.query_image import zoomed
from jaxret.retrieval.storage import bytes_per_image
from jaxret.retrieval.systems import grid
from jaxret.retrieval.systems.gallery import PassQueries

FLAG = Region(8, 8, 24, 24)


@pytest.fixture(scope="module")
def retriever(images: Path, films: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """Images and films in whitened patches."""
    encoder, dataset = grid_encoder(whitened_size=8), open_dataset(images)
    config = InstanceSearchConfig(features="grid", backbone="small-convnet", weights="none")
    known = fit_encoder(encoder, config, dataset, list(range(len(dataset))), log=lambda line: None)
    made = Retriever.create(tmp_path_factory.mktemp("grid") / "index", encoder)
    made.add(dataset, known=known)
    made.add(open_dataset(films))
    return made


def places_of(retriever: Retriever, folders: list[Path]) -> list[np.ndarray]:
    """Of each row the projected places, as an index keeps them, one frame at a time."""
    encoder, rows = retriever.encoder, []
    for folder in folders:
        dataset = open_dataset(folder)
        for number in range(len(dataset)):
            for chunk in read_chunks(dataset, number, encoder.preprocessing):
                for frame in chunk.pixels:
                    (places,) = encoder.places(frame[None])
                    kept = encoder.projected(places.reshape(144, -1)).astype(np.float16)
                    rows.append(kept.reshape(12, 12, -1).astype(np.float64))
    return rows


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def cosines_of(query: np.ndarray, places: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Of each window, by slices."""
    return np.array([unit(places[t:b, le:r].mean(axis=(0, 1))) @ query for t, le, b, r in windows.tolist()])


def test_both_passes_equal_loops(retriever: Retriever, images: Path, films: Path) -> None:
    rows = places_of(retriever, [images, films])
    image, size = retriever.system.image(single_file(images / "a.png"))
    box_mean = retriever.encoder.box_mean(image[None], FLAG.box(size))
    query = retriever.encoder.vectors(box_mean).astype(np.float64)
    first = ranked(retriever, image, size, RegionSearch(FLAG, candidates=0, scales=1))
    for row, distance in zip(first.rows, first.distances, strict=True):
        cosine = cosines_of(query, rows[row], grid_cells(4)).max()
        assert distance == pytest.approx(1 - cosine, abs=2e-3)  # of cells in half precision
    assert np.isnan(first.boxes).all()
    assert (np.diff(first.distances) >= 0).all()
    found = ranked(retriever, image, size, RegionSearch(FLAG, candidates=len(rows), scales=1))
    sizes = retriever.index.rows("sizes").vectors
    for row, distance, box in zip(found.rows, found.distances, found.boxes, strict=True):
        height, width = sizes[row].tolist()
        windows = np.array(
            [
                window
                for window in grid._windows().tolist()
                for aspect in [(window[3] - window[1]) * width / ((window[2] - window[0]) * height)]
                if min(aspect, 1 / aspect) >= 0.4  # the region is a square
            ]
        )
        cosines = cosines_of(query, rows[row], windows)
        assert distance == pytest.approx(1 - cosines.max(), abs=1e-5)
        weights = np.exp((cosines - cosines.max()) / 0.02)
        expected = (weights[:, None] * windows).sum(axis=0) / weights.sum() / 12
        np.testing.assert_allclose(box, expected[[1, 0, 3, 2]], atol=1e-2)
    assert (np.diff(found.distances) >= 0).all()


def test_an_image_counts_by_the_size_that_agrees_best(retriever: Retriever, images: Path) -> None:
    system = retriever.system
    image, size = system.image(single_file(images / "a.png"))
    settings = {"min_words": 1, "surroundings": 0.0}
    views = [zoomed(image, FLAG.box(size), factor, system.preprocessing) for factor in (0.5, 1.0, 2.0)]
    assert [view.shape for view, _ in views] == [(32, 32, 3), (64, 64, 3), (64, 64, 3)]
    alone = [PassQueries(query, query) for query in (system.query(*view, **settings) for view in views)]
    for candidates in (0, 4):
        options = RegionSearch(FLAG, candidates=candidates)
        found = ranked(retriever, image, size, options)
        gallery = system.prepared(retriever.index)
        rows = np.arange(len(gallery.items))
        if candidates:
            by_size = [dict(zip(*one[:2], strict=True)) for one in map(_located(gallery, rows), alone)]
            known = found.rows[:candidates]
            expected = [min(sizes[row] for sizes in by_size) for row in known]
        else:
            known = found.rows
            expected = np.min([gallery.distances(one.first, idf=False, centre=False) for one in alone], axis=0)[known]
        np.testing.assert_allclose(found.distances[: len(known)], expected, atol=1e-6)
    one = ranked(retriever, image, size, RegionSearch(FLAG, scales=1))
    assert not np.array_equal(one.distances, found.distances)


def _located(gallery, rows):
    def locate(query):
        found = gallery.locate(query.region, rows, idf=False)
        return found.rows.tolist(), found.distances.tolist()

    return locate


def test_expansion_is_the_mean_of_the_query_and_the_windows_found(retriever: Retriever, images: Path) -> None:
    system, gallery = retriever.system, retriever.system.prepared(retriever.index)
    image, size = system.image(single_file(images / "a.png"))
    query = system.region_query(image, size, RegionSearch(FLAG)).region
    found = gallery.locate(query, np.arange(3), idf=False)
    again = gallery.expanded(query, found, idf=False)
    stored = retriever.index.rows("places").vectors.astype(np.float32).reshape(-1, 12, 12, 8)
    windows = np.round(found.boxes[:, [1, 0, 3, 2]] * 12).astype(int)
    windows[:, 2:] = np.maximum(windows[:, 2:], windows[:, :2] + 1)
    chosen = [unit(window_means(stored[row], window[None]))[0] for row, window in zip(found.rows, windows, strict=True)]
    assert len(query.vectors) == 3
    for vector, expanded in zip(query.vectors, again.vectors, strict=True):
        np.testing.assert_allclose(expanded, unit(np.mean([vector, *chosen], axis=0)), atol=1e-5)
    assert again.aspect == query.aspect == 1


def test_the_thing_is_found_where_it_is(retriever: Retriever, images: Path) -> None:
    for name, other in (("a.png", "b.png"), ("e.png", "f.png")):
        ((left, top, right, bottom),) = PICTURES[name][1].values()
        region = Region(left, top, right - left, bottom - top)
        hits = retriever.search(images / name, k=3, kinds={"image"}, options=RegionSearch(region))
        assert {hit.item.key for hit in hits[:2]} == {name, other}
        for hit in hits[:2]:
            (truth,) = PICTURES[hit.item.key][1].values()
            x, y = (hit.box[0] + hit.box[2]) / 2, (hit.box[1] + hit.box[3]) / 2
            assert truth[0] <= x <= truth[2]
            assert truth[1] <= y <= truth[3]


def test_what_an_index_takes_and_refuses(retriever: Retriever, images: Path) -> None:
    assert bytes_per_image(retriever.index) == 2 * 8 * (30 + 144) + 8
    for options, message in (
        (RegionSearch(FLAG, idf=True), "idf and centre weight visual words and channels"),
        (RegionSearch(FLAG, centre=True), "idf and centre weight visual words and channels"),
        (
            RegionSearch(FLAG, surroundings=0.2),
            "surroundings is a setting of visual words, and the index has none: leave it out",
        ),
        (RegionSearch(FLAG, verify=True), "verify compares key points"),
        (RegionSearch(scales=3), "scales are those of a region, and no region is marked"),
    ):
        with pytest.raises(ValueError, match=message):
            retriever.search(images / "a.png", options=options)


def test_a_whole_image_is_its_own_nearest(retriever: Retriever, images: Path) -> None:
    (hit,) = retriever.search(images / "d.png", k=1)
    assert hit.item.key == "d.png"
    assert hit.distance < 0.01


def test_cells_that_memory_does_not_hold_are_read_again(
    retriever: Retriever, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = retriever.system
    image, size = system.image(single_file(images / "a.png"))
    query = system.region_query(image, size, RegionSearch(FLAG)).first
    kept = system.gallery(retriever.index)
    monkeypatch.setattr(grid, "_KEPT_BYTES", 0)
    read = system.gallery(retriever.index)
    assert kept._kept is not None
    assert read._kept is None
    expected = kept.distances(query, idf=False, centre=False)
    assert len(expected) == len(kept.items)
    for _ in range(2):
        np.testing.assert_array_equal(read.distances(query, idf=False, centre=False), expected)
