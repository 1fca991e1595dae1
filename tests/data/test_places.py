"""Places: made walks with known returns, and a twin that looks at every pair of frames."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jaxret.data.ground_truth.places import frames_in_spans, place_partners, same_views
from jaxret.data.open import open_dataset
from jaxret.data.sampling.frames import chunk_spans


def pose(x: float, y: float, heading: float, roll: float = 0.0) -> np.ndarray:
    """A camera at (x, y, 0) that looks along `heading` degrees in the plane z = 0."""
    angle, turn = math.radians(heading), math.radians(roll)
    forward = np.array([math.cos(angle), math.sin(angle), 0.0])
    right, down = np.array([math.sin(angle), -math.cos(angle), 0.0]), np.array([0.0, 0.0, -1.0])
    matrix = np.eye(4)
    matrix[:3, 0] = math.cos(turn) * right + math.sin(turn) * down
    matrix[:3, 1] = -math.sin(turn) * right + math.cos(turn) * down
    matrix[:3, 2] = forward
    matrix[:3, 3] = [x, y, 0.0]
    return matrix


def slow_partners(poses, times, spans, distance, degrees, apart):
    """Every frame of every clip against every frame of every other."""
    found = np.zeros((len(spans), len(spans)), bool)
    for i, (start, end) in enumerate(spans):
        for j, (other_start, other_end) in enumerate(spans):
            if i == j or max(start - other_end, other_start - end) < apart - 1e-9:
                continue
            until = np.append(times[1:], np.inf)  # each frame is on display so long
            for a in np.flatnonzero((until > start + 1e-9) & (times < end - 1e-9)):
                for b in np.flatnonzero((until > other_start + 1e-9) & (times < other_end - 1e-9)):
                    near = math.dist(poses[a][:3, 3], poses[b][:3, 3]) <= distance
                    cosine = float(poses[a][:3, 2] @ poses[b][:3, 2])
                    found[i, j] |= near and math.degrees(math.acos(max(-1.0, min(1.0, cosine)))) <= degrees
    return found


def test_position_and_direction_both_count():
    here = [pose(0, 0, 0)]
    others = [pose(0.3, 0, 0), pose(0.31, 0, 0), pose(0, 0, 20), pose(0, 0, 21), pose(0, 0, 0, roll=90)]
    assert same_views(here, others, distance=0.3, degrees=20.0).tolist() == [[True, False, True, False, True]]
    assert same_views(here, [pose(0, 0, 180)], distance=0.0, degrees=180.0).all()
    assert same_views(here, here, distance=0.0, degrees=0.0).all()
    lost = np.full((1, 4, 4), np.nan)
    assert not same_views(lost, lost, distance=9.0, degrees=180.0).any()


def test_a_walk_there_and_back():
    """Out along a corridor and back: the way back sees the same places only looking the same way."""
    out = [pose(0.1 * step, 0, 0) for step in range(20)]
    times, spans = np.arange(40) / 10, chunk_spans(4.0, 0.5)
    facing_back = out + [pose(0.1 * step, 0, 180) for step in reversed(range(20))]
    assert not place_partners(facing_back, times, spans, distance=0.02, degrees=30.0).any()
    backwards = out + out[::-1]
    partners = place_partners(backwards, times, spans, distance=0.02, degrees=30.0)
    np.testing.assert_array_equal(partners, np.eye(8, dtype=bool)[::-1])
    # The two clips around the turn follow each other: with a second between they are no partners.
    assert place_partners(backwards, times, spans, distance=0.02, degrees=30.0, apart=1.0).sum() == 6


@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("apart", [0.0, 0.7])
def test_a_random_walk_against_every_pair_of_frames(overlap, apart):
    rng = np.random.default_rng(3)
    steps, turns = rng.normal(0, 0.3, (60, 2)).cumsum(axis=0), rng.normal(0, 25, 60).cumsum()
    poses = np.stack([pose(x, y, heading) for (x, y), heading in zip(steps, turns, strict=True)])
    times, spans = np.arange(60) / 10, chunk_spans(6.0, 0.8, overlap)
    partners = place_partners(poses, times, spans, distance=0.5, degrees=30.0, apart=apart)
    expected = slow_partners(poses, times, spans.tolist(), 0.5, 30.0, apart)
    np.testing.assert_array_equal(partners, expected)
    assert 0.05 < partners.mean() < 0.9
    np.testing.assert_array_equal(partners, partners.T)


def test_frames_of_spans():
    times = np.array([0.0, 0.1, 0.2, 0.3])
    assert frames_in_spans(times, [[0.1, 0.3], [0.3, 0.4], [0.0, 9.0], [0.14, 0.16]]).tolist() == [
        [1, 3], [3, 4], [0, 4], [1, 2]
    ]  # fmt: skip
    assert frames_in_spans(times, np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poses": np.eye(4)}, r"poses must have shape \(N, 4, 4\), got \(4, 4\)"),
        ({"times": [0.0]}, r"times must have shape \(2,\)"),
        ({"distance": -1.0}, "distance must be metres of at least 0, got -1.0"),
        ({"degrees": 181.0}, r"degrees must lie in 0..180, got 181.0"),
        ({"apart": -1.0}, "apart must be seconds of at least 0, got -1.0"),
    ],
)
def test_errors(change, message):
    good = {
        "poses": [np.eye(4)] * 2, "times": [0.0, 1.0], "spans": [[0.0, 1.0], [1.0, 2.0]],
        "distance": 1.0, "degrees": 10.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        place_partners(**{**good, **change})


def test_a_real_walk_comes_back(shared_media):
    dataset = open_dataset(f"rgbd:{shared_media / 'data' / 'rgbd_office'}")
    spans = chunk_spans(dataset.info(0).duration, 1.0)
    settings = {"distance": 0.3, "degrees": 20.0, "apart": 2.0}
    partners = place_partners(dataset.poses(0), dataset.times(0), spans, **settings)
    assert 0 < partners.any(axis=1).sum() < len(spans)
