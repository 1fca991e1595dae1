"""Packing and Hamming search against slow twins, at every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import nearest
from reference.kernel_levels import at_every_level, forced

from jaxret.rank import hamming_topk, hamming_within, pack_bits, unpack_bits

WIDTHS = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 128, 200, 256]


def some_codes(rng: np.random.Generator, count: int, width: int, flips: float) -> np.ndarray:
    """Codes around a few centres, so that distances spread and tie; `flips` 0.5 is uniform."""
    centres = rng.integers(0, 256, (3, width), np.uint8)
    noise = np.packbits(rng.random((count, 8 * width)) < flips, axis=1)
    return centres[rng.integers(0, 3, count)] ^ noise


def assert_lists_equal(found, expected) -> None:
    assert len(found) == len(expected)
    for q, (ids, distances) in enumerate(expected):
        np.testing.assert_array_equal(found[q][0], ids)
        np.testing.assert_array_equal(found[q][1], distances)


@at_every_level
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [1, 3, 30])
def test_every_width(level, width, count):
    rng = np.random.default_rng(width * 100 + count)
    gallery = some_codes(rng, 1200 + width, width, 0.1)
    queries = some_codes(rng, count, width, 0.1)
    gallery[:count] = gallery[-count:] = queries
    with forced(level):
        found = hamming_topk(queries, gallery, 25, threads=2)
        near = hamming_within(queries, gallery, width, threads=2)
    ids, distances = nearest.hamming_topk(queries, gallery, 25)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.distances, distances)
    assert_lists_equal(near, nearest.hamming_within(queries, gallery, width))


@at_every_level
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_shape(level, data):
    count, size = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 700))
    width = data.draw(st.integers(1, 20))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    flips = data.draw(st.sampled_from([0.0, 0.01, 0.2, 0.5]))
    queries, gallery = some_codes(rng, count, width, flips), some_codes(rng, size, width, flips)
    k, radius = data.draw(st.integers(1, size)), data.draw(st.integers(0, 9 * width))
    threads = data.draw(st.integers(1, 3))
    with forced(level):
        found = hamming_topk(queries, gallery, k, threads=threads)
        near = hamming_within(queries, gallery, radius, threads=threads)
    ids, distances = nearest.hamming_topk(queries, gallery, k)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.distances, distances)
    assert_lists_equal(near, nearest.hamming_within(queries, gallery, radius))


@at_every_level
@pytest.mark.parametrize("size", [1, 2, 63, 64, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1025])
@pytest.mark.parametrize("count", [1, 10, 40])
def test_sizes_around_the_block(level, size, count):
    rng = np.random.default_rng(size)
    queries, gallery = some_codes(rng, count, 8, 0.3), some_codes(rng, size, 8, 0.3)
    with forced(level):
        found = hamming_topk(queries, gallery, size)
    np.testing.assert_array_equal(found.ids, nearest.hamming_topk(queries, gallery, size)[0])


@at_every_level
@pytest.mark.parametrize("count", [1, 20, 600])
def test_extreme_distances(level, count):
    """0 and all bits; many equal codes; more queries than one tile."""
    gallery = np.concatenate([np.zeros((300, 8)), np.full((300, 8), 255), np.zeros((300, 8))]).astype(np.uint8)
    queries = np.zeros((count, 8), np.uint8)
    queries[count // 2 :] = 255
    with forced(level):
        found = hamming_topk(queries, gallery, 650)
        exact = hamming_within(queries, gallery, 0)
        all_but = hamming_within(queries, gallery, 63)
        everything = hamming_within(queries, gallery, 10**9)
    for q in (0, count - 1):
        np.testing.assert_array_equal(found.ids[q], nearest.hamming_topk(queries[q], gallery, 650)[0][0])
    assert (exact.counts == all_but.counts).all()
    assert set(exact.counts) <= {300, 600}
    assert (everything.counts == 900).all()


@at_every_level
@pytest.mark.parametrize("width", [32, 300, 2100])
@pytest.mark.parametrize("count", [1, 10, 40])
def test_wide_codes_of_which_some_differ_in_all_bits(level, width, count):
    """Kernels that count in bytes or 16-bit words must neither wrap nor saturate unnoticed."""
    rng = np.random.default_rng(width)
    gallery = rng.integers(0, 256, (150, width), np.uint8)
    queries = rng.integers(0, 256, (count, width), np.uint8)
    gallery[::3] = ~queries[0]
    gallery[1::3, : width // 2] = ~queries[0, : width // 2]
    gallery[2::9] = queries[0]
    with forced(level):
        found = hamming_topk(queries, gallery, 150)
        near = hamming_within(queries, gallery, 8 * width - 1)
    ids, distances = nearest.hamming_topk(queries, gallery, 150)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.distances, distances)
    assert near.counts[0] == 100


def test_radius_is_inclusive():
    gallery = np.array([[0], [1], [3], [7]], np.uint8)
    assert hamming_within(np.zeros(1, np.uint8), gallery, 2)[0][0].tolist() == [0, 1, 2]


def test_radius_result_indexing():
    near = hamming_within(np.array([[0], [8]], np.uint8), np.array([[0], [1]], np.uint8), 0)
    assert near.offsets.tolist() == [0, 1, 1]
    assert [len(ids) for ids, _ in near] == [1, 0]
    assert near[-1][0].dtype == np.int64
    with pytest.raises(IndexError):
        near[2]


def test_same_for_any_threads(monkeypatch):
    monkeypatch.setattr("jaxret.rank.hamming.worthwhile_threads", lambda threads, seconds: threads)
    rng = np.random.default_rng(1)
    gallery = some_codes(rng, 60_000, 8, 0.2)
    for queries in (gallery[:1], gallery[:40]):
        base = hamming_topk(queries, gallery, 100, threads=1)
        lists = hamming_within(queries, gallery, 12, threads=1)
        for threads in (2, 3, 8):
            found = hamming_topk(queries, gallery, 100, threads=threads)
            np.testing.assert_array_equal(found.ids, base.ids)
            np.testing.assert_array_equal(hamming_within(queries, gallery, 12, threads=threads).ids, lists.ids)


def test_strided_read_only_and_mapped_codes(tmp_path):
    rng = np.random.default_rng(2)
    wide = rng.integers(0, 256, (500, 24), np.uint8)
    expected = nearest.hamming_topk(wide[:3, ::3], wide[::2, ::3], 5)
    np.testing.assert_array_equal(hamming_topk(wide[:3, ::3], wide[::2, ::3], 5).ids, expected[0])
    np.save(tmp_path / "codes.npy", wide)
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")
    np.testing.assert_array_equal(hamming_topk(mapped[4], mapped, 5).ids, nearest.hamming_topk(wide[4], wide, 5)[0])
    odd = np.concatenate([np.zeros(3, np.uint8), wide.reshape(-1)])[3:].reshape(wide.shape)  # odd address
    np.testing.assert_array_equal(hamming_topk(odd[:20], odd, 5).ids, nearest.hamming_topk(wide[:20], wide, 5)[0])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), bits=st.integers(1, 70), dtype=st.sampled_from(["f2", "f4", "f8", "?", "i4"]))
def test_pack_and_unpack(seed, bits, dtype):
    rng = np.random.default_rng(seed)
    activations = rng.integers(0, 2, (5, bits)).astype(dtype)
    codes = pack_bits(activations)
    assert codes.shape == (5, -(-bits // 8))
    for row in range(5):
        for bit in range(8 * codes.shape[1]):
            expected = bit < bits and bool(activations[row, bit])
            assert (codes[row, bit // 8] >> (bit % 8) & 1) == expected
    np.testing.assert_array_equal(unpack_bits(codes, bits), activations.astype(bool))


def test_threshold_itself_is_one():
    assert pack_bits(np.array([0.5, 0.4999, 0.0]))[0, 0] == 1
    assert pack_bits(np.array([0.5, -0.1, 0.0]), threshold=0.0)[0, 0] == 0b101
    assert pack_bits(np.array([0.3], np.float32), threshold=0.3)[0, 0] == 1


def test_progress():
    seen = []
    codes = np.zeros((9, 8), np.uint8)
    hamming_topk(codes, codes, 1, progress=lambda *count: seen.append(count))
    hamming_within(codes, codes, 1, progress=lambda *count: seen.append(count))
    assert seen[0] == seen[-1] == (9, 9)
