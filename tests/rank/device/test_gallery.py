"""`DeviceGallery` against the kernels of the CPU and their slow twins, on the CPU as XLA's device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import awkward_galleries as awkward
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import nearest

import jaxret.rank.device.vector_search as vector_search
from jaxret import rank
from jaxret.rank import DeviceGallery
from jaxret.rank.on_device import device_gallery

SMALL = 1 << 20  # bytes beside the gallery: it is compared in several chunks
VECTOR_SEARCHES = {
    "euclidean": (rank.euclidean_topk, nearest.euclidean_topk),
    "cosine": (rank.cosine_topk, nearest.cosine_topk),
}
each_metric = pytest.mark.parametrize("metric", VECTOR_SEARCHES)


def test_one_to_four_devices() -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    program = Path(__file__).parents[2] / "four_devices.py"
    subprocess.run([sys.executable, str(program)], check=True, env={**os.environ, "XLA_FLAGS": flags})


@each_metric
@pytest.mark.parametrize("dtype", ["f2", "f4", "bfloat16"])
def test_ids_distances_and_cosines_are_those_of_the_kernels(metric: str, dtype: str) -> None:
    queries, gallery = awkward.vectors(1, 700, 12, "f4" if dtype == "bfloat16" else dtype)
    gallery = gallery.astype(jnp.bfloat16.dtype) if dtype == "bfloat16" else gallery
    search, _ = VECTOR_SEARCHES[metric]
    on_device = DeviceGallery(gallery, "cpu", working_bytes=SMALL)
    awkward.assert_equal(search(queries, on_device, 9), search(queries, gallery, 9))
    awkward.assert_equal(search(queries[5], on_device, 9), search(queries[5], gallery, 9))
    if metric == "euclidean":
        awkward.assert_equal(rank.par(queries, on_device, 9, 0.3), rank.par(queries, gallery, 9, 0.3))


@each_metric
def test_whole_numbers_against_the_slow_twin(metric: str) -> None:
    """All sums are exact and many distances tie, so ids decide."""
    rng = np.random.default_rng(2)
    gallery, queries = rng.integers(-2, 3, (700, 12)), rng.integers(-2, 3, (11, 12))
    gallery, queries = gallery.astype("f4"), queries.astype("f4")
    search, twin = VECTOR_SEARCHES[metric]
    found = search(queries, DeviceGallery(gallery, "cpu", working_bytes=SMALL), 9)
    ids, distances = twin(queries, gallery, 9)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.distances, distances)


@each_metric
@pytest.mark.parametrize("size", ["far", "small", "large", "overflowing", "tiny"])
def test_extreme_numbers(metric: str, size: str) -> None:
    """Where float32 products cancel, overflow or vanish, the exact kernels still have the last word."""
    queries, gallery = awkward.vectors(3, 700, 12)
    change = {
        "far": lambda x: x + np.float32(3000),
        "small": lambda x: x * np.float32(1e-12),
        "large": lambda x: x * np.float32(1e14),
        "overflowing": lambda x: x * np.float32(1e25),
        "tiny": lambda x: x * np.float32(1e-25),
    }[size]
    search, _ = VECTOR_SEARCHES[metric]
    queries, gallery = change(queries), change(gallery)
    awkward.assert_equal(
        search(queries, DeviceGallery(gallery, "cpu", working_bytes=SMALL), 9), search(queries, gallery, 9)
    )


def test_a_subnormal_row_is_no_row_of_zeros() -> None:
    """XLA takes its numbers for zeros, whose cosine is 0; the kernels do not."""
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(11, 12)).astype("f4"), rng.normal(size=(700, 12)).astype("f4")
    gallery[123] = queries[5] * np.float32(1e-39)
    on_device = DeviceGallery(gallery, "cpu", working_bytes=SMALL)
    assert rank.cosine_topk(queries[5], gallery, 9).ids[0, 0] == 123
    awkward.assert_equal(rank.cosine_topk(queries, on_device, 9), rank.cosine_topk(queries, gallery, 9))


@pytest.mark.parametrize("dtype", ["f2", "f4", "bfloat16"])
def test_rows_come_back_with_their_bits(dtype: str) -> None:
    gallery = awkward.vectors(1, 700, 12, "f4" if dtype == "bfloat16" else dtype)[1]
    gallery = gallery.astype(jnp.bfloat16.dtype) if dtype == "bfloat16" else gallery
    back = DeviceGallery(gallery, "cpu").vectors(np.arange(700))
    np.testing.assert_array_equal(back.view(np.uint32), gallery.astype(np.float32).view(np.uint32))


def test_float64_of_jax_is_narrowed_by_this_machine() -> None:
    with jax.enable_x64():
        rows = jnp.asarray([[1e-39, -0.0], [1.0, -1e-40]])
        back = DeviceGallery(rows).vectors(np.arange(2))
    np.testing.assert_array_equal(back.view(np.uint32), np.asarray(rows).astype(np.float32).view(np.uint32))


def test_more_rows_are_kept_where_many_tie(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred rows as near as the k-th: the first proof fails, the second holds, and nothing is read back."""
    rng = np.random.default_rng(4)
    gallery = rng.normal(size=(1000, 12)).astype("f4")
    gallery[rng.permutation(1000)[:100]] = gallery[17]
    widths = []
    original = vector_search.nearest_rows

    def noted(*args: object, width: int, **rest: object) -> object:
        widths.append(width)
        return original(*args, width=width, **rest)

    monkeypatch.setattr(vector_search, "nearest_rows", noted)
    monkeypatch.setattr(DeviceGallery, "blocks", lambda self: pytest.fail("read back"))
    on_device = DeviceGallery(gallery, "cpu")
    awkward.assert_equal(rank.euclidean_topk(gallery[17], on_device, 5), rank.euclidean_topk(gallery[17], gallery, 5))
    assert widths == [24, 96, 384]


@each_metric
def test_the_gallery_is_read_back_where_nothing_can_be_ruled_out(metric: str) -> None:
    rng = np.random.default_rng(5)
    gallery = np.tile(rng.normal(size=(1, 12)).astype("f4"), (700, 1))
    queries = rng.normal(size=(11, 12)).astype("f4")
    search, _ = VECTOR_SEARCHES[metric]
    on_device = DeviceGallery(gallery, "cpu", working_bytes=SMALL)
    awkward.assert_equal(search(queries, on_device, 9), search(queries, gallery, 9))
    awkward.assert_equal(rank.par(queries, on_device, 9, -1), rank.par(queries, gallery, 9, -1))


@pytest.mark.parametrize(("width", "k"), [(1, 1), (5, 90), (33, 703)])
def test_codes(width: int, k: int) -> None:
    queries, gallery = awkward.codes(6, 703, width)
    on_device = DeviceGallery(gallery, "cpu", working_bytes=SMALL)
    found = rank.hamming_topk(queries, on_device, k)
    awkward.assert_equal(found, rank.hamming_topk(queries, gallery, k))
    twin = nearest.rank_by_distance(nearest.hamming_distances(queries, gallery), k)
    np.testing.assert_array_equal(found.ids, twin[0])


def test_arrays_of_jax_and_memory_mapped_ones(tmp_path: Path) -> None:
    queries, gallery = awkward.vectors(7, 700, 12)
    expected = rank.euclidean_topk(queries, gallery, 9)
    lying = jnp.asarray(gallery)
    on_device = DeviceGallery(lying, jax.devices()[0])
    kept = on_device.bounded_rows(unit=False)[0].vectors
    assert kept.unsafe_buffer_pointer() == lying.unsafe_buffer_pointer()  # no copy
    awkward.assert_equal(rank.euclidean_topk(jnp.asarray(queries), on_device, 9), expected)
    np.save(tmp_path / "gallery.npy", gallery)
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    awkward.assert_equal(rank.euclidean_topk(queries, DeviceGallery(mapped, "cpu"), 9), expected)
    backwards = gallery.astype(">f8")[::-1, ::-1]
    awkward.assert_equal(
        rank.euclidean_topk(queries, DeviceGallery(backwards, "cpu"), 9), rank.euclidean_topk(queries, backwards, 9)
    )
    codes = jnp.asarray(awkward.codes(7, 703, 5)[1])
    awkward.assert_equal(rank.hamming_topk(codes[:2], DeviceGallery(codes), 5), rank.hamming_topk(codes[:2], codes, 5))


def test_an_array_of_jax_is_searched_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this machine's memory: by the CPU's kernels. On an accelerator: there."""
    queries, gallery = awkward.vectors(9, 700, 12)
    lying = jnp.asarray(gallery)
    assert device_gallery(lying) is None
    assert device_gallery(gallery) is None
    on_device = DeviceGallery(lying)
    assert device_gallery(on_device) is on_device
    monkeypatch.setattr("jaxret.rank.on_device._SEARCHED_BY_THE_KERNELS", "none")  # the CPU as an accelerator
    assert isinstance(device_gallery(lying), DeviceGallery)
    assert device_gallery(gallery) is None
    awkward.assert_equal(rank.euclidean_topk(queries, lying, 9), rank.euclidean_topk(queries, gallery, 9))


def test_progress_ends_with_the_gallery() -> None:
    queries, gallery = awkward.vectors(8, 700, 12)
    told: list[tuple[int, int]] = []
    on_device = DeviceGallery(gallery, "cpu")
    rank.euclidean_topk(queries, on_device, 9, progress=lambda done, all: told.append((done, all)))
    assert told[-1] == (700, 700)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize(
    ("rows", "rest", "error", "message"),
    [
        (np.ones((3, 2), int), {}, TypeError, "rows must have a float dtype, got int64"),
        (np.ones(3), {}, ValueError, r"rows must have the shape \(N, D\), got \(3,\)"),
        (np.ones((0, 3)), {}, ValueError, r"rows must not be empty, got shape \(0, 3\)"),
        (np.ones((3, 0), np.uint8), {}, ValueError, "rows must have at least one byte a code"),
        (np.array([[1, 2], [3, np.nan]]), {}, ValueError, r"rows must be finite in float32, got nan at \[1, 1\]"),
        (np.array([[1, 1e39], [3, 1]]), {}, ValueError, r"rows must be finite in float32, got inf at \[0, 1\]"),
        (np.ones((3, 2)), {"devices": "abacus"}, ValueError, r"devices must be of a kind that JAX finds here \(cpu\)"),
        (np.ones((3, 2)), {"devices": []}, ValueError, "devices must name at least one device, got none"),
        (np.ones((3, 2)), {"devices": [1]}, TypeError, "devices must be a kind, devices of JAX or a mesh, got 1"),
        (np.ones((3, 2)), {"devices": 3}, TypeError, "devices must be a kind, devices of JAX or a mesh, got 3"),
        (np.ones((3, 2)), {"devices": ""}, ValueError, "devices must name a kind, .* got ''"),
        (np.ones((3, 2)), {"devices": 2 * jax.devices()[:1]}, ValueError, "devices must differ"),
        (np.ones((3, 2)), {"working_bytes": 10}, ValueError, r"working_bytes must be at least 2\^20, got 10"),
        (np.ones((1, 2**18 + 1)), {}, ValueError, "rows must have at most 262144 dimensions on devices, got 262145"),
        (np.ones((1, 2**20 + 1), np.uint8), {}, ValueError, "codes must have at most 1048576 bytes, got 1048577"),
    ],
)
def test_what_a_gallery_refuses(rows: np.ndarray, rest: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DeviceGallery(rows, **rest)


def test_what_a_search_refuses() -> None:
    vectors, codes = DeviceGallery(np.ones((3, 2))), DeviceGallery(np.ones((3, 2), np.uint8))
    with pytest.raises(ValueError, match="k must be at most the 3 gallery items, got 4"):
        rank.euclidean_topk(np.ones(2), vectors, 4)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        rank.hamming_topk(np.ones(2, np.uint8), codes, 0)
    with pytest.raises(ValueError, match="same number of dimensions, got 3 and 2"):
        rank.par(np.ones(3), vectors, 1, 0)
    with pytest.raises(ValueError, match="same number of bytes a code, got 3 and 2"):
        rank.hamming_topk(np.ones(3, np.uint8), codes, 1)
    with pytest.raises(TypeError, match="gallery must have a float dtype, got uint8"):
        rank.cosine_topk(np.ones(2), codes, 1)
    with pytest.raises(TypeError, match=r"gallery_codes must have the dtype uint8 .*, got float64"):
        rank.hamming_topk(np.ones(2, np.uint8), vectors, 1)
    with pytest.raises(ValueError, match=r"queries must be finite in float32, got inf at \[0, 1\]"):
        rank.euclidean_topk(np.array([1, np.inf]), vectors, 1)
    for search in (
        lambda: rank.hamming_topk(np.ones(2, np.uint8), codes, 1, threads="x"),
        lambda: rank.cosine_topk(np.zeros(2), vectors, 1, threads="x"),
    ):
        with pytest.raises(TypeError, match="threads must be an integer or None, got 'x'"):
            search()
    with pytest.raises(TypeError, match=r"gallery_codes must be .*, got DeviceGallery: .* need the rows themselves"):
        rank.hamming_within(np.ones(2, np.uint8), codes, 1)
    assert repr(codes) == "DeviceGallery(3 x 2 uint8 on 1 x cpu)"
    assert (vectors.nbytes, codes.nbytes, len(codes)) == (24, 12, 3)
