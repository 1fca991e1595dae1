"""DTW, its path, Bi-DTW and windows against the slow twins, at every instruction set."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import dtw as twin
from reference.kernel_levels import at_every_level, forced

from jaxret.rank import available_simd_levels, bidtw, dtw, dtw_cdist, dtw_path

windows = st.one_of(st.none(), st.integers(0, 8))


def pair(seed: int, a_frames: int, b_frames: int, dimensions: int, *, integers: bool = False):
    rng = np.random.default_rng(seed)
    shapes = (a_frames, dimensions), (b_frames, dimensions)
    if integers:  # all sums are exact, and many paths tie
        return tuple(rng.integers(-2, 3, shape).astype(np.float32) for shape in shapes)
    return tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)


def path_cost(a, b, path) -> float:
    costs = twin.local_costs(a, b)
    return float(sum(costs[i, j] for i, j in path))


def assert_path(path, a_frames: int, b_frames: int) -> None:
    assert path.dtype == np.int64
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [a_frames - 1, b_frames - 1]
    assert {tuple(step) for step in np.diff(path, axis=0).tolist()} <= {(0, 1), (1, 0), (1, 1)}


@at_every_level
@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    a_frames=st.integers(1, 20),
    b_frames=st.integers(1, 20),
    dimensions=st.integers(1, 40),
    window=windows,
)
def test_integers_exactly(level, seed, a_frames, b_frames, dimensions, window):
    a, b = pair(seed, a_frames, b_frames, dimensions, integers=True)
    expected = twin.dtw(a, b, window)
    with forced(level):
        assert dtw(a, b, window=window) == expected
        assert bidtw(a, b, window=window) == twin.bidtw(a, b, window)
        assert bidtw(a, b, reverse="both", window=window) == expected
        distance, path = dtw_path(a, b, window=window)
    assert distance == expected == path_cost(a, b, path)
    assert_path(path, a_frames, b_frames)
    assert twin.allowed(a_frames, b_frames, window)[path[:, 0], path[:, 1]].all()


@at_every_level
@pytest.mark.parametrize("window", [None, 0, 3])
@pytest.mark.parametrize(
    ("a_frames", "b_frames", "dimensions"),
    [(1, 1, 1), (1, 9, 3), (9, 1, 3), (4, 5, 1), (15, 17, 16), (33, 31, 127), (17, 40, 129), (65, 8, 300), (50, 50, 7)],
)
def test_random_floats(level, window, a_frames, b_frames, dimensions):
    a, b = pair(a_frames * b_frames, a_frames, b_frames, dimensions)
    with forced(level):
        assert dtw(a, b, window=window) == pytest.approx(twin.dtw(a, b, window), rel=3e-6)
        assert bidtw(a, b, window=window) == pytest.approx(twin.bidtw(a, b, window), rel=3e-6)
        distance, path = dtw_path(a, b, window=window)
        assert distance == dtw(a, b, window=window)
    assert path_cost(a, b, path) == pytest.approx(distance, rel=3e-6)
    assert_path(path, a_frames, b_frames)


@pytest.mark.parametrize(("a_frames", "b_frames"), [(1, 1), (1, 5), (4, 4), (5, 3)])
def test_no_path_is_cheaper(a_frames, b_frames):
    a, b = pair(a_frames, a_frames, b_frames, 2)
    assert dtw(a, b) == pytest.approx(twin.all_paths_minimum(a, b), rel=3e-6)


@functools.cache
def distances_at(level: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    sequences = [rng.normal(size=(int(frames), 200)) + 3 for frames in rng.integers(1, 60, 40)]
    sequences += [sequence + rng.normal(size=sequence.shape) * 1e-3 for sequence in sequences[:8]]
    with forced(level):
        return np.array([dtw_cdist(sequences, sequences, reverse=way, window=9) for way in (None, "query")])


@pytest.mark.parametrize("level", available_simd_levels()[1:])
def test_every_level_gives_the_same_bits(level):
    np.testing.assert_array_equal(distances_at(level), distances_at(available_simd_levels()[0]))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), a_frames=st.integers(1, 40), b_frames=st.integers(1, 40), window=windows)
def test_symmetric_to_the_bit(seed, a_frames, b_frames, window):
    a, b = pair(seed, a_frames, b_frames, 150)
    assert dtw(a, b, window=window) == dtw(b, a, window=window)
    assert dtw(a, a, window=window) == 0.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), a_frames=st.integers(1, 30), b_frames=st.integers(1, 30), window=windows)
def test_the_printed_bidtw_is_dtw(seed, a_frames, b_frames, window):
    """min(DTW(a, b), DTW(reversed a, reversed b)) = DTW(a, b), also with a window and unequal lengths."""
    a, b = pair(seed, a_frames, b_frames, 6)
    forwards = dtw(a, b, window=window)
    assert dtw(a[::-1], b[::-1], window=window) == pytest.approx(forwards, rel=1e-5)
    assert twin.bidtw_as_printed(a, b, window) == pytest.approx(forwards, rel=1e-5)
    assert bidtw(a, b, reverse="both", window=window) == forwards
    assert bidtw(a, b, window=window) == pytest.approx(bidtw(a, b[::-1], window=window), rel=1e-5)


def test_reversed_motion_is_near_only_in_bidtw():
    a = np.linspace([0.0, 0.0], [9.0, 3.0], 20)
    assert bidtw(a, a[::-1]) == 0.0
    assert bidtw(a, a[::-1], reverse="both") > 100.0


@at_every_level
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
@pytest.mark.parametrize("spread", [1e-2, 1.0, 30.0])
def test_close_together_far_from_the_origin(level, offset, spread):
    """A plain matrix product loses all digits here; the reference is measured on the same float32 values."""
    rng = np.random.default_rng(5)
    centre = rng.normal(size=64) * offset
    a, b = ((centre + rng.normal(size=(frames, 64)) * spread).astype(np.float32) for frames in (21, 18))
    with forced(level):
        assert dtw(a, b) == pytest.approx(twin.dtw(a, b), rel=2e-5)
        assert dtw(a, a.copy()) == 0.0


@at_every_level
def test_one_near_duplicate_among_far_frames(level):
    """Cells that cancel and cells that do not, side by side."""
    rng = np.random.default_rng(6)
    a = rng.normal(size=(30, 96)).astype(np.float32) * 100
    b = a + rng.normal(size=a.shape).astype(np.float32) * 1e-2
    with forced(level):
        assert dtw(a, b) == pytest.approx(twin.dtw(a, b), rel=2e-5)


@pytest.mark.parametrize("window", [0, 1, 5])
def test_window_zero_to_wide(window):
    a, b = pair(1, 12, 12, 4)
    assert dtw(a, b, window=0) == pytest.approx(((a - b) ** 2).sum(), rel=1e-5)
    assert dtw(a, b, window=window) >= dtw(a, b, window=window + 1) >= dtw(a, b)
    assert dtw(a, b, window=11) == dtw(a, b, window=10**12) == dtw(a, b)
    short, long = pair(2, 3, 40, 4)
    assert np.isfinite(dtw(short, long, window=0))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "longdouble"])
def test_any_float_dtype_and_layout(dtype):
    a, b = pair(4, 9, 7, 5, integers=True)
    expected = twin.dtw(a, b)
    wide = np.zeros((18, 10), dtype)
    wide[::2, ::2] = a
    assert dtw(wide[::2, ::2], b.astype(dtype)) == expected
    assert dtw(np.asfortranarray(a.astype(dtype)), b[::-1][::-1]) == expected
    frozen = a.astype(dtype)
    frozen.flags.writeable = False
    assert dtw(frozen, b.tolist()) == expected


def test_path_tie_rule():
    flat = np.zeros((3, 1))
    assert dtw_path(flat, np.zeros((5, 1)))[1].tolist() == [[0, 0], [0, 1], [0, 2], [1, 3], [2, 4]]
    assert dtw_path(np.zeros((4, 1)), np.zeros((2, 1)))[1].tolist() == [[0, 0], [1, 0], [2, 0], [3, 1]]


def test_a_long_pair():
    a, b = pair(8, 700, 900, 3)
    distance, path = dtw_path(a, b)
    assert distance == dtw(a, b)
    assert path_cost(a, b, path) == pytest.approx(distance, rel=1e-5)
    assert_path(path, 700, 900)
