"""Euclidean, cosine and PAR search against their slow twins, at every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import nearest
from reference.kernel_levels import at_every_level, forced

import jaxret.rank as rank
from jaxret.rank import available_simd_levels, cosine_topk, euclidean_topk, par

SEARCHES = {"euclidean": (euclidean_topk, nearest.euclidean_topk), "cosine": (cosine_topk, nearest.cosine_topk)}
each_metric = pytest.mark.parametrize("metric", SEARCHES)


def assert_same(found, expected) -> None:
    np.testing.assert_array_equal(found.ids, expected[0])
    np.testing.assert_array_equal(found.distances, expected[1])


def assert_ranks_alike(found, expected_distances, k) -> None:
    """For random floats, whose cosines may round differently in another order of additions."""
    _, best = nearest.rank_by_distance(expected_distances, k)
    np.testing.assert_allclose(found.distances, best, rtol=3e-7, atol=1e-12)
    np.testing.assert_allclose(
        np.take_along_axis(expected_distances, found.ids, axis=1), found.distances, rtol=3e-7, atol=1e-12
    )
    assert all(len(set(row)) == k for row in found.ids.tolist())


@at_every_level
@each_metric
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_integers_with_ties_in_any_shape(level, metric, data):
    """Small integers: all sums are exact, many distances tie, so the order is decided by ids alone."""
    count, size, width = (data.draw(st.integers(1, top)) for top in (40, 60, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    queries = rng.integers(-2, 3, (count, width)).astype(data.draw(st.sampled_from(["f2", "f4", "f8", ">f4"])))
    gallery = rng.integers(-2, 3, (size, width)).astype(data.draw(st.sampled_from(["f2", "f4", "f8", ">f4"])))
    k, threads = data.draw(st.integers(1, size)), data.draw(st.integers(1, 3))
    search, twin = SEARCHES[metric]
    with forced(level):
        assert_same(search(queries, gallery, k, threads=threads), twin(queries, gallery, k))


@at_every_level
@each_metric
@pytest.mark.parametrize(
    ("count", "size", "width", "k"),
    [
        (1, 300, 257, 7),
        (4, 1, 5, 1),
        (5, 700, 16, 700),
        (16, 259, 100, 3),
        (17, 500, 33, 20),
        (33, 260, 512, 9),
        (70, 999, 3, 50),
    ],
)
def test_random_floats(level, metric, count, size, width, k):
    rng = np.random.default_rng(count * size)
    queries, gallery = rng.normal(size=(count, width)), rng.normal(size=(size, width))
    distances = (nearest.euclidean_distances if metric == "euclidean" else nearest.cosine_distances)(queries, gallery)
    with forced(level):
        assert_ranks_alike(SEARCHES[metric][0](queries, gallery, k, threads=2), distances, k)


@at_every_level
@pytest.mark.parametrize("count", [1, 24])
@pytest.mark.parametrize("k", [1, 7, 450])
@pytest.mark.parametrize("order", ["falling", "rising", "all equal", "in pairs"])
def test_orders_that_fill_the_pool(level, count, k, order):
    """From far to near every row is among the k nearest so far; equal ones are told apart by id alone."""
    steps = np.arange(1000)
    places = {"falling": steps[::-1], "rising": steps, "all equal": 0 * steps, "in pairs": 999 - steps // 2}[order]
    gallery = np.zeros((1000, 20), np.float32)
    gallery[:, 3] = places
    queries = np.zeros((count, 20), np.float32)
    with forced(level):
        assert_same(euclidean_topk(queries, gallery, k, threads=2), nearest.euclidean_topk(queries, gallery, k))


@at_every_level
@each_metric
@pytest.mark.parametrize("count", [3, 24])
def test_many_neighbours_of_many_rows_on_two_threads(level, metric, count, monkeypatch):
    """Most candidates of each thread are dropped unmeasured; every row is there twice, so that ids decide."""
    monkeypatch.setattr("jaxret.rank.topk.worthwhile_threads", lambda threads, seconds: threads)
    rng = np.random.default_rng(count)
    half, queries = rng.normal(size=(3000, 70)).astype("f4"), rng.normal(size=(count, 70)).astype("f4")
    gallery = np.concatenate([half, half])
    with forced(level):
        found = SEARCHES[metric][0](queries, gallery, 901, threads=2)
    distances = (nearest.euclidean_distances if metric == "euclidean" else nearest.cosine_distances)(queries, half)
    assert_ranks_alike(found, np.tile(distances, 2), 901)
    for distances_found, ids in zip(found.distances, found.ids, strict=True):
        np.testing.assert_array_equal(np.lexsort((ids, distances_found)), np.arange(901))
        assert {int(twin) - 3000 for twin in ids if twin >= 3000} <= set(ids.tolist())


@at_every_level
@pytest.mark.parametrize("distance", [1.0, 1e4])
@pytest.mark.parametrize("width", [3, 70])
def test_more_candidates_than_rows(level, distance, width, monkeypatch):
    """They are measured together, from products, which say nothing of what lies close together far from the centre; one
    query alone is measured from differences."""
    monkeypatch.setattr("jaxret.rank.topk.worthwhile_threads", lambda threads, seconds: threads)
    rng = np.random.default_rng(width)
    vectors = rng.normal(size=(379, width)) + distance * np.sign(np.arange(379) % 2 - 0.5)[:, None]
    gallery = np.tile(vectors[:350].astype("f4"), (2, 1))  # ids decide
    gallery[7] = 0
    queries = np.concatenate([gallery[5:8], vectors[350:].astype("f4")])
    for search in (euclidean_topk, cosine_topk, lambda *arguments, threads: par(*arguments, 0.2, threads=threads)):
        with forced("portable"):
            alone = [search(query, gallery, 120, threads=1) for query in queries]
        with forced(level):
            for threads in (1, 2):
                found = search(queries, gallery, 120, threads=threads)
                np.testing.assert_array_equal(found.ids, np.concatenate([one.ids for one in alone]))
                distances = np.concatenate([one.distances for one in alone])
                np.testing.assert_array_equal(found.distances.view("u4"), distances.view("u4"))


@at_every_level
@each_metric
@pytest.mark.parametrize("count", [1, 3, 24])
@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_close_neighbours_far_from_the_origin(level, metric, count, offset):
    """A plain float32 matrix product loses these distances altogether."""
    rng = np.random.default_rng(int(offset))
    gallery = (offset + rng.integers(-8, 9, (800, 24)) / 4).astype(np.float32)
    queries = (offset + rng.integers(-8, 9, (count, 24)) / 4).astype(np.float32)
    naive = (queries**2).sum(1)[:, None] + (gallery**2).sum(1) - 2 * queries @ gallery.T
    distances = (nearest.euclidean_distances if metric == "euclidean" else nearest.cosine_distances)(queries, gallery)
    assert (np.argsort(naive, axis=1)[:, :5] != np.argsort(distances, axis=1)[:, :5]).any()
    with forced(level):
        assert_ranks_alike(SEARCHES[metric][0](queries, gallery, 20), distances, 20)


@at_every_level
@pytest.mark.parametrize("count", [2, 20])
def test_tight_clusters_far_apart(level, count):
    """No common centre helps here: the error bound must let whole clusters through."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(6, 40)) * 1e4
    gallery = (np.repeat(centres, 100, axis=0) + rng.normal(size=(600, 40)) * 1e-2).astype(np.float32)
    queries = gallery[rng.permutation(600)[:count]]
    with forced(level):
        assert_same(euclidean_topk(queries, gallery, 30), nearest.euclidean_topk(queries, gallery, 30))


@at_every_level
@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-18, 1e12, 1e18, 1e25, 1e37])
@pytest.mark.parametrize("count", [1, 20])
def test_very_small_and_very_large_numbers(level, scale, count):
    rng = np.random.default_rng(1)
    queries = (rng.integers(-4, 5, (count, 9)) * scale).astype(np.float32)
    gallery = (rng.integers(-4, 5, (200, 9)) * scale).astype(np.float32)
    with forced(level):
        found = euclidean_topk(queries, gallery, 200)
        assert_ranks_alike(found, nearest.euclidean_distances(queries, gallery), 200)
        assert_ranks_alike(cosine_topk(queries, gallery, 50), nearest.cosine_distances(queries, gallery), 50)


@at_every_level
@each_metric
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e20])
@pytest.mark.parametrize("count", [1, 3, 20])
def test_rows_and_queries_far_from_the_size_of_others(level, metric, count, scale):
    rng = np.random.default_rng(4)
    queries, gallery = (rng.standard_normal((n, 21), np.float32) for n in (count, 150))
    queries *= np.float32(scale)
    gallery[[0, 62, 63, 64, 130, 149]] *= np.float32([0, 1e-25, 1e25, 1e-30, 1e18, 1e-12])[:, None]
    search, _ = SEARCHES[metric]
    distances = nearest.euclidean_distances if metric == "euclidean" else nearest.cosine_distances
    with forced(level):
        for k in (5, 150):
            assert_ranks_alike(search(queries, gallery, k), distances(queries, gallery), k)


@at_every_level
def test_distance_beyond_float32_is_inf_with_its_id(level):
    gallery = np.full((40, 3), -3e38, np.float32)
    with forced(level):
        for count in (1, 20):
            found = euclidean_topk(np.full((count, 3), 3e38, np.float32), gallery, 2)
            assert np.isinf(found.distances).all()
            assert (found.ids == [0, 1]).all()


@each_metric
def test_same_bits_at_every_level_thread_count_and_block(metric, monkeypatch):
    rng = np.random.default_rng(5)
    queries, gallery = rng.normal(size=(30, 77)).astype("f4"), rng.normal(size=(3000, 77)).astype("f4")
    search = SEARCHES[metric][0]
    base = search(queries, gallery, 40, threads=1)
    assert (np.diff(base.distances, axis=1) >= 0).all()
    monkeypatch.setattr("jaxret.rank.topk.worthwhile_threads", lambda threads, seconds: threads)
    for level in available_simd_levels():
        with forced(level):
            for threads in (1, 2, 5):
                monkeypatch.setattr("jaxret.rank.topk._CONVERTED_BLOCK_BYTES", 77 * 4 * (threads * 100 + 7))
                for values in (gallery, gallery.astype("f8"), np.asfortranarray(gallery)):
                    found = search(queries, values, 40, threads=threads)
                    np.testing.assert_array_equal(found.ids, base.ids)
                    np.testing.assert_array_equal(found.distances.view("u4"), base.distances.view("u4"))
            for q in (0, 7):  # one query alone takes another path
                alone = search(queries[q], gallery, 40)
                np.testing.assert_array_equal(alone.distances.view("u4")[0], base.distances.view("u4")[q])


@at_every_level
def test_scaled_copies_tie_under_cosine(level):
    vector = np.array([0.3, -1.7, 0.11, 2.9, 5.3], np.float32)
    gallery = np.stack([vector * s for s in (3.0, 1.0, 1e6, 0.001, 7.0)])
    with forced(level):
        for queries in (vector, np.tile(vector, (9, 1))):
            found = cosine_topk(queries, gallery, 5)
            assert (found.ids == np.arange(5)).all()
            assert (found.distances < 1e-6).all()


@at_every_level
@pytest.mark.parametrize("count", [1, 20])
def test_zero_vector_has_cosine_zero(level, count):
    gallery = np.array([[1.0, 0], [0, 0], [-1, 0], [0, 0], [2, 0]])
    with forced(level):
        found = cosine_topk(np.tile([1.0, 0.0], (count, 1)), gallery, 5)
        assert found.ids.tolist() == [[0, 4, 1, 3, 2]] * count
        assert found.distances.tolist() == [[0, 0, 1, 1, 2]] * count
        zero = cosine_topk(np.zeros((count, 2)), gallery, 3)
        assert zero.ids.tolist() == [[0, 1, 2]] * count
        assert (zero.distances == 1).all()


@at_every_level
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32), count=st.integers(1, 20), min_cosine=st.sampled_from([-2.0, -0.5, 0.0, 0.5, 0.9, 1.0])
)
def test_par(level, seed, count, min_cosine):
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.integers(-2, 3, (n, 4)).astype("f4") for n in (count, 50))
    with forced(level):
        found = par(queries, gallery, 20, min_cosine, threads=2)
    for q, expected in enumerate(nearest.par(queries, gallery, 20, min_cosine)):
        n = len(expected)
        assert found.ids[q].tolist() == [i for i, _, _ in expected] + [-1] * (20 - n)
        assert found.distances[q].tolist() == [d for _, d, _ in expected] + [np.inf] * (20 - n)
        np.testing.assert_allclose(found.cosines[q, :n], [c for _, _, c in expected], atol=1e-7)
        assert (found.cosines[q, n:] == -np.inf).all()
        assert found.counts[q] == n


def test_strides_read_only_and_memory_mapped(tmp_path):
    rng = np.random.default_rng(0)
    big = rng.integers(-9, 9, (400, 60)).astype(np.float32)
    expected = nearest.euclidean_topk(big[:5, ::2], big[::3, ::2], 9)
    assert_same(euclidean_topk(big[:5, ::2], big[::3, ::2], 9), expected)
    back = big[::-2, ::-3]
    assert_same(euclidean_topk(back[3:9], back, 4), nearest.euclidean_topk(back[3:9], back, 4))
    fixed = big.copy()
    fixed.flags.writeable = False
    assert_same(euclidean_topk(fixed[:6], fixed, 3), nearest.euclidean_topk(big[:6], big, 3))
    raw = np.zeros(big.nbytes + 1, np.uint8)
    raw[1:] = big.view(np.uint8).reshape(-1)
    unaligned = raw[1:].view(np.float32).reshape(big.shape)
    assert not unaligned.flags.aligned
    assert_same(euclidean_topk(unaligned[:6], unaligned, 3), nearest.euclidean_topk(big[:6], big, 3))
    np.save(tmp_path / "g.npy", big)
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    assert_same(euclidean_topk(mapped[0], mapped, 3), nearest.euclidean_topk(big[0], big, 3))
    assert_same(euclidean_topk(big[:9], mapped, 3), nearest.euclidean_topk(big[:9], big, 3))


class HasArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


class HasDlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("wrap", [HasArray, HasDlpack, lambda a: a.tolist()])
def test_anything_that_numpy_can_see(wrap):
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(5, 4)).astype("f4"), rng.normal(size=(9, 4)).astype("f4")
    assert_same(euclidean_topk(wrap(queries), wrap(gallery), 3), nearest.euclidean_topk(queries, gallery, 3))


def test_jax_arrays_and_bfloat16():
    jnp = pytest.importorskip("jax.numpy")
    values = np.arange(24.0, dtype=np.float32).reshape(8, 3)
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        found = euclidean_topk(jnp.asarray(values[2], dtype), jnp.asarray(values, dtype), 4)
        assert_same(found, nearest.euclidean_topk(values[2], values, 4))


def test_progress_reaches_the_end_and_never_falls():
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(3000, 8))
    seen = []
    euclidean_topk(gallery[:9], gallery, 2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3000, 3000)
    assert seen == sorted(seen)


def test_error_of_progress_stops_the_search():
    def stop(done, total):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        euclidean_topk(np.ones((2, 2)), np.ones((9, 2)), 1, progress=stop)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("queries", [1, 9])
def test_a_gallery_in_parts_is_searched_as_a_whole(metric, queries):
    rng = np.random.default_rng(3)
    gallery = rng.standard_normal((200, 7)).astype(np.float32)
    gallery[150:170] = gallery[20]  # ties between parts
    wanted = np.concatenate([gallery[20:21], rng.standard_normal((queries - 1, 7)).astype(np.float32)])
    parts = [gallery[:1], gallery[1:90].astype(np.float64), gallery[90:160], gallery[160:]]
    for k in (1, 30, 200):
        whole = rank.METRICS[metric].topk(wanted, gallery, k)
        for ranking in (rank.METRICS[metric], rank.RankingMetric(rank.METRICS[metric].topk, "float32")):
            found = ranking.topk_of_parts(wanted, parts, k)
            np.testing.assert_array_equal(found.ids, whole.ids)
            np.testing.assert_array_equal(found.distances, whole.distances)
    with pytest.raises(ValueError, match="k must be at most the 200 gallery items, got 201"):
        rank.METRICS[metric].topk_of_parts(wanted, parts, 201)
    with pytest.raises(ValueError, match=r"gallery.*161"):
        rank.METRICS[metric].topk_of_parts(
            wanted, [*parts[:3], np.where(np.arange(40)[:, None] == 1, np.nan, parts[3])], 3
        )
