"""Cells that are kept on disk: used at once, grown with the index, and whole after any change or damage."""

from __future__ import annotations

import numpy as np
import pytest
from index_results import keys_of
from reference.nearest import euclidean_distances
from signed_manifests import resign

import jaxret.index.segment as segment_module
from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, Rows, SearchOptions, Space


def grown(make, parts, *, cells_after=1, dtype="float32"):
    """600 items of one to three clustered rows, added in parts; cells are made after the first ones."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((20, 6))
    counts = rng.integers(1, 4, 600)
    vectors = (centres[rng.integers(0, 20, counts.sum())] + 0.3 * rng.standard_normal((counts.sum(), 6))).astype(dtype)
    ends = np.concatenate([[0], np.cumsum(counts)])
    index = make.empty(Space("frame", 6, dtype=dtype))
    for number, numbers in enumerate(np.split(np.arange(600), parts)):
        part = slice(ends[numbers[0]], ends[numbers[-1] + 1])
        rows = Rows(vectors[part], np.repeat(np.arange(len(numbers)), counts[numbers]))
        index.add([make.item(f"{i:03}") for i in numbers], {"frame": rows})
        if number + 1 == cells_after:
            index.make_cells("frame", 12)
    return index, (centres[:8] + 0.3 * rng.standard_normal((8, 6))).astype(np.float32)


def found(index, queries, probes, k=20):
    result = index.search("frame", queries, k, options=SearchOptions(probes=probes))
    return [
        (index.items[i].key if i >= 0 else None, d) for i, d in zip(result.ids.flat, result.distances.flat, strict=True)
    ]


def cell_files(index):
    files = (str(path.relative_to(index.folder)) for path in index.folder.rglob("*.npy"))
    return sorted(file for file in files if "cells" in file)


def test_what_is_found_does_not_depend_on_how_the_index_grew(make):
    index, queries = grown(make, [100, 130, 400])
    assert index.cells == {"frame": 12}
    before = {probes: found(index, queries, probes) for probes in (1, 3, 12)}
    assert before[1] != before[12]
    vectors = index.rows("frame")
    centroids = index._snapshot.centroids["frame"]
    cell_of = euclidean_distances(vectors.vectors, centroids).argmin(axis=1)
    near = euclidean_distances(queries, centroids).argsort(axis=1, kind="stable")[:, :3]
    for q, query in enumerate(queries):
        distances = euclidean_distances(query, vectors.vectors)[0]
        inside = np.isin(cell_of, near[q])
        expected = sorted(
            (float(np.float32(distances[inside & (vectors.items == item)].min())), item)
            for item in np.unique(vectors.items[inside])
        )[:20]
        got = [(float(d), key) for key, d in before[3][20 * q : 20 * q + 20]]
        assert [(index.items[item].key) for _, item in expected] == [key for _, key in got]
        np.testing.assert_allclose([d for d, _ in got], [d for d, _ in expected], rtol=1e-6)
    index.compact()
    again = MediaIndex.open(index.folder)
    again.verify()
    assert {probes: found(again, queries, probes) for probes in before} == before
    exact = index.search("frame", queries, 20)
    assert found(index, queries, 12) == [
        (index.items[i].key, d) for i, d in zip(exact.ids.flat, exact.distances.flat, strict=True)
    ]


def test_cells_on_disk_are_not_made_again(make, monkeypatch):
    index, queries = grown(make, 4, cells_after=4, dtype="float16")
    monkeypatch.setattr(segment_module, "CentroidIndex", None)
    assert len(found(MediaIndex.open(index.folder), queries, 2)) == 160


def test_new_cells_take_the_place_of_old_ones_and_none_are_left_behind(make):
    index, queries = grown(make, 3)
    reader = MediaIndex.open(index.folder)
    seen = found(reader, queries, 2)
    index.make_cells("frame", 5, seed=1)
    assert index.cells == {"frame": 5}
    assert found(reader, queries, 2) == seen  # keeps the revision that it opened
    named = sorted(
        [file.file for entry in index._snapshot.manifest.segments for file in entry.cells["frame"].values()]
        + [index._snapshot.manifest.centroids["frame"].file]
    )
    assert cell_files(index) == named
    assert len(named) == 10
    index.drop_cells("frame")
    assert index.cells == {}
    index.add([make.item("later")], {"frame": make.rows([[0.0] * 6])})
    assert cell_files(index) == []
    index.drop_cells("frame")
    index.verify()


def test_removed_items_are_not_found_and_an_emptied_index_grows_again(make):
    index, queries = grown(make, 2)
    gone = keys_of(index.search("frame", queries[:1], 5))
    index.remove(gone)
    assert not {key for key, _ in found(index, queries, 3)} & set(gone)
    index.remove([item.key for item in index.items])
    index.compact()
    assert found(index, queries[:1], 3, k=2) == [(None, np.inf)] * 2
    index.add([make.item("new")], {"frame": make.rows([[1.0] * 6])})
    assert index.cells == {"frame": 12}
    assert found(index, np.ones((1, 6), np.float32), 1, k=1) == [("new", 0.0)]


def test_recall_of_an_emptied_index_names_the_space(make):
    index = make.empty()
    index.add([make.item("a")], {"frame": make.rows(np.eye(3))})
    index.make_cells("frame", 2)
    index.remove(["a"])
    with pytest.raises(ValueError, match="space 'frame' has no vectors to search with"):
        index.cell_recall("frame", [1])


def test_recall_is_what_a_twin_counts(make):
    index, _ = grown(make, 3)
    exact, *some = index.cell_recall("frame", [1, 3, 99], k=5, queries=600)
    assert (exact.probes, exact.recall, exact.share) == (None, 1.0, 1.0)
    assert [row.probes for row in some] == [1, 3, 99]
    assert some[0].recall < some[1].recall < some[2].recall == 1.0
    assert some[0].share < some[1].share < some[2].share == 1.0
    assert all(row.seconds > 0 for row in some)
    rows = index.rows("frame")
    first = np.searchsorted(rows.items, np.arange(600))
    hits = []
    for item, query in enumerate(rows.vectors[first]):
        near = [
            set(
                [i for i in index.search("frame", query, 6, options=SearchOptions(probes=probes)).ids[0] if i != item][
                    :5
                ]
            )
            for probes in (1, None)
        ]
        hits.append(len(near[0] & near[1]) / 5)
    assert some[0].recall == pytest.approx(np.mean(hits), abs=0.05)  # another row of an item may be the query


def test_an_index_of_version_2_opens_and_gets_cells(make):
    index = make.filled()

    def as_version_2(body):
        assert body.pop("centroids") == {}
        assert [segment.pop("cells") for segment in body["segments"]] == [{}] * len(body["segments"])
        body["format_version"] = 2

    resign(index.folder, as_version_2)
    old = MediaIndex.open(index.folder)
    assert old.cells == {}
    old.make_cells("frame", 2)
    assert keys_of(old.search("frame", np.zeros(3), 4, options=SearchOptions(probes=2))) == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("offsets", lambda data: data[:-8] + b"\0" * 8, "offsets must rise from 0 over 12 cells"),
        ("rows", lambda data: data[:-8] + b"\x7f" * 8, "cells name rows that the index does not have"),
        ("vectors", lambda data: data[:-4] + np.array([np.nan], "<f4").tobytes(), "is damaged: it is not finite"),
    ],
)
def test_damage_is_named_and_verify_finds_all_of_it(make, monkeypatch, name, change, message):
    index, queries = grown(make, 1)
    monkeypatch.setattr(segment_module, "SMALL_FILE", -1)
    (path,) = index.folder.glob(f"segments/*/frame.cells-*.{name}.npy")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(IndexFormatError, match=message):
        found(MediaIndex.open(index.folder), queries, 12, k=600)
    with pytest.raises(IndexFormatError, match=rf"frame.cells-\d+.{name}.npy: was altered"):
        MediaIndex.open(index.folder).verify()


def test_verify_finds_cells_of_other_vectors(make, monkeypatch):
    index, _ = grown(make, 1)
    (entry,) = index._snapshot.manifest.segments
    path = index.folder / entry.cells["frame"]["vectors"].file
    path.write_bytes(path.read_bytes()[:-4] + np.array([0.5], "<f4").tobytes())
    monkeypatch.setattr(segment_module.Segment, "_check_sum", lambda self, file: None)
    with pytest.raises(IndexFormatError, match="the vectors of the cells are not those of the rows"):
        MediaIndex.open(index.folder).verify()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda index: index.make_cells("frame", 7),
            ValueError,
            "cells must be at most the 6 vectors of space 'frame', got 7",
        ),
        (lambda index: index.make_cells("frame", 0), ValueError, "cells must be at least 1, got 0"),
        (lambda index: index.make_cells("frame", 2, seed=-1), ValueError, "seed must be at least 0, got -1"),
        (lambda index: index.make_cells("code", 2), ValueError, "space 'code' holds codes"),
        (lambda index: index.drop_cells("nowhere"), ValueError, "space must be one of frame, code, got 'nowhere'"),
        (lambda index: index.cell_recall("frame", [1]), ValueError, r"one that has cells \(none has\), got 'frame'"),
    ],
)
def test_refusals(make, call, error, message):
    index = make.empty(Space("frame", 3), Space.of_codes("code", 8))
    index.add([make.item("a")], {"frame": make.rows(np.eye(6, 3))})
    with pytest.raises(error, match=message):
        call(index)
    assert index.cells == {}
