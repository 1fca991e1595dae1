"""What searches on devices are made of: bounds, selection, Hamming distances, and programs for GPUs and TPUs."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import nearest

from jaxret.rank import DeviceGallery, DeviceSequences
from jaxret.rank.device.bounds import finite_rows, lower_bounds, prepared_queries, prepared_rows, proven
from jaxret.rank.device.codes import counted_bits, multiplied_signs
from jaxret.rank.device.in_groups import one_ahead, rounded_up
from jaxret.rank.device.placement import as_words
from jaxret.rank.device.scan import nearest_rows, rows_of
from jaxret.rank.device.selection import merged, smallest
from jaxret.rank.device.sequence_bounds import mean_bounds, prepared_query, summaries, warping_bounds


@pytest.mark.parametrize("unit", [False, True], ids=["euclidean", "cosine"])
@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
@pytest.mark.parametrize("offset", [0, 1000])
def test_bounds_lie_below_and_near_the_squared_distances(unit: bool, scale: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    gallery = ((rng.normal(size=(300, 64)) + offset) * scale).astype("f4")
    queries = ((rng.normal(size=(9, 64)) + offset) * scale).astype("f4")
    gallery[0], gallery[1] = 0, queries[0]
    on_device = DeviceGallery(gallery, "cpu")
    rows, centre = on_device.bounded_rows(unit=unit)
    bounds = np.asarray(lower_bounds(prepared_queries(queries, centre, on_device.mesh, unit=unit), rows), np.float64)
    exact = 2 * (1 - nearest.cosines(queries, gallery))
    if not unit:
        exact = ((queries.astype(np.float64)[:, None] - gallery) ** 2).sum(2)
    largest = 4 if unit else exact.max()
    assert (bounds <= exact * (1 + 1e-9) + 1e-9 * unit).all()
    assert (exact - bounds <= 2e-4 * largest).all()


def test_a_bound_proves_what_lies_below_it() -> None:
    distances = np.array([2, 2, 0, 0, np.inf], np.float32)
    bounds = np.array([4.0001, 4, 1e-20, -1e-20, np.inf], np.float32)
    assert proven(bounds, distances, 8, unit=False).tolist() == [True, False, True, False, False]
    assert proven(bounds, distances, 8, unit=True).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("spread", [3e-2, 3e-3, 3e-4])
@pytest.mark.parametrize("unit", [False, True], ids=["euclidean", "cosine"])
def test_no_bound_rules_out_what_is_as_near(unit: bool, spread: float) -> None:
    """Not even where vectors point nearly the same way: nearer to one another than numbers of length 1 are exact to."""
    rng = np.random.default_rng(0)
    ahead = np.array([0.5, 0.86])
    gallery = ((ahead + spread * rng.normal(size=(20000, 2))) * rng.uniform(0.5, 2, (20000, 1))).astype("f4")
    queries = (ahead + spread * rng.normal(size=(64, 2))).astype("f4")
    on_device = DeviceGallery(gallery, "cpu")
    rows, centre = on_device.bounded_rows(unit=unit)
    bounds = jax.jit(lower_bounds)(prepared_queries(queries, centre, on_device.mesh, unit=unit), rows)
    distances = (nearest.cosine_distances if unit else nearest.euclidean_distances)(queries, gallery)
    assert not proven(bounds, distances, 2, unit=unit).any()


@pytest.mark.parametrize(("count", "width"), [(1, 1), (10, 10), (1000, 3), (1000, 100), (777, 31)])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_smallest(count: int, width: int, dtype: str) -> None:
    keys = np.random.default_rng(1).integers(0, 40, (5, count)).astype(dtype)
    best, places = smallest(jnp.asarray(keys), width)
    expected_places, expected = nearest.rank_by_distance(keys, width)
    np.testing.assert_array_equal(best, expected)
    np.testing.assert_array_equal(np.take_along_axis(keys, np.asarray(places), axis=1), expected)
    assert all(len(set(row)) == width for row in places.tolist())
    if dtype == "int32":
        np.testing.assert_array_equal(places, expected_places)


def test_merged_goes_by_key_then_id() -> None:
    keys, ids = merged(jnp.asarray([[2.0, 1.0, 1.0]]), jnp.asarray([[5, 9, 3]]), 2)
    assert (keys.tolist(), ids.tolist()) == ([[1.0, 1.0]], [[3, 9]])


@pytest.mark.parametrize("width", [1, 4, 11])
@pytest.mark.parametrize("score", [counted_bits, multiplied_signs])
def test_hamming_distances(score, width: int) -> None:
    rng = np.random.default_rng(2)
    queries, codes = rng.integers(0, 256, (4, width), np.uint8), rng.integers(0, 256, (50, width), np.uint8)
    words = -(-width // 4)
    found = score(as_words(jnp.asarray(queries), words), as_words(jnp.asarray(codes), words))
    np.testing.assert_array_equal(found, nearest.hamming_distances(queries, codes))


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_programs_for_accelerators(platform: str) -> None:
    """They are made as far as XLA's input, which needs no such device here."""
    gallery = DeviceGallery(np.random.default_rng(3).normal(size=(300, 8)), "cpu")
    rows, centre = gallery.bounded_rows(unit=True)
    queries = prepared_queries(np.ones((2, 8), np.float32), centre, gallery.mesh, unit=True)
    settings = {"mesh": gallery.mesh, "size": 300, "chunk": 100, "width": 8}
    for score, of_queries, of_rows in [
        (lower_bounds, queries, rows),
        (lambda a, b: counted_bits(a, b[0]), jnp.ones((2, 2), jnp.uint32), (jnp.ones((300, 2), jnp.uint32),)),
        (lambda a, b: multiplied_signs(a, b[0]), jnp.ones((2, 2), jnp.uint32), (jnp.ones((300, 2), jnp.uint32),)),
    ]:
        traced = nearest_rows.trace(of_queries, of_rows, score=score, **settings)
        assert "top_k" in traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_programs_of_preparation_and_sequences_for_accelerators(platform: str) -> None:
    rng = np.random.default_rng(3)
    gallery = DeviceSequences([rng.normal(size=(8, 3)) for _ in range(120)], "cpu")
    group, mesh = gallery.groups[0], gallery.mesh
    query, places = prepared_query(np.ones((9, 3), np.float32), 12, gallery.centre, mesh), jnp.zeros((1, 64), jnp.int32)
    rows = jnp.ones((300, 8), jnp.bfloat16)
    prepare = functools.partial(prepared_rows, centre=np.ones(8, np.float32), mesh=mesh, chunk=100, unit=True)
    settings = {"mesh": mesh, "window": 3, "reverse": True}
    for traced, found in [
        (jax.jit(prepare).trace(rows), "rsqrt"),
        (finite_rows.trace(rows, mesh=mesh, chunk=100), "is_finite"),
        (rows_of.trace(rows, places, mesh=mesh), "all_reduce"),
        (summaries.trace(group.frames, group.lengths, jnp.zeros(3), mesh=mesh, chunk=32), "sqrt"),
        (mean_bounds.trace(query, gallery.summaries, mesh=mesh, chunk=32), "dot_general"),
        (warping_bounds.trace(query, group.frames, group.lengths, places, **settings), "while"),
    ]:
        assert found in traced.lower(lowering_platforms=(platform,)).as_text()


def test_items_come_one_behind() -> None:
    made = []
    seen = [(item, list(made)) for item in one_ahead(made.append(i) or i for i in range(3))]
    assert seen == [(0, [0, 1]), (1, [0, 1, 2]), (2, [0, 1, 2])]
    assert list(one_ahead(iter([]))) == []


def test_widths_are_few() -> None:
    widths = [rounded_up(width) for width in range(1, 5000)]
    assert all(width <= rounded <= 1.25 * width + 8 for width, rounded in enumerate(widths, 1))
    assert len(set(widths)) < 40
