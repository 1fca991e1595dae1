"""A query that is encoded once: searched with, refined by marks, laid beside results."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxret import Retriever, SequenceSearch, VectorSearch
from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.index import EncoderRecord, MediaIndex, Space
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import Feedback, Mark, RegionComparison, SequenceComparison

MADE_BEFORE = Path(__file__).parents[1] / "compatibility" / "made_before"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(MADE_BEFORE, tmp_path_factory.mktemp("made") / "made"))


@pytest.mark.parametrize(
    ("name", "query", "options"),
    [
        ("clips", "query.mp4", None),
        ("clips", "frame.png", VectorSearch("frame", metric="cosine")),
        ("codes", "query.mp4", VectorSearch(rerank=8)),
        ("sequences", "query.mp4", SequenceSearch("bi-dtw", part="query")),
        ("films", "frame.png", None),
        ("things", "pictures/p2.png", None),
    ],
)
def test_an_encoded_query_finds_what_its_file_finds(name: str, query: str, options: Any, made: Path) -> None:
    retriever = Retriever.open(made / "runs" / name)
    encoded = retriever.encode(made / query, options=options)
    expected = retriever.search(made / query, 5, options=options)
    assert retriever.search(encoded, 5, options=options) == expected
    kinds = (expected[0].item.kind,)
    where = f"key != '{expected[0].item.key}'"
    assert retriever.search(encoded, 3, options=options, kinds=kinds, where=where) == retriever.search(
        made / query, 3, options=options, kinds=kinds, where=where
    )


def test_a_refined_query_is_rocchios(made: Path) -> None:
    retriever = Retriever.open(made / "runs" / "clips")
    options = VectorSearch("frame")
    rows = retriever.rows("frame")
    keys = [item.key for item in retriever.index.items]
    plus, minus = keys[7], keys[2]
    span = (0.4, 1.1)
    feedback = Feedback((Mark(plus, span),), (Mark(minus),), plus_weight=0.9, minus_weight=0.4)
    encoded = retriever.encode(made / "frame.png")
    found = retriever.search(retriever.refine(encoded, feedback), 50, options=options)

    query = encoded.content.vectors.vectors[0, 0].astype(np.float64)
    own = rows.items == 7
    inside = own & (rows.starts >= span[0]) & (rows.starts <= span[1])
    assert 0 < inside.sum() < own.sum()
    right, wrong = rows.vectors[inside].mean(axis=0), rows.vectors[rows.items == 2].mean(axis=0)
    moved = (query + 0.9 * right - 0.4 * wrong) / (1 + 0.9 - 0.4)
    distances = np.linalg.norm(rows.vectors - moved, axis=1)
    nearest = {key: distances[rows.items == number].min() for number, key in enumerate(keys) if key != minus}
    assert [hit.item.key for hit in found] == sorted(nearest, key=lambda key: nearest[key])
    np.testing.assert_allclose([hit.distance for hit in found], sorted(nearest.values()), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"), [("codes", VectorSearch(rerank=4)), ("clips", VectorSearch("clip", every_clip=True))]
)
def test_what_is_wrong_takes_no_place_of_other_results(name: str, options: VectorSearch, made: Path) -> None:
    retriever = Retriever.open(made / "runs" / name)
    encoded = retriever.encode(made / "query.mp4", options=options)
    wrong = [hit.item.key for hit in retriever.search(encoded, 2, options=options)]
    feedback = Feedback(minus=tuple(Mark(key) for key in dict.fromkeys(wrong)), minus_weight=1e-6)
    refined = retriever.refine(encoded, feedback, options=options)
    found = retriever.search(refined, 4, options=options)
    assert len(found) == 4
    everything = replace(options, rerank=None if options.rerank is None else 1000)
    others = [hit for hit in retriever.search(refined, 1000, options=everything) if hit.item.key not in wrong]
    if options.every_clip:
        assert found == others[:4]
    else:
        assert {hit.item.key for hit in found} <= {hit.item.key for hit in others}


def test_vectors_of_length_one_stay_so(tmp_path: Path) -> None:
    index = MediaIndex.create(
        tmp_path / "index", spaces=[Space("frame", 3)], encoder=EncoderRecord("sha256:0", Preprocessing())
    )
    index.add(
        [MediaItem("a", "video"), MediaItem("b", "image")],
        {"frame": Rows(np.eye(3), [0, 0, 1], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0])},
    )
    query = Rows(np.array([[0.0, 0.6, 0.8]], np.float32), [0])
    moved = Feedback((Mark("b"),)).applied(query, index, "frame").vectors[0]
    assert np.linalg.norm(moved) == pytest.approx(1)
    assert moved[2] > 0.9
    chosen = Feedback((Mark("a", (0.9, 1.2)),)).applied(query, index, "frame").vectors[0]
    assert chosen[0] == 0  # the frame at 0 s has no part in it
    far = Feedback((Mark("a", (7.0, 8.0)),)).applied(query, index, "frame").vectors[0]
    assert far[0] > 0  # no frame lies there: all of the item is meant


def test_marks_that_make_no_sense_are_refused(made: Path) -> None:
    retriever = Retriever.open(made / "runs" / "clips")
    encoded = retriever.encode(made / "query.mp4")
    with pytest.raises(ValueError, match=r"an item is right or wrong, got both for 'left/l0.mp4'"):
        retriever.refine(encoded, Feedback((Mark("left/l0.mp4"),), (Mark("left/l0.mp4"),)))
    with pytest.raises(ValueError, match="key 'none' is not in the index"):
        retriever.refine(encoded, Feedback((Mark("none"),)))
    refined = retriever.refine(encoded, Feedback((Mark("left/l0.mp4"),)))
    with pytest.raises(ConfigError, match="sequences are compared in order of time and take no feedback"):
        retriever.search(refined, options=SequenceSearch("dtw"))
    with pytest.raises(ValueError, match="give a query or a text, got None and None"):
        retriever.encode()


def test_a_query_is_laid_beside_its_results(made: Path) -> None:
    retriever = Retriever.open(made / "runs" / "clips")
    video, image = retriever.encode(made / "query.mp4"), retriever.encode(made / "frame.png")
    found = retriever.compare(video, "left/l3.mp4")
    assert isinstance(found, SequenceComparison)
    rows = retriever.index.rows("frame", [retriever.index.id_of("left/l3.mp4")])
    np.testing.assert_array_equal(found.item_times, rows.starts)
    own = video.content.vectors.vectors.reshape(-1, rows.vectors.shape[1])
    expected = np.linalg.norm(own[found.path[:, 0]] - rows.vectors[found.path[:, 1]], axis=1)
    np.testing.assert_allclose(found.distances[tuple(found.path.T)], expected, rtol=1e-4, atol=1e-4)
    assert retriever.compare(image, "left/l3.mp4") is None
    with pytest.raises(ValueError, match="key 'none' is not in the index"):
        retriever.compare(video, "none")
    things = Retriever.open(made / "runs" / "things")
    place = things.compare(things.encode(made / "pictures" / "p1.png"), "p1.png")
    assert isinstance(place, RegionComparison)
    assert place.box is not None
    assert len(place.points) == len(place.query_points) > 0
