"""HammingIndex finds exactly what a linear scan finds, and its files fail loudly."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxret.errors import IndexFormatError
from jaxret.rank import HammingIndex, hamming_topk, hamming_within
from jaxret.rank.hamming_cost import table_costs
from jaxret.rank.substring_tables import substring_bounds


def clustered(rng: np.random.Generator, size: int, width: int, flips: float) -> np.ndarray:
    centres = rng.integers(0, 256, (max(1, size // 20), width), np.uint8)
    return centres[rng.integers(0, len(centres), size)] ^ np.packbits(rng.random((size, 8 * width)) < flips, axis=1)


def assert_linear(index: HammingIndex, queries: np.ndarray, codes: np.ndarray, k: int, radius: int) -> None:
    found, scan = index.topk(queries, k), hamming_topk(queries, codes, k)
    np.testing.assert_array_equal(found.ids, scan.ids)
    np.testing.assert_array_equal(found.distances, scan.distances)
    near, linear = index.within(queries, radius), hamming_within(queries, codes, radius)
    np.testing.assert_array_equal(near.offsets, linear.offsets)
    np.testing.assert_array_equal(near.ids, linear.ids)
    np.testing.assert_array_equal(near.distances, linear.distances)


@pytest.fixture
def always_tables(monkeypatch):
    """The tables answer, however few the codes are."""
    monkeypatch.setattr(HammingIndex, "_tables_pay", lambda *_: True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("budget", ["as usual", "endless"])
@pytest.mark.usefixtures("always_tables")
def test_equals_linear_scan(budget, data):
    """Also with an endless budget, so that every query is answered from the tables alone."""
    size, width = data.draw(st.integers(1, 900)), data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    codes = clustered(rng, size, width, data.draw(st.sampled_from([0.0, 0.05, 0.3])))
    queries = np.concatenate([codes[:2] ^ np.uint8(1), rng.integers(0, 256, (1, width), np.uint8)])
    radius = data.draw(st.integers(0, 8 if budget == "endless" else 9 * width))
    index = HammingIndex(width)
    index.add(codes)
    k = data.draw(st.integers(1, min(size, 30)))
    if budget == "as usual":
        assert_linear(index, queries, codes, k, radius)
        return
    tables = index._built(1)
    for popcount in (False, True):
        counts, ids, distances, touched = tables._tables.search(queries, 0, radius, 2**40, 2, popcount)
        linear = hamming_within(queries, codes, radius)
        np.testing.assert_array_equal(counts, linear.counts)
        np.testing.assert_array_equal(ids, linear.ids)
        assert (touched >= counts).all()
    if width <= 3:  # a far k-th neighbour means all values of every substring
        _, ids, distances, _ = tables._tables.search(queries, k, 0, 2**40, 1, True)
        np.testing.assert_array_equal(ids.reshape(-1, k), hamming_topk(queries, codes, k).ids)
        np.testing.assert_array_equal(distances.reshape(-1, k), hamming_topk(queries, codes, k).distances)


def test_progress_ends_with_all_queries_by_scan_and_by_tables(monkeypatch):
    index = HammingIndex(8)
    index.add(clustered(np.random.default_rng(0), 900, 8, 0.05))
    for by_tables in (False, True):
        monkeypatch.setattr(HammingIndex, "_tables_pay", lambda *_, by_tables=by_tables: by_tables)
        for search in (index.topk, index.within):
            calls = []
            search(index.codes[:3], 1, progress=lambda *call, calls=calls: calls.append(call))
            assert calls[-1] == (3, 3)


def test_near_neighbours_touch_few_codes():
    rng = np.random.default_rng(0)
    codes = clustered(rng, 50_000, 8, 0.02)
    index = HammingIndex(8)
    index.add(codes)
    queries = codes[:40].copy()
    assert_linear(index, queries, codes, 5, 4)
    candidates = index.topk(queries, 5).candidates
    assert (candidates >= 5).all()
    assert np.median(candidates) < 1000
    far = index.topk(rng.integers(0, 256, (3, 8), np.uint8), 1000)
    assert (far.candidates == 50_000).all()  # a linear scan, and it says so


@pytest.mark.parametrize(
    ("size", "width", "flips", "k", "radius", "scanned"),
    [
        (2_000, 8, 0.02, 5, 2, True),  # a scan takes a microsecond
        (50_000, 8, 0.02, 5, 2, False),
        (50_000, 8, 0.5, 5, 12, True),  # nothing is near
        (50_000, 8, 0.02, 30_000, 60, True),  # almost all are wanted
        (20_000, 64, 0.02, 5, 8, False),
        (20_000, 64, 0.25, 5, 200, True),
    ],
)
def test_steps_aside_where_a_scan_is_cheaper(size, width, flips, k, radius, scanned):
    rng = np.random.default_rng(0)
    codes = clustered(rng, size, width, flips)
    index = HammingIndex(width)
    index.add(codes)
    queries = codes[:40] ^ np.packbits(rng.random((40, 8 * width)) < flips / 4, axis=1)
    assert_linear(index, queries, codes, k, radius)
    for found in (index.topk(queries, k), index.within(queries, radius)):
        assert (found.candidates == size).all() if scanned else np.median(found.candidates) < size / 10, found


def test_few_codes_make_no_tables():
    index = HammingIndex(8)
    index.add(clustered(np.random.default_rng(0), 10_000, 8, 0.02))
    index.topk(index.codes[:3], 5)
    assert index._tables is None
    index.add(index.codes)
    index.add(index.codes)
    index.topk(index.codes[:3], 5)
    assert len(index._tables.codes) == 40_000


def test_the_same_question_goes_the_same_way():
    """Costs are counted: what was searched before, and how busy the machine is, changes nothing."""
    codes = clustered(np.random.default_rng(0), 50_000, 16, 0.1)
    orders = ([1, 300, 5, 40, 63, 7], [7, 63, 40, 5, 300, 1])
    answers = []
    for ks in orders:
        index = HammingIndex(16)
        index.add(codes)
        answers.append({k: index.topk(codes[:9], k).candidates.tolist() for k in ks})
    assert answers[0] == answers[1]


def test_buckets_are_counted_as_they_are_probed():
    """One table after another, each a bit further in every round, by brute force over the values of 8 bits."""
    bounds = substring_bounds(24, 256)
    assert bounds.tolist() == [0, 8, 16, 24]
    probed = [
        sum(sum(bin(value).count("1") == step // 3 for value in range(256)) for step in range(distance + 1))
        for distance in range(9)
    ]
    nothing = np.zeros(9, np.int64)
    costs = table_costs(np.arange(9, dtype=np.float32), nothing, bounds, 1, 3)
    np.testing.assert_allclose(costs / costs[0], probed)


def test_grows_by_parts(monkeypatch, always_tables):
    monkeypatch.setattr("jaxret.rank.hamming_index._TAIL_CODES", 50)
    rng = np.random.default_rng(1)
    codes = clustered(rng, 900, 6, 0.1)
    index = HammingIndex(6)
    built = []
    for start in range(0, 900, 60):
        index.add(codes[start : start + 60])
        assert len(index) == start + 60
        assert_linear(index, codes[:3] ^ np.uint8(2), codes[: start + 60], min(40, start + 60), 3)
        built.append(len(index._tables.codes))
    assert len(set(built)) > 2  # built again now and then
    assert len(set(built)) < len(built)  # not every time
    index.add(codes[0])
    np.testing.assert_array_equal(index.codes, np.concatenate([codes, codes[:1]]))
    with pytest.raises(ValueError, match="read-only"):
        index.codes[0] = 0


@pytest.mark.parametrize("code_bytes", [1, 8, 64, 100])
def test_codes_begin_where_a_line_of_the_cache_does(code_bytes):
    index = HammingIndex(code_bytes)
    for count in (3, 1, 5000):
        index.add(np.full((count, code_bytes), count % 256, np.uint8))
        assert index.codes.ctypes.data % 64 == 0
    assert index.codes[:, 0].tolist() == [3] * 3 + [1] + [5000 % 256] * 5000


def test_k_reaches_into_the_tail(always_tables):
    codes = np.arange(12, dtype=np.uint8)[:, None]
    index = HammingIndex(1)
    index.add(codes[:2])
    index.topk(codes[:1], 1)
    index.add(codes[2:])
    assert_linear(index, codes, codes, 12, 3)


@pytest.mark.parametrize("verify", [True, False])
def test_save_and_load(tmp_path, verify, always_tables):
    rng = np.random.default_rng(2)
    codes = clustered(rng, 700, 5, 0.1)
    index = HammingIndex(5)
    index.add(codes)
    index.save(tmp_path / "deep" / "index")
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["index"]
    loaded = HammingIndex.load(tmp_path / "deep" / "index", verify=verify)
    assert len(loaded) == 700
    assert loaded.code_bytes == 5
    assert_linear(loaded, codes[:9], codes, 7, 4)
    loaded.add(codes[:3])
    assert_linear(loaded, codes[:9], np.concatenate([codes, codes[:3]]), 7, 4)
    with pytest.raises(FileExistsError, match="index"):
        index.save(tmp_path / "deep" / "index")


@pytest.fixture
def saved(tmp_path):
    index = HammingIndex(4)
    index.add(clustered(np.random.default_rng(3), 300, 4, 0.1))
    index.save(tmp_path / "index")
    return tmp_path / "index"


FILES = ["manifest.json", "codes.npy", "bucket_offsets.npy", "bucket_ids.npy"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "garbage", "one byte", "text"])
@pytest.mark.parametrize("verify", [True, False])
def test_damaged_files(saved, name, damage, verify):
    path = saved / name
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "one byte":
        verify = True  # only a checksum can see it
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        path.write_bytes(
            {"empty": b"", "half": data[: len(data) // 2], "garbage": b"\x80\x04" * 500, "text": b"[]"}[damage]
        )
    with pytest.raises(IndexFormatError, match=name.split(".")[0]):
        HammingIndex.load(saved, verify=verify)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "other"},
        {"substring_bounds": [0, 32]},
        {"substring_bounds": [0, 8, 16, 24, 31]},
        {"substring_bounds": [1, 8, 16, 24, 32]},
        {"substring_bounds": [0, 16, 8, 24, 32]},
        {"substring_bounds": []},
        {"substring_bounds": None},
        {"substring_bounds": [10**30]},
        {"arrays": {}},
        {"arrays": {"codes": 3, "bucket_ids": None, "bucket_offsets": []}},
    ],
)
def test_edited_manifest(saved, change):
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(IndexFormatError):
        HammingIndex.load(saved, verify=False)


@pytest.mark.parametrize("name", ["bucket_offsets", "bucket_ids"])
@pytest.mark.parametrize("value", [2**32 - 1, 300, 301])
def test_edited_tables_cannot_crash_a_search(saved, name, value, always_tables):
    table = np.load(saved / f"{name}.npy")
    np.save(saved / f"{name}.npy", np.full_like(table, value))
    index = HammingIndex.load(saved, verify=False)
    query = np.zeros((1, 4), np.uint8)
    if name == "bucket_offsets" and value == 300:  # all buckets empty: nothing to notice without the checksum
        index.within(query, 1)
        return
    with pytest.raises(IndexFormatError, match="damaged"):
        index.within(index.codes[:5], 0)


def test_pickled_array_is_refused(saved):
    np.save(saved / "codes.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(IndexFormatError, match=r"codes\.npy"):
        HammingIndex.load(saved)


def test_foreign_folder(tmp_path):
    with pytest.raises(IndexFormatError, match="manifest"):
        HammingIndex.load(tmp_path)
    with pytest.raises(IndexFormatError, match="manifest"):
        HammingIndex.load(tmp_path / "nowhere")


def test_failed_save_leaves_nothing(tmp_path, monkeypatch):
    index = HammingIndex(1)
    index.add(np.zeros((3, 1), np.uint8))
    monkeypatch.setattr("jaxret.rank.index_files.json.dumps", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index.save(tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


@given(bits=st.integers(1, 600).map(lambda n: 8 * n), size=st.integers(1, 2**32 - 1))
def test_substrings_cover_all_bits(bits, size):
    bounds = substring_bounds(bits, size)
    widths = np.diff(bounds)
    assert bounds[0] == 0
    assert bounds[-1] == bits
    assert 1 <= widths.min() <= widths.max() <= 24
    assert widths.max() - widths.min() <= 1


def test_bad_arguments():
    index = HammingIndex(2)
    with pytest.raises(ValueError, match="empty"):
        index.topk(np.zeros((1, 2), np.uint8), 1)
    with pytest.raises(ValueError, match="empty"):
        index.save("unused")
    with pytest.raises(ValueError, match="2 bytes each, got 3"):
        index.add(np.zeros((1, 3), np.uint8))
    index.add(np.zeros((4, 2), np.uint8))
    with pytest.raises(ValueError, match="k must be at most the 4"):
        index.topk(np.zeros((1, 2), np.uint8), 5)
    with pytest.raises(ValueError, match="bytes a code, got 1 and 2"):
        index.within(np.zeros((1, 1), np.uint8), 5)
    with pytest.raises(ValueError, match="code_bytes must be at least 1, got 0"):
        HammingIndex(0)
    with pytest.raises(ValueError, match=f"code_bytes must be at most {2**20}, got {2**20 + 1}"):
        HammingIndex(2**20 + 1)


def test_index_can_be_copied_elsewhere(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")
    shutil.rmtree(saved)
    assert len(HammingIndex.load(tmp_path / "copy")) == 300
