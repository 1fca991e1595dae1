"""Spaces of packed codes: stored, searched by scan and by hash tables, and refused, against slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_results import items_of, keys_of
from reference.nearest import hamming_distances
from signed_manifests import resign

import jaxret.index.search.item_search as item_search
import jaxret.index.search.shards as shards
import jaxret.index.segment as segment_module
import jaxret.index.snapshot as snapshot_module
from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, MediaItem, Rows, SearchOptions, Space
from jaxret.rank import HammingIndex, pack_bits

CODES = "segments/000001/code.codes.npy"


def nearest_items(query, items, k, allowed):
    """[(id, bits, row of that item)] of the k nearest allowed items; `items` holds lists of codes."""
    best = []
    for i, rows in enumerate(items):
        if allowed(i) and len(rows):
            bits = hamming_distances(query, np.array(rows, np.uint8))[0]
            best.append((float(bits.min()), i, int(bits.argmin())))
    return [(i, bits, row) for bits, i, row in sorted(best)[:k]]


def filled(make):
    """Two segments, three items, one more removed; bits set in the codes of item rows: 0 and 3; 1; 8 of 16."""
    index = make.empty(Space("clip", 2), Space.of_codes("code", 16))
    codes = make.rows([[0, 0], [7, 0]], [[255, 255]], [[1, 0]], dtype=np.uint8)
    vectors = make.rows([[0, 0], [1, 0]], [[9, 9]], [[2, 0]])
    index.add([make.item("a"), make.item("gone"), make.item("b", source="film")], {"clip": vectors, "code": codes})
    last = {"clip": make.rows([[0, 5]]), "code": make.rows([[255, 0]], dtype=np.uint8)}
    index.add([make.item("c", label="jump")], last)
    index.remove(["gone"])
    return index


# Two bytes of few distinct values: many ties.
CODE = st.tuples(st.sampled_from([0, 1, 3, 255]), st.sampled_from([0, 128]))
ITEM = st.tuples(
    st.sampled_from(["image", "video"]),
    st.sampled_from(["film", "web", "tv"]),
    st.lists(CODE, min_size=1, max_size=7),
    st.booleans(),  # removed later
)


@settings(deadline=None, max_examples=80)
@given(
    segments=st.lists(st.lists(ITEM, min_size=1, max_size=6), min_size=1, max_size=4),
    queries=st.lists(CODE, min_size=1, max_size=4),
    k=st.integers(1, 12),
    kinds=st.sampled_from([None, None, "image", {"video"}]),
    excluded=st.lists(st.sampled_from([None, "film", "web", "nowhere"]), min_size=4, max_size=4),
    exclude=st.booleans(),
    compact=st.booleans(),
    multi_index=st.booleans(),
    small=st.booleans(),
)
def test_search_equals_counting_the_bits_of_every_row(
    make_many, segments, queries, k, kinds, excluded, exclude, compact, multi_index, small
):
    index = make_many.empty(Space.of_codes("code", 16))
    kept = []
    for s, segment in enumerate(segments):
        items = [MediaItem(f"{s}/{i}", kind, source=source) for i, (kind, source, _, _) in enumerate(segment)]
        index.add(items, {"code": make_many.rows(*(rows for _, _, rows, _ in segment), dtype=np.uint8)})
        kept += [(item, rows) for item, (_, _, rows, gone) in zip(items, segment, strict=True) if not gone]
    index.remove([f"{s}/{i}" for s, segment in enumerate(segments) for i, entry in enumerate(segment) if entry[3]])
    if compact:
        index.compact()

    with pytest.MonkeyPatch.context() as patch:
        if small:  # tiny blocks, groups and first depths, so that all seams are crossed
            patch.setattr(shards, "BLOCK_ROWS", 2)
            patch.setattr(snapshot_module, "BLOCK_ROWS", 2)
            patch.setattr(item_search, "MAX_CELLS", 3)
            patch.setattr(shards.Shard, "first_depth", lambda shard, k: 1)
            patch.setattr(shards.HashedShard, "first_depth", lambda shard, k: 1)
        found = index.search(
            "code",
            np.array(queries, np.uint8),
            k,
            kinds=kinds,
            exclude_sources=excluded[: len(queries)] if exclude else None,
            threads=1,
            options=SearchOptions(multi_index=multi_index),
        )
    assert found.ids.shape == (len(queries), k)
    for q, query in enumerate(queries):

        def allowed(i, q=q):
            item = kept[i][0]
            wanted = kinds is None or item.kind in ({kinds} if isinstance(kinds, str) else kinds)
            return wanted and not (exclude and item.source == excluded[q])

        wanted = nearest_items(np.array(query, np.uint8), [rows for _, rows in kept], k, allowed)
        n = len(wanted)
        assert found.ids[q].tolist() == [i for i, _, _ in wanted] + [-1] * (k - n)
        assert found.distances[q].tolist() == [bits for _, bits, _ in wanted] + [np.inf] * (k - n)
        assert found.starts[q, :n].tolist() == [float(row) for _, _, row in wanted]
        assert items_of(found, q) == [kept[i][0] for i, _, _ in wanted]


@pytest.mark.parametrize("kinds", [None, "video"])
def test_hash_tables_give_the_scan_on_a_gallery_that_they_prune(make, kinds):
    """Clustered codes of several rows an item, every third item removed: few candidates, the same answers."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 2, (1000, 64))
    codes = pack_bits(centres[rng.integers(0, 1000, 80_000)] ^ (rng.random((80_000, 64)) < 0.02), 1)
    index = make.empty(Space.of_codes("code", 64))
    for s in range(2):
        items = [make.item(f"{s}/{i}", "image" if i % 5 == 0 else "video", source=f"film{i % 7}") for i in range(2000)]
        index.add(items, {"code": Rows(codes[40_000 * s : 40_000 * (s + 1)], np.repeat(np.arange(2000), 20))})
    index.remove([f"{s}/{i}" for s in range(2) for i in range(0, 2000, 3)])
    queries, sources = codes[::13332], [f"film{i % 7}" for i in range(7)]
    options = {"kinds": kinds, "exclude_sources": sources}
    for k in (1, 10, 400, 5000):
        scan = index.search("code", queries, k, **options)
        probed = index.search("code", queries, k, options=SearchOptions(multi_index=True), **options)
        for field in ("ids", "distances", "starts", "ends"):
            np.testing.assert_array_equal(getattr(probed, field), getattr(scan, field))
    tables = index._snapshot.segments[0].hash_tables("code")
    assert np.median(tables.topk(queries, 10).candidates) < len(tables) / 20


def test_hash_tables_are_built_once_a_segment_and_outlive_changes(make, monkeypatch):
    made = []
    monkeypatch.setattr(segment_module, "HammingIndex", lambda width: made.append(width) or HammingIndex(width))
    index, query = filled(make), np.zeros(2, np.uint8)
    index.search("code", query, 2)
    assert made == []
    assert index.search("code", query, 9, options=SearchOptions(multi_index=True)).ids[0, :4].tolist() == [0, 1, 2, -1]
    index.search("code", query, 2, kinds="video", options=SearchOptions(multi_index=True))
    assert made == [2, 2]
    index.remove(["a"])
    index.add([make.item("d")], {"code": make.rows([[1, 1]], dtype=np.uint8)})
    found = index.search("code", query, 4, options=SearchOptions(multi_index=True))
    assert keys_of(found) == ["b", "d", "c"]
    assert made == [2, 2, 2]


def test_codes_live_through_opening_removing_and_compacting(make):
    index = filled(make)
    again = MediaIndex.open(index.folder)
    assert again.spaces["code"] == Space("code", 16, "code", "uint8", ("hamming",))
    found = again.search("code", np.array([[0, 0], [255, 0]], np.uint8), 4)
    assert keys_of(found) == ["a", "b", "c"]
    assert found.distances.tolist() == [[0, 1, 8, np.inf], [0, 5, 7, np.inf]]
    assert found.starts[1, 1] == 1.0
    for _, rows in again._snapshot.segment_rows("code"):
        assert isinstance(rows.vectors, np.memmap)
        assert not rows.vectors.flags.writeable
    before = again.rows("code")
    assert before.vectors.dtype == np.uint8
    assert before.vectors.tolist() == [[0, 0], [7, 0], [1, 0], [255, 0]]
    again.verify()
    again.compact()
    again.verify()
    after = MediaIndex.open(index.folder).rows("code")
    for field in ("vectors", "items", "starts", "ends"):
        np.testing.assert_array_equal(getattr(after, field), getattr(before, field))
    assert np.load(index.folder / "segments" / "000003" / "code.codes.npy").tolist() == before.vectors.tolist()
    assert again.count_rows("code") == 4


def test_the_rows_of_some_items_alone(make):
    index = filled(make)
    for space in ("code", "clip"):
        whole = index.rows(space)
        for ids in ([], [0], [2, 0], [1], [2, 2, 1, 0]):
            some = index.rows(space, ids)
            inside = np.isin(whole.items, ids)
            for field in ("vectors", "items", "starts", "ends"):
                np.testing.assert_array_equal(getattr(some, field), getattr(whole, field)[inside])
    with pytest.raises(ValueError, match=r"items must be ids in 0 \.\. 2, got \[3\]"):
        index.rows("code", [3])
    with pytest.raises(ValueError, match="items must be ids"):
        index.rows("code", [-1])


def test_items_without_codes_are_not_found_and_an_empty_space_answers(make):
    index = make.empty(Space("frame", 2), Space.of_codes("code", 8))
    index.add(
        [make.item("photo", "image")],
        {"frame": make.rows([[1.0, 0.0]]), "code": Rows(np.zeros((0, 1), np.uint8), [])},
    )
    for multi_index in (False, True):
        found = index.search("code", np.zeros(1, np.uint8), 2, options=SearchOptions(multi_index=multi_index))
        assert found.ids.tolist() == [[-1, -1]]
    assert index.rows("code").vectors.shape == (0, 1)
    assert not index.searchable("code").any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"vectors": np.zeros(2)}, TypeError, r"vectors must have the dtype uint8 \(codes from pack_bits\)"),
        ({"vectors": np.zeros(3, np.uint8)}, ValueError, r"2 bytes \(16 bits\) for space 'code', got 3"),
        ({"vectors": np.zeros((0, 2), np.uint8)}, ValueError, "vectors must not be empty"),
        ({"metric": "euclidean"}, ValueError, "metric must be one of hamming, got 'euclidean'"),
        ({"min_cosine": 0.5}, ValueError, "min_cosine needs a space of vectors, but space 'code' holds codes"),
        ({"space": "clip", "vectors": np.zeros(2), "multi_index": True}, ValueError, "multi_index needs .* codes"),
        ({"space": "clip", "vectors": np.zeros(2), "metric": "hamming"}, ValueError, "euclidean, cosine, got 'ham"),
        ({"space": "clip"}, TypeError, "vectors must have a float dtype"),
        ({"k": 0}, ValueError, "k must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_search_refuses(make, change, error, message):
    with pytest.raises(error, match=message):
        make.search(filled(make), **{"space": "code", "vectors": np.zeros(2, np.uint8), "k": 1, **change})


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [
        (np.zeros((1, 2)), TypeError, "codes of space 'code' must have the dtype uint8"),
        (np.zeros((1, 3), np.uint8), ValueError, r"codes of space 'code' must have 2 bytes \(16 bits\), got 3"),
        (np.zeros(2, np.uint8), ValueError, r"codes of space 'code' must have the shape \(N, bytes\), got \(2,\)"),
        (np.zeros((2, 2), np.uint8), ValueError, "items of space 'code' must be 2 whole numbers"),
    ],
)
def test_add_refuses_and_adds_nothing(make, codes, error, message):
    index = make.empty(Space.of_codes("code", 16))
    with pytest.raises(error, match=message):
        index.add([make.item("x")], {"code": Rows(codes, [0])})
    assert len(MediaIndex.open(index.folder)) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dimension": 12}, "dimension of space 'code' must be whole bytes of bits, got 12"),
        ({"dimension": 0}, "dimension of space 'code' must be at least 1, got 0"),
        ({"dtype": "float32"}, "space 'code' of codes must have dtype uint8 and the metric hamming, got 'float32'"),
        ({"metrics": ("cosine",)}, "the metric hamming, got 'uint8' and cosine"),
    ],
)
def test_spaces_are_checked(fields, message):
    good = {"name": "code", "dimension": 16, "representation": "code", "dtype": "uint8", "metrics": ("hamming",)}
    with pytest.raises(ValueError, match=message):
        Space(**(good | fields))


def test_a_flipped_bit_and_a_lost_byte_are_noticed(make, monkeypatch):
    index = filled(make)
    path = index.folder / CODES
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IndexFormatError, match=r"code.codes.npy: was altered"):
        MediaIndex.open(index.folder)
    with monkeypatch.context() as patch:
        patch.setattr(segment_module, "SMALL_FILE", -1)
        with pytest.raises(IndexFormatError, match=r"code.codes.npy: was altered"):
            MediaIndex.open(index.folder).verify()
        path.write_bytes(whole[:-1])
        with pytest.raises(IndexFormatError, match=r"code.codes.npy: has \d+ bytes where the manifest says"):
            MediaIndex.open(index.folder)


def test_a_manifest_whose_codes_do_not_fit_is_refused(make):
    index = filled(make)

    def narrow(body):
        next(space for space in body["spaces"] if space["name"] == "code")["dimension"] = 24

    resign(index.folder, narrow)
    with pytest.raises(IndexFormatError, match="arrays of space 'code' in segment 000001 do not fit together"):
        MediaIndex.open(index.folder)


def test_rows_that_point_to_no_item_are_noticed(make, monkeypatch):
    index = filled(make)
    monkeypatch.setattr(segment_module, "SMALL_FILE", -1)
    path = index.folder / "segments/000001/code.items.npy"
    path.write_bytes(path.read_bytes()[:-8] + np.array([9], "<i8").tobytes())
    opened = MediaIndex.open(index.folder)
    for use in (lambda: opened.search("code", np.zeros(2, np.uint8), 1), lambda: opened.rows("code", [0])):
        with pytest.raises(IndexFormatError, match=r"code.items.npy: rows point outside the 3 items"):
            use()
