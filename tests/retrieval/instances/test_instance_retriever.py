"""Indexes of instances as folders: opened again, added to, shrunk, compacted, mixed up; and rankings as such."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from instance_making import PICTURES, make_film, make_pictures, map_encoder, ranked, region_encoder
from PIL import Image

from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError, EncoderMismatchError, IndexFormatError, MediaError
from jaxret.models import create_backbone
from jaxret.models.store import load_encoder, save_encoder
from jaxret.retrieval import Feedback, Hit, Mark, Region, RegionSearch, Retriever, VectorSearch, single_file
from jaxret.retrieval.storage import bytes_per_image

FLAG = Region(8, 8, 24, 24)


@pytest.fixture(params=["words", "regions"])
def retriever(request: pytest.FixtureRequest, word_retriever: Retriever, region_retriever: Retriever) -> Retriever:
    return word_retriever if request.param == "words" else region_retriever


def copy_of(retriever: Retriever, folder: Path) -> Retriever:
    shutil.copytree(retriever.index.folder, folder)
    return Retriever.open(folder)


def found_by_flag(retriever: Retriever, path: Path, kinds: list[str] | None = None) -> list[Hit]:
    return retriever.search(path, 20, options=RegionSearch(FLAG), kinds=kinds)


def test_an_index_opens_again_with_the_same_results(retriever: Retriever, images: Path, tmp_path: Path) -> None:
    before = found_by_flag(retriever, images / "a.png")
    assert len(before) == len(PICTURES) + 2
    assert not list(retriever.index.folder.rglob("*.pkl"))
    again = Retriever.open(retriever.index.folder)
    assert again.system.title == "regions of images"
    assert found_by_flag(again, images / "a.png") == before
    alone = copy_of(retriever, tmp_path / "moved")
    assert found_by_flag(alone, images / "a.png") == before


@pytest.mark.parametrize("candidates", [0, 1, 3, 7, 100])
@pytest.mark.parametrize("extra", [{}, {"idf": True}], ids=["plain", "idf"])
def test_a_ranking_names_every_item_once(retriever: Retriever, images: Path, candidates: int, extra: dict) -> None:
    image, size = retriever.system.image(single_file(images / "b.png"))
    found = ranked(retriever, image, size, RegionSearch(Region(36, 4, 24, 24), candidates=candidates, **extra))
    count = len(retriever.index)
    assert sorted(found.ids.tolist()) == list(range(count))
    gallery = retriever.system.prepared(retriever.index)
    np.testing.assert_array_equal(gallery.items[found.rows], found.ids)
    placed = ~np.isnan(found.boxes).any(axis=1)
    looked = max(candidates, int(placed.sum()))
    # Re-ranked items stand first, each part in order of distance and id.
    for part in (slice(0, min(candidates, count)), slice(looked, None)):
        pairs = list(zip(found.distances[part].tolist(), found.rows[part].tolist(), strict=True))
        assert pairs == sorted(pairs)
    boxes = found.boxes[placed]
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= 1 + 1e-3).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()


def test_films_are_found_by_their_frames(retriever: Retriever, films: Path, images: Path) -> None:
    found = {match.item.key: match for match in found_by_flag(retriever, images / "a.png")}
    x = found["x.mp4"]
    assert x.item.kind == "video"
    assert x.start == x.end == pytest.approx(1.5, abs=0.11)  # the frame that shows the flag
    assert x.size == (64, 64)
    assert x.box is not None
    assert retriever.index.rows_per_item("sizes").tolist() == [1] * len(PICTURES) + [3, 3]
    # A frame of a film asks.
    region = Region(16, 16, 24, 24)
    best = retriever.search(films / "x.mp4", 3, options=RegionSearch(region, at=1.55))
    assert best[0].item.key == "x.mp4"
    assert best[0].start == pytest.approx(1.5, abs=0.11)
    assert {match.item.key for match in best} == {"x.mp4", "a.png", "b.png"}
    at_the_sea = retriever.search(films / "y.mp4", 1, options=RegionSearch(region, at=0.5), kinds=["video"])[0]
    assert (at_the_sea.item.key, at_the_sea.start) == ("y.mp4", pytest.approx(0.5, abs=0.11))


def test_a_marked_part_of_a_film_moves_the_query_alone(retriever: Retriever, images: Path) -> None:
    options = RegionSearch(FLAG)
    encoded = retriever.encode(images / "a.png", options=options)

    def found(span: tuple[float, float] | None) -> list[Hit]:
        refined = retriever.refine(encoded, Feedback((Mark("x.mp4", span),)), options=options)
        return retriever.search(refined, 20, options=options)

    assert found((1.3, 1.7)) == found(None)  # the flag is shown there, which looks most like the query
    assert found((0.3, 0.7)) != found(None)
    assert found((90.0, 91.0)) == found((2.3, 2.7))  # none lies there: the nearest


def test_kinds_take_no_candidate_of_the_other(retriever: Retriever, images: Path) -> None:
    everything = found_by_flag(retriever, images / "a.png")
    for kind in ("image", "video"):
        some = retriever.search(images / "a.png", 2, options=RegionSearch(FLAG, candidates=2), kinds=[kind])
        assert [match.item.kind for match in some] == [kind] * 2
        assert all(match.box is not None for match in some)
        of_all = [match for match in everything if match.item.kind == kind]
        assert some[0] == of_all[0]
    assert found_by_flag(retriever, images / "a.png", kinds=["image", "video"]) == everything
    with pytest.raises(ValueError, match=r"kinds must be image, video or both, got \['film'\]"):
        found_by_flag(retriever, images / "a.png", kinds=["film"])


def test_a_long_film_does_not_take_the_places_of_other_films(word_retriever: Retriever, tmp_path: Path) -> None:
    """Its frames are the nearest rows, more than are re-ranked; the others get their boxes all the same."""
    retriever = Retriever.create(tmp_path / "index", word_retriever.encoder)
    folder = tmp_path / "films"
    folder.mkdir()
    make_film(folder / "long.mp4", ["flag"] * 30, seed=3)
    make_film(folder / "short.mp4", ["flag", None, None], seed=4)
    make_film(folder / "third.mp4", [None, None, "flag"], seed=5)
    retriever.add(open_dataset(folder))
    assert retriever.index.rows_per_item("words").tolist() == [9, 3, 3]
    image = make_pictures(tmp_path / "pictures", ["a.png"]) / "a.png"
    found = retriever.search(image, 3, options=RegionSearch(FLAG, candidates=3))
    assert {match.item.key for match in found} == {"long.mp4", "short.mp4", "third.mp4"}
    assert all(match.box is not None for match in found)


def test_added_later_removed_and_compacted(retriever: Retriever, images: Path, tmp_path: Path) -> None:
    """In any order of additions the results are the same, but for ties, which ids decide."""
    everything = {match.item.key: match for match in found_by_flag(retriever, images / "a.png")}
    small = Retriever.create(tmp_path / "index", retriever.encoder)
    later = make_pictures(tmp_path / "later", ["e.png", "f.png", "g.png"])
    first = make_pictures(tmp_path / "first", ["a.png", "b.png", "c.png", "d.png"])
    assert small.search(first / "a.png", 3, options=RegionSearch(FLAG)) == []  # nothing in it yet
    assert small.search(first / "a.png", 3, options=RegionSearch(idf=True, candidates=0)) == []
    report = small.add(open_dataset(first))
    assert report.added == ("a.png", "b.png", "c.png", "d.png")
    found = found_by_flag(small, images / "a.png")  # after a search, whose preparations must not be kept
    assert len(found) == 4
    report = small.add(open_dataset(later))
    assert report.added == ("e.png", "f.png", "g.png")
    again = small.add(open_dataset(images))
    assert (again.added, len(again.present), len(again.skipped)) == ((), 7, 0)
    grown = found_by_flag(small, images / "a.png")
    assert {match.item.key for match in grown} == set(PICTURES)
    for match in grown:
        same = everything[match.item.key]
        assert (match.distance, match.box, match.size) == (same.distance, same.box, same.size)
    small.index.remove(["b.png", "e.png"])
    left = found_by_flag(small, images / "a.png")
    assert [match.item.key for match in left] == [
        match.item.key for match in grown if match.item.key not in {"b.png", "e.png"}
    ]
    small.index.compact()
    assert found_by_flag(small, images / "a.png") == left
    assert found_by_flag(Retriever.open(small.index.folder), images / "a.png") == left
    small.index.verify()


def test_unreadable_files_are_skipped(tmp_path: Path, word_retriever: Retriever) -> None:
    folder = make_pictures(tmp_path / "pictures", ["a.png"])
    Image.open(folder / "a.png").save(folder / "cut.bmp")
    (folder / "cut.bmp").write_bytes((folder / "cut.bmp").read_bytes()[:900])  # the head is whole
    retriever = Retriever.create(tmp_path / "index", word_retriever.encoder)
    dataset = open_dataset(folder)
    report = retriever.add(dataset)
    assert report.added == ("a.png",)
    lost = [*report.skipped, *dataset.skipped]
    assert [Path(error.path).name for error in lost] == ["cut.bmp"]
    with pytest.raises(MediaError, match=r"cut\.bmp"):
        retriever.search(folder / "cut.bmp", options=RegionSearch(FLAG))


def test_encoders_mixed_up(tmp_path: Path, word_retriever: Retriever, images: Path) -> None:
    wrong = copy_of(word_retriever, tmp_path / "index")
    shutil.rmtree(tmp_path / "index" / "encoder")
    save_encoder(map_encoder(40, seed=1), tmp_path / "index" / "encoder")
    with pytest.raises(EncoderMismatchError, match=r"index was made by encoder '\w+', the query by '\w+'"):
        Retriever.open(tmp_path / "index")
    del wrong
    with pytest.raises(IndexFormatError, match="is not an index"):
        Retriever.open(images)


def test_a_folder_that_holds_something_is_left_as_it_is(
    tmp_path: Path, word_retriever: Retriever, images: Path
) -> None:
    index = copy_of(word_retriever, tmp_path / "index").index.folder
    with pytest.raises(ConfigError, match=r"index holds an index already: open it, or choose another"):
        Retriever.create(index, region_encoder())
    assert found_by_flag(Retriever.open(index), images / "a.png") == found_by_flag(word_retriever, images / "a.png")
    run = tmp_path / "run"
    save_encoder(map_encoder(), run / "encoder")
    (run / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"run is not empty \(it holds config.json\): choose another for the index"):
        Retriever.create(run, region_encoder())
    assert load_encoder(run / "encoder").kind == "map-words"


def test_an_encoder_without_a_system_and_options_of_another_are_refused(
    tmp_path: Path, word_retriever: Retriever
) -> None:
    net = create_backbone("small-convnet", widths=[4, 8], rngs=nnx.Rngs(0))
    known = "faster-rcnn, faster-rcnn-pyramid, frames-then-sequence, .*map-words, regional-maxima, sift-words"
    with pytest.raises(ConfigError, match=rf"unknown kind of encoder to search with '.*'.* Known: .*{known}"):
        Retriever.create(tmp_path / "index", net)
    assert not (tmp_path / "index").exists()
    with pytest.raises(
        ConfigError,
        match="is an index of regions of images, which is searched with RegionSearch: VectorSearch does not fit it",
    ):
        word_retriever.search("any.png", options=VectorSearch())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": -1}, "candidates must be a whole number of at least 0, got -1"),
        ({"candidates": True}, "candidates must be a whole number of at least 0, got True"),
        ({"expand": 1.5}, "expand must be a whole number of at least 0, got 1.5"),
        ({"min_words": 0}, "min_words must be a whole number of at least 1, got 0"),
        ({"scales": 0}, "scales must be at least 1, got 0"),
        ({"scales": 10}, "scales must be at most 9, got 10"),
        ({"scales": 2}, "scales must be odd, so that one is the region as it is, got 2"),
        ({"surroundings": -0.1}, "surroundings must be a finite number of at least 0, got -0.1"),
        ({"surroundings": float("nan")}, "surroundings must be a finite number of at least 0, got nan"),
        (
            {"candidates": 2, "expand": 3},
            "expand takes from the candidates that are re-ranked, 2 of them: it must be no more, got 3",
        ),
        ({"candidates": 0, "verify": True}, "verify looks at the candidates that are re-ranked: give more than 0"),
    ],
)
def test_settings_out_of_range(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RegionSearch(**settings)


def test_queries_that_do_not_fit(word_retriever: Retriever, images: Path, films: Path) -> None:
    search = word_retriever.search
    with pytest.raises(ValueError, match=r"x\.mp4 is a video: name the second of the frame to search with"):
        search(films / "x.mp4", options=RegionSearch(FLAG))
    with pytest.raises(ValueError, match=r"a\.png is an image, and has no frame at 1\.5 s"):
        search(images / "a.png", options=RegionSearch(FLAG, at=1.5))
    with pytest.raises(ValueError, match="at must be a finite number of seconds, got nan"):
        RegionSearch(FLAG, at=float("nan"))
    for moment in (-1.0, 3.01):
        with pytest.raises(ValueError, match=r"at must lie in the video's 0 to 3 seconds, got "):
            search(films / "x.mp4", options=RegionSearch(FLAG, at=moment))
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        search(images / "a.png", 0)
    with pytest.raises(ValueError, match=r"the region 64,0,5,5 lies outside the image of 64 x 64 pixels"):
        search(images / "a.png", options=RegionSearch(Region(64, 0, 5, 5)))
    with pytest.raises(ValueError, match="surroundings are those of a region, and no region is marked"):
        search(images / "a.png", options=RegionSearch(surroundings=0.5))
    with pytest.raises(MediaError, match="no such file"):
        search(images / "none.png")
    with pytest.raises(MediaError, match=r"broken\.png"):
        search(images / "broken.png")


def test_more_results_than_candidates_are_all_looked_into(word_retriever: Retriever, images: Path) -> None:
    found = word_retriever.search(images / "a.png", 9, options=RegionSearch(Region(0, 0, 64, 64), candidates=1))
    assert len(found) == 9
    assert all(match.box is not None for match in found)  # candidates were raised to k
    first = word_retriever.search(images / "a.png", 9, options=RegionSearch(candidates=0))
    assert all(match.box is None for match in first)


def test_bytes_of_an_image(word_retriever: Retriever, region_retriever: Retriever) -> None:
    assert bytes_per_image(word_retriever.index) == 2 * (2 + 16 * 16) + 8  # uint16 words and head; the size
    encoder = region_retriever.encoder
    assert bytes_per_image(region_retriever.index) == 4 * 8 + 2 * encoder.region_count * (4 + 8) + 8
