"""Shots found while frames stream by, against a loop over all frames, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.retrieval.encode.shots import (
    Shot,
    ShotDetector,
    consecutive_distances,
    detect_cuts,
    random_cuts,
    shots_between,
)


def film(seed: int, lengths: list[int], noise: float = 0.05) -> np.ndarray:
    """Frame vectors of shots of these lengths: each near a direction of its own, scaled at random."""
    rng = np.random.default_rng(seed)
    rows = [np.eye(len(lengths) + 1)[number] for number, length in enumerate(lengths) for _ in range(length)]
    return (np.array(rows) + noise * rng.normal(size=(len(rows), len(lengths) + 1))) * rng.uniform(1, 9, (len(rows), 1))


def slow_shots(vectors, times, end, threshold, limit) -> list[tuple]:
    """Frame by frame, with cosines by hand."""
    shots, current = [], [0]
    for number in range(1, len(vectors)):
        u, v = vectors[number - 1], vectors[number]
        cosine = sum(a * b for a, b in zip(u, v, strict=True)) / np.sqrt(sum(u**2) * sum(v**2))
        if 1 - cosine > threshold:
            shots.append((current, times[number]))
            current = []
        current.append(number)
    shots.append((current, end))
    rows = []
    for members, until in shots:
        kept = members
        if limit is not None and len(members) > limit:
            kept = [members[int((k + 0.5) * len(members) / limit)] for k in range(limit)]
        rows.append((members[0], members[-1] + 1, times[members[0]], until, kept))
    return rows


def as_rows(shots: list[Shot]) -> list[tuple]:
    return [(s.first, s.stop, s.start, s.end, s.frames.tolist()) for s in shots]


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.lists(st.integers(0, 7), min_size=1, max_size=12),
    st.sampled_from([1, 3, 4, None]),
    st.integers(0, 99),
)
def test_blocks_of_any_size_give_the_shots_of_a_loop(lengths, blocks, limit, seed):
    vectors = film(seed, lengths).astype(np.float32)
    times = np.arange(len(vectors)) / 3
    end = times[-1] + 1 / 3
    detector = ShotDetector(0.5, limit)
    found, place = [], 0
    while place < len(vectors):
        for size in [*blocks, 5]:
            found += detector.add(vectors[place : place + size], times[place : place + size])
            place += size
    found += detector.finish(end)
    assert as_rows(found) == slow_shots(vectors.astype(np.float64), times, end, 0.5, limit)
    whole = shots_between(vectors, times, end, detect_cuts(vectors), max_frames=limit)
    assert as_rows(whole) == as_rows(found)
    for shot, same in zip(found, whole, strict=True):
        np.testing.assert_array_equal(shot.vectors, vectors[shot.frames])
        np.testing.assert_array_equal(same.vectors, shot.vectors)
    assert [s.stop - s.first for s in found] == lengths  # directions of their own: every cut is found
    assert detector.finish(0.0) == []  # as new
    assert len(detector.add(vectors, times)) == len(lengths) - 1


def test_the_threshold_is_a_cosine_distance_that_must_be_passed():
    angles = np.array([0, 60, 121, 121])  # cosines 1/2 and a little less than 1/2
    vectors = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1)
    np.testing.assert_allclose(consecutive_distances(vectors), [0.5, 1 - np.cos(np.radians(61)), 0], atol=1e-6)
    assert detect_cuts(vectors, 0.501).tolist() == [2]
    assert detect_cuts(vectors, 0.6).tolist() == []
    assert consecutive_distances(np.zeros((0, 4))).shape == (0,)


def test_black_frames_are_shots_of_their_own():
    vectors = np.array([[1.0, 0], [0, 0], [0, 0], [1, 0]])
    np.testing.assert_array_equal(consecutive_distances(vectors), [1, 0, 1])
    assert detect_cuts(vectors).tolist() == [1, 3]


def test_no_frame_is_cut_from_one_that_is_equal():
    """Whatever rounding makes of u.u / (|u| |u|), and the first frame of a film begins no second shot."""
    vectors = np.repeat(np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32), 2, axis=0)
    assert detect_cuts(vectors, 0.0).tolist() == list(range(2, 100, 2))
    detector = ShotDetector(threshold=0.0)
    shots = detector.add(vectors, np.arange(100.0)) + detector.finish(100.0)
    assert [len(shot.vectors) for shot in shots] == [2] * 50


def test_slow_change_is_no_cut():
    """Consecutive frames are compared, not each with the first of its shot."""
    angles = np.radians(np.arange(0, 180, 10))
    assert not len(detect_cuts(np.stack([np.cos(angles), np.sin(angles)], axis=1)))


def test_random_cuts_are_seeded_different_and_everywhere():
    rng = np.random.default_rng
    np.testing.assert_array_equal(random_cuts(50, 7, rng(1)), random_cuts(50, 7, rng(1)))
    drawn = [random_cuts(6, 2, rng(seed)) for seed in range(400)]
    assert all(0 < a < b < 6 for a, b in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=6)
    assert counts[0] == 0
    assert counts[1:].min() > 120  # 160 expected
    assert len(random_cuts(1, 0, rng(0))) == 0


def test_no_cuts_are_one_shot_of_the_whole_video():
    (shot,) = shots_between(np.ones((200, 3)), np.arange(200) / 3, 70.0, [], max_frames=50)
    assert (shot.first, shot.stop, shot.start, shot.end) == (0, 200, 0.0, 70.0)
    np.testing.assert_array_equal(shot.frames, 2 + 4 * np.arange(50))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ShotDetector(threshold=2.5), r"threshold must be a cosine distance in 0\.\.2, got 2\.5"),
        (lambda: ShotDetector(max_frames=0), "max_frames must be at least 1, got 0"),
        (lambda: ShotDetector().add(np.ones(3), [0.0]), r"vectors must have shape \(M, D\), got \(3,\)"),
        (lambda: ShotDetector().add(np.full((1, 2), np.nan), [0.0]), "vectors must be finite"),
        (lambda: ShotDetector().add(np.ones((2, 2)), [0.0]), r"times must have shape \(2,\)"),
        (lambda: ShotDetector().add(np.ones((2, 2)), [1.0, 0.0]), "not decrease"),
        (lambda: random_cuts(5, 5, np.random.default_rng(0)), r"cuts must lie in 0\.\.4 for 5 frames, got 5"),
        (lambda: shots_between(np.ones((3, 2)), [0, 1, 2], 3.0, [2, 1]), r"ascend within 1\.\.2, got \[2, 1\]"),
        (lambda: shots_between(np.ones((3, 2)), [0, 1, 2], 3.0, [3]), r"ascend within 1\.\.2, got \[3\]"),
        (lambda: shots_between(np.ones((3, 2)), [0, 1, 2], 3.0, [0.5]), "cuts must be whole numbers"),
        (lambda: shots_between(np.ones((3, 2)), [0, 1, 2], 1.0, []), "up to the end at 1.0"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_detector_notices_when_calls_do_not_fit_together():
    detector = ShotDetector()
    detector.add(np.ones((2, 2)), [0.0, 1.0])
    with pytest.raises(ValueError, match=r"not decrease, got \[0\.5\] after 1\.0"):
        detector.add(np.ones((1, 2)), [0.5])
    with pytest.raises(ValueError, match="must have 2 numbers as those before, got 3"):
        detector.add(np.ones((1, 3)), [2.0])
    with pytest.raises(ValueError, match=r"before the last frame at 1\.0 s, got 0\.5"):
        detector.finish(0.5)
