"""Searches that look into some cells only: what lies there is found, ordered and measured as by an exact search."""

from __future__ import annotations

import numpy as np
import pytest
from index_results import keys_of
from reference.nearest import euclidean_distances

import jaxret.index.search.item_search as item_search
import jaxret.index.search.shards as shards
import jaxret.index.segment as segment_module
from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, Rows, SearchOptions, Space
from jaxret.rank import CentroidIndex

FIELDS = ("ids", "distances", "starts", "ends")


def clustered(make, dtype="float32", segments=2, items=200, rows=4):
    """Clustered vectors, several rows an item, every fourth item removed."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, 8))
    index = make.empty(Space("frame", 8, dtype=dtype))
    for s in range(segments):
        vectors = centres[rng.integers(0, 40, items * rows)] + 0.2 * rng.standard_normal((items * rows, 8))
        made = [make.item(f"{s}/{i}", "image" if i % 5 == 0 else "video", source=f"f{i % 7}") for i in range(items)]
        index.add(made, {"frame": Rows(vectors.astype(np.float32), np.repeat(np.arange(items), rows))})
    index.remove([f"{s}/{i}" for s in range(segments) for i in range(0, items, 4)])
    queries = (centres[:6] + 0.2 * rng.standard_normal((6, 8))).astype(np.float32)
    return index, queries


def nearest_in_cells(index, query, k, probes, allowed):
    """(ids, distances) of the k nearest allowed items by rows in the nearest cells of each segment."""
    best = {}
    for number, positions in enumerate(index._snapshot.positions):
        rows = index._snapshot.segments[number].rows("frame")
        centroids = index._snapshot.cells(number, "frame").centroids
        cell_of = euclidean_distances(rows.vectors, centroids).argmin(axis=1)
        near = np.argsort(euclidean_distances(query, centroids)[0], kind="stable")[:probes]
        distances = euclidean_distances(query, rows.vectors)[0]
        for row in np.flatnonzero(np.isin(cell_of, near)):
            item = int(positions[rows.items[row]])
            if item >= 0 and allowed(index.items[item]):
                best[item] = min(best.get(item, np.inf), distances[row])
    order = sorted(best, key=lambda item: (best[item], item))[:k]
    return order, [best[item] for item in order]


@pytest.mark.parametrize(
    ("dtype", "kinds", "small", "kept"),
    [("float32", None, True, False), ("float16", "video", False, False), ("float16", "video", True, True)],
)
def test_finds_what_lies_in_the_probed_cells(make, monkeypatch, dtype, kinds, small, kept):
    index, queries = clustered(make, dtype)
    if kept:
        index.make_cells("frame", 30)
        index = MediaIndex.open(index.folder)
    if small:  # first depths of 1 and small groups: every query goes deeper
        monkeypatch.setattr(shards.WholeShard, "first_depth", lambda shard, k: 1)
        monkeypatch.setattr(item_search, "MAX_CELLS", 100)
    sources = ["f1", None, "f2", "f3", "nowhere", "f4"]
    short = 0
    for probes, k in ((1, 5), (3, 10), (5, 400), (2, 60)):
        found = index.search(
            "frame", queries, k, options=SearchOptions(probes=probes), kinds=kinds, exclude_sources=sources
        )
        for q, query in enumerate(queries):

            def allowed(item, q=q):
                return (kinds is None or item.kind == kinds) and item.source != sources[q]

            ids, distances = nearest_in_cells(index, query, k, probes, allowed)
            assert found.ids[q].tolist() == ids + [-1] * (k - len(ids))
            np.testing.assert_array_equal(found.distances[q, : len(ids)], np.array(distances, np.float32))
            short += len(ids) < k
    assert short > 3  # cells that hold fewer than k items were met


@pytest.mark.parametrize("min_cosine", [None, 0.9])
def test_probing_all_cells_is_the_exact_search(make, min_cosine):
    index, queries = clustered(make)
    for k in (1, 10, 500):
        exact = index.search("frame", queries, k, options=SearchOptions(min_cosine=min_cosine))
        found = index.search("frame", queries, k, options=SearchOptions(min_cosine=min_cosine, probes=10_000))
        few = index.search("frame", queries, k, options=SearchOptions(min_cosine=min_cosine, probes=1))
        for field in (*FIELDS, "cosines") if min_cosine else FIELDS:
            np.testing.assert_array_equal(getattr(found, field), getattr(exact, field))
        if k == 500:
            assert few.counts.sum() < exact.counts.sum()


def test_few_cells_hold_most_of_the_answer(make):
    index, queries = clustered(make, items=1000)
    exact, found = (
        index.search("frame", queries, 10, options=SearchOptions(probes=probes)).ids for probes in (None, 6)
    )
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]) > 0.9
    assert index._snapshot.cells(0, "frame").cells == 63  # the root of 4,000 rows


def test_cells_are_made_once_a_segment_and_outlive_changes(make, monkeypatch):
    made = []

    class Counted(CentroidIndex):
        @classmethod
        def fit(cls, vectors):
            made.append(len(vectors))
            return super().fit(vectors)

    monkeypatch.setattr(segment_module, "CentroidIndex", Counted)
    index = make.filled()
    query = np.zeros(3)
    index.search("frame", query, 2)
    assert made == []
    exact = index.search("frame", query, 4)
    for _ in range(2):
        assert index.search("frame", query, 4, options=SearchOptions(probes=9)).ids.tolist() == exact.ids.tolist()
    index.search("frame", query, 4, kinds="video", options=SearchOptions(probes=9))
    assert made == [3, 2, 1]
    index.add([make.item("e")], {"frame": make.rows([[0.5, 0, 0]])})
    index.remove(["a"])
    found = index.search("frame", query, 4, options=SearchOptions(probes=9))
    assert keys_of(found) == ["e", "c", "d"]
    assert made == [3, 2, 1, 1]


def test_an_empty_index_and_a_space_without_rows_answer(make):
    index = make.empty(Space("frame", 2), Space("clip", 2))
    assert index.search("frame", np.zeros(2), 2, options=SearchOptions(probes=1)).ids.tolist() == [[-1, -1]]
    index.add([make.item("a")], {"frame": make.rows([[1.0, 0.0]])})
    assert index.search("clip", np.zeros(2), 2, options=SearchOptions(probes=1)).ids.tolist() == [[-1, -1]]
    assert index.search("frame", np.zeros(2), 2, options=SearchOptions(probes=1)).ids.tolist() == [[0, -1]]


def test_stored_rows_that_are_not_finite_are_named(make, monkeypatch):
    index = make.filled()
    monkeypatch.setattr(segment_module, "SMALL_FILE", -1)
    path = index.folder / "segments/000001/frame.vectors.npy"
    path.write_bytes(path.read_bytes()[:-4] + np.array([np.nan], "<f4").tobytes())
    with pytest.raises(IndexFormatError, match=r"frame.vectors.npy: vectors must be finite .* `verify\(\)` checks all"):
        MediaIndex.open(index.folder).search("frame", np.zeros(3), 1, options=SearchOptions(probes=1))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"probes": 0}, ValueError, "probes must be at least 1, got 0"),
        ({"probes": 1.5}, TypeError, "probes must be an integer, got 1.5"),
        ({"metric": "cosine"}, ValueError, "probes needs metric 'euclidean' .* got 'cosine'"),
        (
            {"space": "code", "vectors": np.zeros(1, np.uint8)},
            ValueError,
            "probes needs a space of vectors, .*code",
        ),
        ({"multi_index": True}, ValueError, "multi_index needs a space of codes"),
    ],
)
def test_search_refuses(make, change, error, message):
    index = make.empty(Space("frame", 3), Space.of_codes("code", 8))
    with pytest.raises(error, match=message):
        make.search(index, **{"space": "frame", "vectors": np.zeros(3), "k": 1, "probes": 2, **change})
