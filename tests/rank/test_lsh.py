"""Random-hyperplane codes against their definition bit by bit, and against the angle that they estimate."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import jaxret.rank.lsh as lsh
from jaxret.rank import RandomHyperplanes, hamming_topk, unpack_bits


def test_each_bit_says_on_which_side_of_its_plane_a_vector_lies(monkeypatch):
    monkeypatch.setattr(lsh, "_BLOCK_PROJECTIONS", 50)  # several blocks, the last one shorter
    rng = np.random.default_rng(1)
    vectors, center = rng.normal(size=(11, 5)).astype(np.float32), rng.normal(size=5)
    planes = RandomHyperplanes(5, 24, seed=3, center=center)
    codes = planes.codes(vectors)
    assert codes.shape == (11, 3)
    assert codes.dtype == np.uint8
    for vector, bits in zip(vectors, unpack_bits(codes), strict=True):
        for bit, normal in zip(bits, planes.normals, strict=True):
            moved = [float(v) - float(np.float32(c)) for v, c in zip(vector, center, strict=True)]
            side = sum(n * m for n, m in zip(normal, moved, strict=True))
            assert bit == (side >= 0)
    np.testing.assert_array_equal(planes.codes(vectors[4]), codes[4:5])


@pytest.mark.parametrize("degrees", [5, 30, 60, 90, 135, 175])
@pytest.mark.parametrize("dimension", [2, 64])
def test_the_hamming_distance_estimates_the_angle(degrees, dimension):
    """The distance is binomial, of mean bits * p and variance bits * p * (1 - p) with p = angle / pi.

    Six standard deviations: 12 such tests fail by chance in fewer than one of 10^7 choices of the seed.
    """
    bits, angle = 8192, math.radians(degrees)
    a, b = np.zeros((2, dimension))
    a[0] = 3.0  # lengths do not matter
    b[0], b[1] = 0.2 * math.cos(angle), 0.2 * math.sin(angle)
    planes = RandomHyperplanes(dimension, bits, seed=degrees)
    distance = float(hamming_topk(planes.codes(a), planes.codes(b), 1).distances[0, 0])
    p = angle / math.pi
    assert abs(distance - bits * p) <= 6 * math.sqrt(bits * p * (1 - p))


def test_codes_see_directions_from_the_center_and_nothing_else():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 16))
    planes = RandomHyperplanes(16, 64, seed=0)
    np.testing.assert_array_equal(planes.codes(vectors * 8), planes.codes(vectors))
    np.testing.assert_array_equal(planes.codes(-vectors), ~planes.codes(vectors))
    assert (planes.codes(np.zeros(16)) == 255).all()
    exact = np.rint(vectors * 64) / 64  # still exact in float32 after the shift
    moved = RandomHyperplanes(16, 64, seed=0, center=np.full(16, 4.0))
    np.testing.assert_array_equal(moved.codes(exact + 4.0), planes.codes(exact))
    # All in one orthant: seen from the origin they are one crowd, seen from their mean they are spread.
    crowd = np.abs(rng.normal(size=(50, 16))) + 3
    near = RandomHyperplanes(16, 256, seed=0).codes(crowd)
    spread = RandomHyperplanes(16, 256, seed=0, center=crowd.mean(axis=0)).codes(crowd)
    assert hamming_topk(near, near, 50).distances.mean() < 0.15 * 256
    assert hamming_topk(spread, spread, 50).distances.mean() == pytest.approx(128, rel=0.1)


def test_the_seed_decides_everything():
    vectors = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float16)
    first, again = RandomHyperplanes(7, 40, seed=5), RandomHyperplanes(7, 40, seed=5)
    np.testing.assert_array_equal(first.codes(vectors), again.codes(vectors))
    np.testing.assert_array_equal(first.codes(vectors)[3:4], first.codes(vectors[3]))
    assert (first.codes(vectors) != RandomHyperplanes(7, 40, seed=6).codes(vectors)).any()
    with pytest.raises(ValueError, match="read-only"):
        first.normals[0, 0] = 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"bits": 12}, ValueError, "bits must be a multiple of 8, .* got 12: take 8 or 16"),
        ({"bits": 3}, ValueError, "bits must be a multiple of 8, .* got 3: take 8$"),
        ({"bits": 0}, ValueError, "bits must be at least 1, got 0"),
        ({"bits": -8}, ValueError, "bits must be at least 1, got -8"),
        ({"bits": 8.0}, TypeError, "bits must be an integer, got 8.0"),
        ({"dimension": 0}, ValueError, "dimension must be at least 1, got 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": None}, TypeError, "seed must be an integer, got None"),
        ({"center": np.zeros(3)}, ValueError, r"center must have the shape \(4,\), got \(3,\)"),
        ({"center": np.zeros((4, 1))}, ValueError, r"center must have the shape \(4,\)"),
        ({"center": np.array([0, 0, np.nan, 0])}, ValueError, "center must be finite"),
        ({"center": [1, 2, 3, 4]}, TypeError, "center must have a float dtype"),
    ],
)
def test_bad_settings_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        RandomHyperplanes(**({"dimension": 4, "bits": 8, "seed": 0} | arguments))


@pytest.mark.parametrize(
    ("vectors", "error", "message"),
    [
        (np.zeros((2, 3)), ValueError, "vectors must have dimension 4, got 3"),
        (np.zeros((0, 4)), ValueError, "vectors must not be empty"),
        (np.full((1, 4), np.inf), ValueError, "vectors must be finite"),
        (np.zeros((1, 4), int), TypeError, "vectors must have a float dtype"),
    ],
)
def test_bad_vectors_are_named(vectors, error, message):
    with pytest.raises(error, match=message):
        RandomHyperplanes(4, 8, seed=0).codes(vectors)


def test_no_jax_is_needed():
    code = "import sys; from jaxret.rank import RandomHyperplanes as R; R(4, 8, 0).codes([[1.0, 2, 3, 4]])"
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('jax' in sys.modules)"], check=False)
    assert done.returncode == 0
