"""Both passes, expansion and verification of visual words against plain loops over the stored maps."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from instance_making import FITTED, PICTURES, make_pictures, ranked, scene, sift_encoder
from PIL import Image
from reference import words as slow

from jaxret.data.open import open_dataset
from jaxret.data.sampling.reading import read_chunks
from jaxret.models.descriptors.visual_words import SiftWordEncoder
from jaxret.models.registry import create_encoder
from jaxret.recipes.instances.fit_words import fit_words
from jaxret.retrieval import Region, RegionSearch, Retriever, single_file
from jaxret.retrieval.region import scaled_box
from jaxret.retrieval.systems.base import system_of
from jaxret.retrieval.systems.gallery import Located, PassQueries
from jaxret.retrieval.systems.words import WINDOW_OVERLAP, WINDOW_SHARES, MapWords
from jaxret.visual_words import (
    PlacedWords,
    box_surroundings,
    centre_prior,
    sliding_windows,
    verify_geometry,
    window_boxes,
    words_of_map,
)

FLAG = Region(8, 8, 24, 24)  # of a.png


def gallery_words(retriever: Retriever, folders: list[Path]) -> list[PlacedWords]:
    """The words of every row, described anew from the files one frame at a time."""
    system = retriever.system
    assert isinstance(system, MapWords)
    rows = []
    for folder in folders:
        dataset = open_dataset(folder)
        for number in range(len(dataset)):
            for chunk in read_chunks(dataset, number, system.preprocessing):
                for frame in chunk.pixels:
                    maps = np.asarray(system.encoder.descriptors(frame[None]))[0]
                    words = [
                        [int(((system.codebook.centres - place) ** 2).sum(axis=1).argmin()) for place in row]
                        for row in maps
                    ]
                    rows.append(words_of_map(words, frame.shape[:2]))
    return rows


@pytest.fixture(scope="module")
def rows(word_retriever: Retriever, images: Path, films: Path) -> list[PlacedWords]:
    return gallery_words(word_retriever, [images, films])


def entries(image: PlacedWords, inside: np.ndarray | None = None) -> list[tuple[int, float]]:
    chosen = np.ones(len(image), bool) if inside is None else inside
    return list(zip(image.words[chosen].tolist(), image.weights[chosen].tolist(), strict=True))


def rounded(cosine: float) -> float:
    return round((1 - min(cosine, 1.0)) * 2**40) / 2**40


class SlowSearch:
    """A query of one image and box against all rows."""

    def __init__(self, retriever: Retriever, rows: list[PlacedWords], path: Path, region: Region | None):
        system = retriever.system
        assert isinstance(system, MapWords)
        image, size = retriever.system.image(single_file(path))
        self.rows, self.idf = rows, [float(weight) for weight in np.asarray(system.encoder.idf[...])]
        self.image = system.layout.unpack(system.encode_frames(image[None])[0])
        self.box = None if region is None else scaled_box(region.box(size), size, image.shape[:2])

    def asked(self, idf: list[float] | None, surroundings: float = 0.0) -> dict[int, float]:
        if self.box is None:
            return slow.histogram(entries(self.image), idf)
        if surroundings:
            return slow.histogram(
                entries(self.image.weighted(box_surroundings(self.image, self.box, spread=surroundings))), idf
            )
        return slow.histogram(entries(self.image, self.image.inside(self.box)), idf)

    def first(self, asked: dict[int, float], idf: list[float] | None, centre: bool) -> list[float]:
        images = (
            [image.weighted(centre_prior(image.points, image.image_size)) for image in self.rows]
            if centre
            else self.rows
        )
        return [rounded(slow.cosine(asked, slow.histogram(entries(image), idf))) for image in images]

    def windows(self, image: PlacedWords) -> np.ndarray:
        found = sliding_windows(image.grid, shares=WINDOW_SHARES, overlap=WINDOW_OVERLAP)
        if self.box is None:
            return found
        left, top, right, bottom = self.box
        aspect, boxes = (right - left) / (bottom - top), window_boxes(found, image)
        shapes = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
        return found[np.minimum(shapes / aspect, aspect / shapes) >= 0.4]

    def best(self, asked: dict[int, float], row: int, idf: list[float] | None) -> tuple[float, np.ndarray]:
        """Distance, and the box in shares."""
        image = self.rows[row]
        cosine, window = slow.best_window(asked, image, self.windows(image), idf)
        if window is None:
            return 1.0, np.full(4, np.nan)
        return rounded(cosine), window_boxes([window], image)[0] / np.tile(image.image_size[::-1], 2)


@pytest.mark.parametrize("idf_weighted", [False, True])
@pytest.mark.parametrize(
    ("name", "region", "extra"),
    [
        ("a.png", FLAG, {}),
        ("b.png", Region(0.5, 0.125, 0.45, 0.8), {"centre": True}),
        ("c.png", Region(4, 24, 24, 24), {"surroundings": 0.3}),
        ("d.png", None, {}),
    ],
)
def test_both_passes_equal_loops(
    word_retriever: Retriever,
    rows: list[PlacedWords],
    images: Path,
    name: str,
    region: Region | None,
    extra: dict,
    idf_weighted: bool,
) -> None:
    options = RegionSearch(region, candidates=4, idf=idf_weighted, **extra)
    query = SlowSearch(word_retriever, rows, images / name, region)
    idf = query.idf if idf_weighted else None
    asked = query.asked(idf, options.surroundings)
    image, size = word_retriever.system.image(single_file(images / name))
    gallery = word_retriever.system.prepared(word_retriever.index)
    assert len(gallery.items) == len(rows) == len(PICTURES) + 2 * 3  # three frames of each film

    expected = np.array(query.first(asked, idf, options.centre))
    order = np.lexsort((np.arange(len(rows)), expected.astype(np.float32)))
    plain = ranked(word_retriever, image, size, dataclasses.replace(options, candidates=0))
    assert np.isnan(plain.boxes).all()
    items = list(dict.fromkeys(gallery.items[order].tolist()))
    assert plain.ids.tolist() == items
    np.testing.assert_allclose(plain.distances, [expected[gallery.items == item].min() for item in items], atol=1e-6)

    # The four nearest rows, and the nearest row of each of the four nearest items, are looked into.
    candidates = set(order[:4].tolist())
    for item in items[:4]:
        candidates.add(int(next(row for row in order if gallery.items[row] == item)))
    places = {row: query.best(asked, row, idf) for row in candidates}
    best = sorted(candidates, key=lambda row: (np.float32(places[row][0]), row))
    inside = list(dict.fromkeys(gallery.items[best].tolist()))
    found = ranked(word_retriever, image, size, options)
    assert found.ids.tolist() == inside + [item for item in items if item not in inside]
    for place, item in enumerate(inside):
        row = next(row for row in best if gallery.items[row] == item)
        assert found.rows[place] == row
        assert found.distances[place] == pytest.approx(places[row][0], abs=1e-6)
        np.testing.assert_allclose(found.boxes[place], places[row][1], atol=1e-9)
    assert np.isnan(found.boxes[len(inside) :]).all()
    assert (found.inliers == -1).all()


@pytest.mark.parametrize("idf_weighted", [False, True])
def test_expansion_searches_with_the_mean_of_what_was_found(
    word_retriever: Retriever, rows: list[PlacedWords], images: Path, idf_weighted: bool
) -> None:
    query = SlowSearch(word_retriever, rows, images / "a.png", FLAG)
    idf = query.idf if idf_weighted else None
    asked = query.asked(None)
    weights = idf or [1.0] * word_retriever.encoder.n_words
    image, size = word_retriever.system.image(single_file(images / "a.png"))
    count = len(rows)
    once = ranked(word_retriever, image, size, RegionSearch(FLAG, candidates=count, idf=idf_weighted))

    # By row, for several rows of one film may be among the best.
    scored = sorted((np.float32(query.best(query.asked(idf), row, idf)[0]), row) for row in range(count))
    bags = [asked]
    for _, row in scored[:3]:
        box = query.best(query.asked(idf), row, idf)[1] * np.tile(rows[row].image_size[::-1], 2)
        if np.isnan(box).any():  # nothing was found there
            continue
        bags.append(slow.histogram(entries(rows[row], rows[row].inside(box))))
    mean = dict.fromkeys(range(len(weights)), 0.0)
    for bag in bags:
        length = np.sqrt(sum((amount * weights[word]) ** 2 for word, amount in bag.items()))
        for word, amount in bag.items():
            mean[word] += amount / length / len(bags)
    expanded = {word: amount * weights[word] for word, amount in mean.items() if amount * weights[word]}
    again = ranked(word_retriever, image, size, RegionSearch(FLAG, candidates=count, idf=idf_weighted, expand=3))
    best = [query.best(expanded, row, idf) for row in range(count)]
    order = sorted(range(count), key=lambda row: (np.float32(best[row][0]), row))
    gallery = word_retriever.system.prepared(word_retriever.index)
    assert again.ids.tolist() == list(dict.fromkeys(gallery.items[order].tolist()))
    for place, row in enumerate(again.rows.tolist()):
        assert again.distances[place] == pytest.approx(best[row][0], abs=1e-6)
        np.testing.assert_allclose(again.boxes[place], best[row][1], atol=1e-9)
    assert not np.array_equal(once.distances, again.distances)


def test_the_thing_is_found_where_it_is(word_retriever: Retriever, images: Path) -> None:
    for name, other in (("a.png", "b.png"), ("c.png", "d.png"), ("e.png", "f.png")):
        ((thing, box),) = PICTURES[name][1].items()
        left, top, right, bottom = box
        region = Region(left, top, right - left, bottom - top)
        found = word_retriever.search(images / name, 3, options=RegionSearch(region), kinds=["image"])
        assert {match.item.key for match in found[:2]} == {name, other}, thing
        truth = PICTURES[other][1][thing]
        (match,) = (match for match in found if match.item.key == other)
        assert match.size == PICTURES[other][0]
        assert match.box is not None
        width = min(match.box[2], truth[2]) - max(match.box[0], truth[0])
        height = min(match.box[3], truth[3]) - max(match.box[1], truth[1])
        assert max(width, 0) * max(height, 0) > 0.2 * 24 * 24


def test_a_box_with_too_few_words_is_named_as_it_was_given(word_retriever: Retriever, images: Path) -> None:
    message = (
        r"the region 1,1,1.5,1 holds 0 visual words, and a search needs at least 1: mark a larger part, or make an "
        r"index that sees larger images than 64 x 64 pixels"
    )
    with pytest.raises(ValueError, match=message):
        word_retriever.search(images / "a.png", options=RegionSearch(Region(1, 1, 1.5, 1)))
    with pytest.raises(ValueError, match=r"the region 0.5,0.5,0.25,0.25 holds 16 visual words, and a search needs at"):
        word_retriever.search(images / "a.png", options=RegionSearch(Region(0.5, 0.5, 0.25, 0.25), min_words=17))
    assert word_retriever.search(images / "a.png", 1, options=RegionSearch(Region(0.5, 0.5, 0.25, 0.25), min_words=16))
    with pytest.raises(ValueError, match=r"the image holds 256 visual words, and a search needs at least 300"):
        word_retriever.search(images / "a.png", options=RegionSearch(min_words=300))


@pytest.fixture(scope="module")
def sift(tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, Path]:
    """Textured images; the second holds a part of the first, moved by (24, 8), and the last holds nothing."""
    pytest.importorskip("cv2")
    folder = tmp_path_factory.mktemp("sift")
    rng = np.random.default_rng(3)
    for name in ("a", "b", "c"):
        blocks = rng.integers(0, 256, (16, 24, 3)).astype(np.uint8)
        pixels = np.asarray(Image.fromarray(blocks).resize((192, 128), Image.Resampling.BICUBIC)).copy()
        if name == "a":
            first = pixels
        if name == "b":
            pixels[16:104, 40:136] = first[8:96, 16:112]
        Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.new("RGB", (192, 128), "grey").save(folder / "d.png")
    encoder = sift_encoder(40)
    encoder.preprocessing = dataclasses.replace(encoder.preprocessing, height=192, width=192)
    encoder.max_features = 300
    dataset = open_dataset(folder)
    fit_words(encoder, dataset, range(4), log=lambda line: None)
    retriever = Retriever.create(tmp_path_factory.mktemp("sift_index") / "index", encoder)
    retriever.add(dataset)
    return retriever, folder


def test_sift_words_find_and_verify_a_part(sift: tuple[Retriever, Path]) -> None:
    retriever, folder = sift
    region = Region(16, 8, 96, 88)
    found = retriever.search(folder / "a.png", 4, options=RegionSearch(region, verify=True))
    assert [match.item.key for match in found[:2]] == ["a.png", "b.png"]
    assert found[0].inliers is not None
    assert found[1].inliers is not None
    assert found[0].inliers > found[1].inliers >= 5
    np.testing.assert_allclose(found[0].box, (16, 8, 112, 96), atol=2)
    np.testing.assert_allclose(found[1].box, (40, 16, 136, 104), atol=4)
    assert found[-1].box is None  # the grey one
    assert found[-1].inliers == 0
    unverified = retriever.search(folder / "a.png", 4, options=RegionSearch(region))
    assert [match.inliers for match in unverified] == [None] * 4


def test_verification_equals_that_of_each_candidate(sift: tuple[Retriever, Path]) -> None:
    retriever, folder = sift
    region = Region(16, 8, 96, 88)
    image, size = retriever.system.image(single_file(folder / "a.png"))
    plain = ranked(retriever, image, size, RegionSearch(region))
    checked = ranked(retriever, image, size, RegionSearch(region, verify=True))
    layout = retriever.system.layout
    query = layout.unpack(retriever.system.encode_frames(image[None])[0])
    inside = np.flatnonzero(query.inside((16, 8, 112, 96)))
    counts = {}
    for row, record in enumerate(retriever.index.rows("words").vectors):
        image = layout.unpack(record)
        # Words are rare or common among those in the box, not in the whole image.
        held = {int(word): int((query.words[inside] == word).sum()) for word in np.unique(query.words[inside])}
        pairs = np.array(
            [
                (q, i)
                for q in inside
                for i in range(len(image))
                if query.words[q] == image.words[i]
                and held[int(query.words[q])] * int((image.words == query.words[q]).sum()) <= 4
            ],
            int,
        ).reshape(-1, 2)
        counts[row] = verify_geometry(
            query.points[pairs[:, 0]], image.points[pairs[:, 1]], (16, 8, 112, 96), image.image_size
        ).inliers
    assert dict(zip(checked.rows.tolist(), checked.inliers.tolist(), strict=True)) == counts
    expected = sorted(plain.rows.tolist(), key=lambda row: (-counts[row], plain.rows.tolist().index(row)))
    assert checked.rows.tolist() == expected


def test_with_verification_expansion_takes_the_verified_places_alone(sift: tuple[Retriever, Path]) -> None:
    retriever, folder = sift
    region = Region(16, 8, 96, 88)
    image, size = retriever.system.image(single_file(folder / "a.png"))
    checked = ranked(retriever, image, size, RegionSearch(region, verify=True))
    agree = checked.inliers > 0
    assert 2 <= agree.sum() < 4
    query = retriever.system.region_query(image, size, RegionSearch(region)).region
    gallery = retriever.system.prepared(retriever.index)
    places = Located(checked.rows[agree], checked.distances[agree], checked.boxes[agree])
    expanded = gallery.expanded(query, places, idf=False)
    expected = retriever.system.rank(retriever.index, PassQueries(expanded, expanded), RegionSearch(verify=True))
    found = ranked(retriever, image, size, RegionSearch(region, verify=True, expand=4))
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.distances, expected.distances)
    unverified = ranked(retriever, image, size, RegionSearch(region, expand=4))
    of_row = dict(zip(unverified.rows.tolist(), unverified.distances.tolist(), strict=True))
    assert [of_row[row] for row in found.rows.tolist()] != found.distances.tolist()


@pytest.mark.parametrize("idf", [False, True])
def test_the_lists_that_the_index_keeps_rank_as_those_made_in_memory(
    word_retriever: Retriever, images: Path, tmp_path: Path, idf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after removals; an index that was made before has none until it grows."""
    shutil.copytree(word_retriever.index.folder, tmp_path / "index")
    retriever = Retriever.open(tmp_path / "index")
    image, size = retriever.system.image(single_file(images / "a.png"))
    query = retriever.system.region_query(image, size, RegionSearch(Region(8, 8, 24, 24))).region
    retriever.index.remove(["d.png"])
    kept = retriever.system.gallery(retriever.index)
    with monkeypatch.context() as patch:
        patch.setattr(kept, "_file", None)
        found = kept.distances(query, idf=idf, centre=False)
    monkeypatch.setattr(type(retriever.index), "term_lists", lambda index, space: None)
    in_memory = retriever.system.gallery(retriever.index).distances(query, idf=idf, centre=False)
    np.testing.assert_allclose(found, in_memory, atol=1e-9)
    assert len(found) == retriever.index.count_rows("words")
    assert found.std() > 0.01


def test_only_sift_words_can_be_verified(word_retriever: Retriever, images: Path) -> None:
    with pytest.raises(ValueError, match="verify compares key points: it needs an index of SIFT words"):
        word_retriever.search(images / "a.png", options=RegionSearch(verify=True))


def test_images_of_other_shapes_go_through(tmp_path: Path, word_retriever: Retriever) -> None:
    folder = make_pictures(tmp_path / "odd", ["a.png"])
    rng = np.random.default_rng(0)
    shapes = {"one": (1, 1), "wide": (4, 400), "tall": (400, 4), "large": (200, 300)}
    for name, shape in shapes.items():
        Image.fromarray(rng.integers(0, 256, (*shape, 3)).astype(np.uint8)).save(folder / f"{name}.png")
    Image.open(folder / "a.png").convert("L").save(folder / "grey.png")
    Image.open(folder / "a.png").convert("RGBA").save(folder / "ünï 図.png")
    retriever = Retriever.create(tmp_path / "index", word_retriever.encoder)
    report = retriever.add(open_dataset(folder))
    assert len(report.added) == 7
    for name, (height, width) in shapes.items():
        best = retriever.search(folder / f"{name}.png", 1, options=RegionSearch(Region(0.1, 0.1, 0.8, 0.8)))[0]
        assert best.item.key == f"{name}.png"
        assert best.size == (height, width)
        assert best.box is not None
        assert 0 <= best.box[0] < best.box[2] <= width
        assert 0 <= best.box[1] < best.box[3] <= height
    same = retriever.search(folder / "ünï 図.png", 2, options=RegionSearch(FLAG))
    assert [match.item.key for match in same] == ["a.png", "ünï 図.png"]  # equal, by id
    assert same[0].distance == same[1].distance
    assert same[0].box == same[1].box


def test_plain_sift_keeps_the_descriptors_as_they_are() -> None:
    pytest.importorskip("cv2")
    plain = SiftWordEncoder(8, FITTED, max_features=60, root=False)
    again = create_encoder(plain.config, rngs=nnx.Rngs(0))
    assert not again.root
    assert "plain SIFT" in again.summary
    assert sift_encoder().root
    assert "root" not in sift_encoder().config
    image = scene(0, (64, 64), {"flag": (8, 8, 32, 32)})[None]
    (described,), (rooted,) = (system_of(encoder).describe(image) for encoder in (again, sift_encoder()))
    raw = described.local[:, 2:]
    assert raw.max() > 50
    shares = np.sqrt(raw / raw.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(rooted.local[:, 2:], shares, atol=1e-5)


def test_the_first_pass_compares_the_whole_image_where_it_is_told_to(word_retriever: Retriever, images: Path) -> None:
    """The candidates are those of the whole image; within them the region is looked for."""
    image, size = word_retriever.system.image(single_file(images / "a.png"))
    region = Region(8, 8, 24, 24)
    whole = ranked(word_retriever, image, size, RegionSearch(candidates=0))
    first = ranked(word_retriever, image, size, RegionSearch(region, candidates=0, first_pass="image"))
    np.testing.assert_array_equal(first.ids, whole.ids)
    np.testing.assert_array_equal(first.distances, whole.distances)
    found = ranked(word_retriever, image, size, RegionSearch(region, candidates=3, first_pass="image"))
    by_region = ranked(word_retriever, image, size, RegionSearch(region, candidates=100))
    of_row = dict(zip(by_region.rows.tolist(), by_region.distances.tolist(), strict=True))
    near = found.rows[~np.isnan(found.boxes).any(axis=1)]
    assert set(near.tolist()) <= set(whole.rows[:3].tolist())
    for row, distance in zip(found.rows[:3].tolist(), found.distances[:3].tolist(), strict=True):
        assert distance == pytest.approx(of_row.get(row, distance))
    with pytest.raises(ValueError, match="first_pass must be one of region, image, got 'all'"):
        RegionSearch(first_pass="all")  # type: ignore[arg-type]
