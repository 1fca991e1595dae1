"""Searching: exact distinct items, filters, PAR, spans; against a slow twin that measures every row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_results import items_of, keys_of
from reference.item_search import nearest_items

import jaxret.index.search.item_search as item_search
import jaxret.index.search.shards as shards
import jaxret.index.snapshot as snapshot_module
from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, MediaItem, SearchOptions, Space

# Few distinct whole numbers: many exact ties, and distances that are exact in float32.
VECTOR = st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.0]), min_size=2, max_size=2)
ITEM = st.tuples(
    st.sampled_from(["image", "video"]),
    st.sampled_from(["film", "web", "tv"]),
    st.lists(VECTOR, min_size=1, max_size=7),
    st.booleans(),  # removed later
)


@settings(deadline=None, max_examples=100)
@given(
    segments=st.lists(st.lists(ITEM, min_size=1, max_size=6), min_size=1, max_size=4),
    queries=st.lists(VECTOR, min_size=1, max_size=4),
    k=st.integers(1, 12),
    metric=st.sampled_from(["euclidean", "cosine"]),
    min_cosine=st.sampled_from([None, None, 0.0, 0.7]),
    kinds=st.sampled_from([None, None, "image", {"video"}, {"image", "video"}]),
    excluded=st.lists(st.sampled_from([None, "film", "web", "nowhere"]), min_size=4, max_size=4),
    exclude=st.booleans(),
    compact=st.booleans(),
    dtype=st.sampled_from(["float32", "float16"]),
    small=st.booleans(),
)
def test_search_equals_measuring_every_row(
    make_many, segments, queries, k, metric, min_cosine, kinds, excluded, exclude, compact, dtype, small
):
    if min_cosine is not None:
        metric = "euclidean"
    index = make_many.empty(Space("frame", 2, dtype=dtype))
    kept = []
    for s, segment in enumerate(segments):
        items = [MediaItem(f"{s}/{i}", kind, source=source) for i, (kind, source, _, _) in enumerate(segment)]
        index.add(items, {"frame": make_many.rows(*(rows for _, _, rows, _ in segment))})
        kept += [(item, rows) for item, (_, _, rows, gone) in zip(items, segment, strict=True) if not gone]
    index.remove([f"{s}/{i}" for s, segment in enumerate(segments) for i, entry in enumerate(segment) if entry[3]])
    if compact:
        index.compact()
    assert [item.key for item in index.items] == [item.key for item, _ in kept]

    with pytest.MonkeyPatch.context() as patch:
        if small:  # tiny blocks, groups and first depths, so that all seams are crossed
            patch.setattr(shards, "BLOCK_ROWS", 2)
            patch.setattr(snapshot_module, "BLOCK_ROWS", 2)
            patch.setattr(item_search, "MAX_CELLS", 3)
            patch.setattr(shards.Shard, "first_depth", lambda shard, k: 1)
        found = index.search(
            "frame",
            np.array(queries, np.float32),
            k,
            kinds=kinds,
            exclude_sources=excluded[: len(queries)] if exclude else None,
            threads=1,
            options=SearchOptions(metric=metric, min_cosine=min_cosine),
        )
    assert found.ids.shape == found.distances.shape == found.starts.shape == (len(queries), k)
    for q, query in enumerate(queries):

        def allowed(i, q=q):
            item = kept[i][0]
            wanted = kinds is None or item.kind in ({kinds} if isinstance(kinds, str) else kinds)
            return wanted and not (exclude and item.source == excluded[q])

        wanted = nearest_items(query, [rows for _, rows in kept], k, metric, allowed, min_cosine)
        n = len(wanted)
        assert found.ids[q].tolist() == [i for i, _, _ in wanted] + [-1] * (k - n)
        np.testing.assert_allclose(found.distances[q, :n], [d for _, d, _ in wanted], rtol=1e-6, atol=1e-7)
        assert np.isinf(found.distances[q, n:]).all()
        # The best row's span says which row it was, the first of equals.
        assert found.starts[q, :n].tolist() == [float(row) for _, _, row in wanted]
        assert found.ends[q, :n].tolist() == [row + 0.5 for _, _, row in wanted]
        assert np.isnan(found.starts[q, n:]).all()
        assert items_of(found, q) == [kept[i][0] for i, _, _ in wanted]
        if min_cosine is not None:
            assert (found.cosines[q, :n] > min_cosine).all()
            assert np.isneginf(found.cosines[q, n:]).all()
        else:
            assert found.cosines is None


@pytest.mark.parametrize("seed", range(6))
def test_searching_deeper_stops_exactly_when_it_may(make, monkeypatch, seed):
    """Many more items than k, rows of an item close together, ties within and between segments."""
    monkeypatch.setattr(shards.Shard, "first_depth", lambda shard, k: 1)
    rng = np.random.default_rng(seed)
    index, rows_of = make.empty(Space("frame", 1)), []
    for s in range(3):
        segment = [
            (rng.integers(0, 12) + rng.integers(0, 3, (rng.integers(1, 6), 1))).astype(np.float32) for _ in range(8)
        ]
        index.add([make.item(f"{s}/{i}") for i in range(8)], {"frame": make.rows(*segment)})
        rows_of += segment
    queries = rng.integers(0, 14, (12, 1)).astype(np.float32)
    for k in range(1, 10):
        found = index.search("frame", queries, k)
        for q, query in enumerate(queries):
            wanted = nearest_items(query, rows_of, k, "euclidean", lambda i: True)
            assert found.ids[q].tolist() == [i for i, _, _ in wanted]
            assert found.starts[q].tolist() == [row for _, _, row in wanted]


def test_one_item_that_crowds_out_the_others_is_searched_past(make):
    index = make.empty(Space("frame", 2))
    near = [[0.001 * i, 0.0] for i in range(500)]
    index.add(
        [make.item("crowd"), make.item("far"), make.item("farther")],
        {"frame": make.rows(near, [[10.0, 0.0]], [[20.0, 0.0]])},
    )
    found = index.search("frame", [0.0, 0.0], 3)
    assert found.ids.tolist() == [[0, 1, 2]]
    assert found.distances.tolist() == [[0.0, 10.0, 20.0]]


def test_the_crowd_may_be_the_excluded_source(make):
    index = make.empty(Space("frame", 2))
    index.add([make.item(f"own{i}", source="own") for i in range(300)], {"frame": make.rows(*[[[0.0, 0.0]]] * 300)})
    index.add([make.item("other")], {"frame": make.rows([[7.0, 0.0]])})
    found = index.search("frame", [[0.0, 0.0], [0.0, 0.0]], 2, exclude_sources=["own", None])
    assert found.ids.tolist() == [[300, -1], [0, 1]]


def test_results_are_the_same_in_one_segment_and_in_many(make):
    rng = np.random.default_rng(0)
    vectors = rng.integers(-3, 4, (200, 4)).astype(np.float32)
    whole, parts = make.empty(Space("clip", 4)), make.empty(Space("clip", 4))
    items = [make.item(f"v{i}") for i in range(50)]
    whole.add(items, {"clip": make.rows(*vectors.reshape(50, 4, 4))})
    for start in range(0, 50, 7):
        parts.add(items[start : start + 7], {"clip": make.rows(*vectors.reshape(50, 4, 4)[start : start + 7])})
    queries = rng.integers(-3, 4, (20, 4)).astype(np.float32)
    for k in (1, 5, 50, 80):
        one, many = whole.search("clip", queries, k), parts.search("clip", queries, k)
        np.testing.assert_array_equal(one.ids, many.ids)
        np.testing.assert_array_equal(one.distances, many.distances)
        np.testing.assert_array_equal(one.starts, many.starts)
    parts.compact()
    np.testing.assert_array_equal(parts.search("clip", queries, 9).ids, whole.search("clip", queries, 9).ids)


def test_rank_all_is_the_whole_ranking(make):
    index = make.filled()
    found = index.rank_all("frame", np.zeros((2, 3), np.float32), exclude_sources=["film", None])
    assert found.ids.tolist() == [[0, 2, -1], [0, 1, 2]]
    assert make.empty().rank_all("frame", np.zeros(3, np.float32)).ids.tolist() == [[-1]]


def test_par_differs_from_plain_euclidean_and_from_cosine(make):
    index = make.empty(Space("clip", 2))
    rows = make.rows([[0.5, 0.5]], [[3.0, 0.0]], [[0.9, 0.9]])
    index.add([make.item("turned"), make.item("aligned"), make.item("turned more")], {"clip": rows})
    query = [1.0, 0.0]
    assert index.search("clip", query, 3).ids.tolist() == [[0, 2, 1]]
    found = index.search("clip", query, 3, options=SearchOptions(min_cosine=0.9))
    assert found.ids.tolist() == [[1, -1, -1]]
    assert found.cosines[0, 0] == 1.0
    assert found.cosines[0, 0] == 1.0
    # The threshold filters the k nearest; it does not look further.
    assert index.search("clip", query, 2, options=SearchOptions(min_cosine=0.9)).ids.tolist() == [[-1, -1]]
    # Strictly above.
    assert index.search("clip", query, 3, options=SearchOptions(min_cosine=1.0)).ids.tolist() == [[-1, -1, -1]]


def test_a_space_may_hold_rows_of_some_items_only(make):
    index = make.empty(Space("frame", 2), Space("clip", 3, metrics=("cosine",)))
    index.add(
        [make.item("photo", "image"), make.item("film")],
        {
            "frame": make.rows([[1.0, 0.0]], [[0.0, 1.0]]),
            "clip": make.rows([], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        },
    )
    assert index.searchable("clip").tolist() == [False, True]
    assert index.searchable("frame", "image").tolist() == [True, False]
    found = index.search("clip", np.eye(3, dtype=np.float32)[1], 5)
    assert found.ids.tolist() == [[1, -1, -1, -1, -1]]
    assert found.distances[0, 0] == 0.0
    assert found.starts[0, 0] == 1.0
    with pytest.raises(ValueError, match="metric must be one of cosine, got 'euclidean'"):
        index.search("clip", np.ones(3, np.float32), 1, options=SearchOptions(metric="euclidean"))


def test_a_result_does_not_carry_the_whole_item_table(make):
    index = make.filled()
    found = index.search("frame", np.zeros(3, np.float32), 1)
    assert set(found.found) == {0}
    assert keys_of(found) == ["a"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"space": "clips"}, ValueError, "space must be one of frame, got 'clips'"),
        ({"vectors": np.zeros(2, np.float32)}, ValueError, "dimension 3 for space 'frame', got 2"),
        ({"vectors": np.zeros((2, 3), np.int64)}, TypeError, "vectors must have a float dtype"),
        ({"vectors": np.full(3, np.nan)}, ValueError, "vectors must be finite"),
        ({"vectors": np.zeros((0, 3))}, ValueError, "vectors must not be empty"),
        ({"k": 0}, ValueError, "k must be at least 1, got 0"),
        ({"k": 1.5}, TypeError, "k must be an integer"),
        ({"metric": "l1"}, ValueError, "metric must be one of euclidean, cosine, got 'l1'"),
        ({"min_cosine": np.nan}, ValueError, "min_cosine must be finite"),
        ({"min_cosine": "x"}, TypeError, "min_cosine must be a real number"),
        ({"min_cosine": 0.5, "metric": "cosine"}, ValueError, "min_cosine needs metric 'euclidean'"),
        ({"kinds": {"audio"}}, ValueError, r"kinds must be image, video or both, got \['audio'\]"),
        ({"kinds": ()}, ValueError, "kinds must be"),
        ({"exclude_sources": ["a", "b"]}, ValueError, "one source .* for each of 1 queries"),
        ({"exclude_sources": "a"}, ValueError, "one source .* for each of 1 queries, got 'a'"),
        ({"threads": 0}, ValueError, "threads must be at least 1, got 0"),
    ],
)
def test_search_refuses(make, change, error, message):
    index = make.filled()
    arguments = {"space": "frame", "vectors": np.zeros(3, np.float32), "k": 1} | change
    with pytest.raises(error, match=message):
        make.search(index, **arguments)


@pytest.mark.parametrize("where", [None, "kind = 'video'"])
def test_of_several_segments_the_damaged_one_is_named(make, monkeypatch, where):
    monkeypatch.setattr("jaxret.index.segment.SMALL_FILE", 0)
    index = make.empty()
    for segment in range(3):
        items = [MediaItem(f"{segment}/{number}", "image" if number == 1 else "video") for number in range(3)]
        index.add(items, {"frame": make.rows([[0.0] * 3], [[1.0] * 3], [[2.0] * 3])})
    path = index.folder / "segments" / "000002" / "frame.vectors.npy"
    content = bytearray(path.read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    path.write_bytes(content)
    with pytest.raises(IndexFormatError, match=rf"{path}: gallery .*2.* `verify\(\)` checks all"):
        MediaIndex.open(index.folder).search("frame", [0.0, 0.0, 0.0], 2, where=where)
