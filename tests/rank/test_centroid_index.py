"""CentroidIndex finds what a slow twin finds in the probed cells; its files fail loudly."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.kernel_levels import at_every_level, forced
from reference.nearest import euclidean_distances

from jaxret.errors import IndexFormatError
from jaxret.rank import CentroidIndex, euclidean_topk


def clustered(rng: np.random.Generator, size: int, dimension: int, centres: int, spread: float = 0.3) -> np.ndarray:
    means = rng.standard_normal((centres, dimension))
    points = means[rng.integers(0, centres, size)] + spread * rng.standard_normal((size, dimension))
    return points.astype(np.float32)


def in_cells(centroids: np.ndarray, vectors: np.ndarray, query: np.ndarray, k: int, probes: int):
    """Ids, distances and count of what lies in the probed cells, by sorting everything."""
    cell_of = euclidean_distances(vectors, centroids).argmin(axis=1)  # of equally near ones the first
    probed = np.lexsort((np.arange(len(centroids)), euclidean_distances(query, centroids)[0]))[:probes]
    inside = np.flatnonzero(np.isin(cell_of, probed))
    near = euclidean_distances(query, vectors[inside])[0] if len(inside) else np.zeros(0, np.float32)
    order = np.lexsort((inside, near))[:k]
    missing = k - len(order)
    return [*inside[order], *[-1] * missing], [*near[order], *[np.inf] * missing], len(inside)


@at_every_level
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_finds_what_lies_in_the_probed_cells(level, data):
    with forced(level), pytest.MonkeyPatch.context() as patch:
        # Cells searched for one query, for some or for all that probe them, and queries in small groups.
        patch.setattr("jaxret.rank.cell_rows._SHARED_BY", data.draw(st.sampled_from([1, 2, 4, 16])))
        patch.setattr("jaxret.rank.centroid_index._MAX_RESULTS", data.draw(st.sampled_from([1, 100, 10_000])))
        check_against_the_twin(data)


def check_against_the_twin(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    size, cells, dimension = (
        data.draw(st.integers(1, 120)),
        data.draw(st.integers(1, 12)),
        data.draw(st.integers(1, 20)),
    )
    # Few distinct values: many ties, over cells too, and cells without a vector.
    vectors = rng.integers(0, data.draw(st.sampled_from([2, 4, 1000])), (size, dimension)).astype(np.float32)
    centroids = rng.integers(0, 4, (cells, dimension)).astype(np.float32)
    queries = np.concatenate([vectors[:2], rng.integers(0, 4, (6, dimension))])[: data.draw(st.integers(1, 8))]
    k, probes = data.draw(st.integers(1, size)), data.draw(st.integers(1, cells))
    index = CentroidIndex(centroids)
    cuts = sorted(data.draw(st.lists(st.integers(1, size), max_size=5)))
    for part in np.split(vectors, cuts):
        if len(part):
            index.add(part)
    assert len(index) == size
    found = index.topk(queries, k, probes=probes, threads=data.draw(st.sampled_from([1, 3])))
    assert found.ids.shape == found.distances.shape == (len(queries), k)
    for q, query in enumerate(queries):
        ids, distances, touched = in_cells(centroids, vectors, query, k, probes)
        assert found.ids[q].tolist() == ids
        np.testing.assert_array_equal(found.distances[q], np.array(distances, np.float32))
        assert found.candidates[q] == touched
    whole = index.topk(queries, k, probes=cells)
    exact = euclidean_topk(queries, vectors, k)
    np.testing.assert_array_equal(whole.ids, exact.ids)
    np.testing.assert_array_equal(whole.distances, exact.distances)
    assert (whole.candidates == size).all()


@pytest.fixture(scope="module")
def gallery() -> np.ndarray:
    return clustered(np.random.default_rng(0), 6000, 16, 100)


@pytest.fixture(scope="module")
def index(gallery: np.ndarray) -> CentroidIndex:
    index = CentroidIndex.fit(gallery, 60)
    index.add(gallery)
    return index


def test_clustered_vectors_need_few_probes(gallery, index):
    queries = gallery[::100] + np.float32(0.05)
    exact = euclidean_topk(queries, gallery, 10).ids
    recalls, touched = [], []
    for probes in (1, 4, 60):
        found = index.topk(queries, 10, probes=probes)
        recalls.append(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.ids, exact, strict=True)]))
        touched.append(found.candidates.mean() / len(gallery))
    assert recalls == sorted(recalls)
    assert recalls[1] > 0.9
    assert recalls[2] == 1
    assert touched[0] < 0.1
    assert touched[1] < 0.25


def test_threads_and_company_change_nothing(gallery, index, monkeypatch):
    queries = gallery[:200]
    plain = index.topk(queries, 20, probes=7, threads=1)
    for field in ("ids", "distances", "candidates"):
        alone = [getattr(index.topk(query, 20, probes=7), field)[0] for query in queries]
        np.testing.assert_array_equal(getattr(plain, field), alone)
    for module in ("centroid_index", "cell_rows"):
        monkeypatch.setattr(f"jaxret.rank.{module}.worthwhile_threads", lambda threads, seconds: threads)
    for threads in (1, 2, 5):
        found = index.topk(queries, 20, probes=7, threads=threads)
        for field in ("ids", "distances", "candidates"):
            np.testing.assert_array_equal(getattr(found, field), getattr(plain, field))


def test_fit_is_of_its_seed_and_reads_a_sample(gallery):
    class Counting(np.ndarray):
        rows = 0

        def __getitem__(self, key):
            Counting.rows += len(key)
            return np.asarray(super().__getitem__(key))

    first, again = (CentroidIndex.fit(gallery, 8, seed=3).centroids for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, CentroidIndex.fit(gallery, 8, seed=4).centroids)
    assert np.array_equal(CentroidIndex.fit(gallery.view(Counting), 8, seed=3).centroids, first)
    assert Counting.rows == 8 * 64
    assert CentroidIndex.fit(gallery).cells == 77  # about the root of 6,000
    assert len(CentroidIndex.fit(gallery, 8)) == 0


def test_equal_vectors_and_as_many_cells_as_vectors(gallery):
    for vectors, cells in ((np.ones((50, 3)), 8), (gallery[:9], 9), (gallery[:1], 1)):
        index = CentroidIndex.fit(vectors, cells)
        index.add(vectors)
        exact = euclidean_topk(vectors[:3], vectors, 1)
        np.testing.assert_array_equal(index.topk(vectors[:3], 1, probes=cells).ids, exact.ids)


def test_additions_are_joined_and_results_do_not_depend_on_them(gallery):
    whole, grown = CentroidIndex(gallery[:20]), CentroidIndex(gallery[:20])
    whole.add(gallery[:3000])
    parts = []
    for start in range(0, 3000, 60):
        grown.add(gallery[start : start + 60])
        parts.append(len(grown._parts))
    assert 1 < max(parts) <= 7  # about the binary logarithm of the 50 additions
    np.testing.assert_array_equal(grown.cell_sizes(), whole.cell_sizes())
    assert grown.cell_sizes().sum() == 3000
    found, expected = (index.topk(gallery[:50], 30, probes=3) for index in (grown, whole))
    for field in ("ids", "distances", "candidates"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))


def test_any_float_dtype_is_computed_in_float32(gallery):
    index = CentroidIndex(gallery[:20].astype(np.float64))
    half = gallery[:500].astype(np.float16)
    index.add(np.asfortranarray(half))
    exact = euclidean_topk(half[:5], half, 4)
    found = index.topk(half[:5], 4, probes=20)
    np.testing.assert_array_equal(found.ids, exact.ids)
    np.testing.assert_array_equal(found.distances, exact.distances)
    assert index.topk(half[0], 4, probes=1).ids.shape == (1, 4)


@pytest.mark.parametrize("verify", [True, False])
def test_save_and_load(gallery, tmp_path, verify):
    index = CentroidIndex(gallery[:20])
    for start in (0, 2000, 2500, 2600):
        index.add(gallery[start : {0: 2000, 2000: 2500, 2500: 2600, 2600: 2650}[start]])
    expected = index.topk(gallery[:50], 30, probes=3)
    index.save(tmp_path / "deep" / "index")
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["index"]
    loaded = CentroidIndex.load(tmp_path / "deep" / "index", verify=verify)
    assert isinstance(loaded._parts[0].vectors.base, np.memmap)
    assert (len(loaded), loaded.cells) == (2650, 20)
    for kept in (index, loaded):
        found = kept.topk(gallery[:50], 30, probes=3)
        for field in ("ids", "distances", "candidates"):
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))
    loaded.add(gallery[2650:])
    index.add(gallery[2650:])
    found, expected = (each.topk(gallery[-50:], 30, probes=3) for each in (loaded, index))
    np.testing.assert_array_equal(found.ids, expected.ids)
    with pytest.raises(FileExistsError, match="index"):
        index.save(tmp_path / "deep" / "index")
    with pytest.raises(ValueError, match="read-only"):
        index.centroids[0] = 0


@pytest.fixture
def saved(gallery, tmp_path):
    index = CentroidIndex(gallery[:7])
    index.add(gallery[:300])
    index.save(tmp_path / "index")
    return tmp_path / "index"


FILES = ["manifest.json", "centroids.npy", "cell_offsets.npy", "ids.npy", "vectors.npy"]


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
        CentroidIndex.load(saved, verify=verify)


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"format": "jaxret hamming index"}, {"arrays": {}}, {"arrays": {"ids": 3, "vectors": None}}],
)
def test_edited_manifest(saved, change):
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(IndexFormatError):
        CentroidIndex.load(saved, verify=False)


def replace(saved, name, array) -> None:
    """Another array, with a manifest that agrees."""
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["arrays"][name]["shape"] = list(array.shape)
    np.save(saved / f"{name}.npy", array)
    (saved / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("centroids", lambda a: a[:, :0], "centroids.npy: must be a matrix of finite"),
        ("centroids", lambda a: a * np.float32(np.inf), "centroids.npy: must be a matrix of finite"),
        ("centroids", lambda a: a[:, :5].copy(), "do not fit the centroids"),
        ("centroids", lambda a: a[:5].copy(), "do not fit the centroids"),
        ("ids", lambda a: a[:-1], "do not fit the centroids"),
        ("vectors", lambda a: a[:-1], "do not fit the centroids"),
        ("cell_offsets", lambda a: a[::-1].copy(), "cell_offsets.npy: does not share out the 300 vectors"),
        ("cell_offsets", lambda a: a + 1, "cell_offsets.npy: does not share out"),
        ("cell_offsets", lambda a: np.where(np.arange(len(a)) == 3, 300, a), "cell_offsets.npy: does not share out"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(saved, name, change, message):
    replace(saved, name, change(np.load(saved / f"{name}.npy")))
    with pytest.raises(IndexFormatError, match=message):
        CentroidIndex.load(saved, verify=False)


def test_damage_that_only_a_search_meets_is_an_error(saved, gallery):
    vectors = np.load(saved / "vectors.npy")
    vectors[17, 2] = np.nan
    np.save(saved / "vectors.npy", vectors)
    with pytest.raises(IndexFormatError, match=r"vectors\.npy: checksum differs"):
        CentroidIndex.load(saved)
    for queries in (gallery[:3], gallery[:40]):  # each alone, and all together
        with pytest.raises(IndexFormatError, match="row 17 is damaged: it is not finite"):
            CentroidIndex.load(saved, verify=False).topk(queries, 1, probes=7)


def test_foreign_and_copied_folders(saved, tmp_path):
    with pytest.raises(IndexFormatError, match="manifest"):
        CentroidIndex.load(tmp_path)
    shutil.copytree(saved, tmp_path / "copy")
    shutil.rmtree(saved)
    assert len(CentroidIndex.load(tmp_path / "copy")) == 300


def test_bad_arguments(gallery):
    index = CentroidIndex(gallery[:4])
    with pytest.raises(ValueError, match="empty: add vectors before"):
        index.topk(gallery[:1], 1, probes=1)
    with pytest.raises(ValueError, match="an empty index cannot be saved"):
        index.save("unused")
    with pytest.raises(ValueError, match="vectors must have dimension 16, got 3"):
        index.add(np.zeros((1, 3)))
    with pytest.raises(TypeError, match="vectors must have a float dtype, got int64"):
        index.add(np.zeros((1, 16), np.int64))
    bad = np.zeros((9000, 16), np.float32)
    bad[8500, 3] = np.inf
    with pytest.raises(ValueError, match=r"vectors must be finite in float32, got inf at \[8500, 3\]"):
        index.add(bad)
    assert len(index) == 0
    index.add(gallery[:10])
    for arguments, error, message in [
        ({"probes": 0}, ValueError, "probes must be at least 1, got 0"),
        ({"probes": 5}, ValueError, "probes must be at most the 4 cells, got 5"),
        ({"probes": 1.5}, TypeError, "probes must be an integer"),
        ({"k": 11}, ValueError, "k must be at most the 10 gallery items, got 11"),
        ({"queries": np.zeros((1, 3))}, ValueError, "number of dimensions, got 3 and 16"),
        ({"queries": np.full((1, 16), np.nan)}, ValueError, "queries must be finite"),
        ({"threads": 0}, ValueError, "threads must be at least 1"),
    ]:
        with pytest.raises(error, match=message):
            index.topk(**{"queries": gallery[:1], "k": 1, "probes": 1, **arguments})
    for arguments, message in [
        ({"cells": 0}, "cells must be at least 1, got 0"),
        ({"cells": 6001}, "cells must be at most the 6000 vectors, got 6001"),
        ({"seed": -1}, "seed must be at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            CentroidIndex.fit(gallery, **arguments)


def test_ranking_needs_scikit_learn_only_to_fit():
    code = "import sys, jaxret.rank; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
