"""Cleaning of shots: matching against loops, components against a slow twin, and clips that hold a cut."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxret.data.sampling.shot_cleaning import (
    clean_shot,
    count_shared,
    frame_match_scores,
    sift_descriptors,
    strongest_component,
)
from jaxret.errors import ConfigError


def slow_count(first: np.ndarray, second: np.ndarray) -> int:
    def best(vector, others):
        distances = [np.sqrt(((vector - other) ** 2).sum()) for other in others]
        order = np.argsort(distances, kind="stable")
        sure = len(others) == 1 or distances[order[0]] < 0.8 * distances[order[1]]
        return int(order[0]), sure

    count = 0
    for i, vector in enumerate(first):
        j, sure = best(vector, second)
        back, sure_back = best(second[j], first)
        count += back == i and sure and sure_back
    return count


@pytest.mark.parametrize("seed", range(8))
def test_shared_descriptors_equal_loops(seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 200, (rng.integers(1, 12), 6)).astype(np.float32)
    second = np.concatenate([first[::2] + rng.integers(0, 9, first[::2].shape), rng.integers(0, 200, (seed, 6))])
    assert count_shared(first, second) == slow_count(first, second) == count_shared(second, first)
    assert count_shared(first, first) == len(first)


def test_no_descriptors_share_nothing():
    assert count_shared(np.zeros((0, 6)), np.ones((3, 6))) == 0
    with pytest.raises(ValueError, match=r"must be \(N, D\) and \(M, D\), got \(2, 3\) and \(2, 4\)"):
        count_shared(np.ones((2, 3)), np.ones((2, 4)))


@settings(max_examples=100)
@given(st.integers(1, 7), st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_components_equal_joining_sets(count, seed, threshold):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.integers(0, 5, (count, count)) / 4 * (rng.random((count, count)) < 0.5), 1)
    scores = upper + upper.T
    sets = [{number} for number in range(count)]
    for _ in range(count):
        for i in range(count):
            for j in range(count):
                if i != j and scores[i, j] > threshold:
                    a, b = (next(s for s in sets if n in s) for n in (i, j))
                    if a is not b:
                        sets.remove(b)
                        a |= b
    strength = [
        (sum(scores[i, j] for i in s for j in s if i < j and scores[i, j] > threshold), len(s), -min(s)) for s in sets
    ]
    expected = sorted(sets[max(range(len(sets)), key=lambda n: strength[n])])
    assert strongest_component(scores, threshold).tolist() == expected


def test_strength_is_the_sum_of_scores_and_not_the_number_of_frames():
    scores = np.zeros((5, 5))
    for i, j, score in ((0, 1, 1.0), (2, 3, 0.3), (3, 4, 0.3)):
        scores[i, j] = scores[j, i] = score
    assert strongest_component(scores).tolist() == [0, 1]
    assert strongest_component(scores, 1.0).tolist() == [0]  # nothing is connected: the first frame
    assert strongest_component(np.ones((1, 1))).tolist() == [0]


@pytest.mark.parametrize(
    ("scores", "threshold", "message"),
    [
        (np.zeros((2, 3)), 0.25, r"square \(T, T\) with T at least 1, got \(2, 3\)"),
        (np.triu(np.ones((2, 2))), 0.25, "finite and symmetric"),
        (np.full((2, 2), np.nan), 0.25, "finite and symmetric"),
        (np.ones((2, 2)), 1.5, r"threshold must lie in 0\.\.1, got 1\.5"),
    ],
)
def test_bad_scores_are_named(scores, threshold, message):
    with pytest.raises(ValueError, match=message):
        strongest_component(scores, threshold)


def texture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((200, 150), Image.Resampling.BICUBIC))


def shot(seed: int, count: int) -> np.ndarray:
    """A camera that moves over an image, two pixels a frame."""
    return np.stack([texture(seed)[10:106, 2 * n : 2 * n + 128] for n in range(count)])


def test_a_clip_with_a_cut_keeps_its_longer_shot():
    pytest.importorskip("cv2")
    clip = np.concatenate([shot(0, 3), shot(1, 5)])
    assert clean_shot(clip).tolist() == [3, 4, 5, 6, 7]
    assert clean_shot(clip[::-1]).tolist() == [0, 1, 2, 3, 4]
    assert clean_shot(shot(2, 4)).tolist() == [0, 1, 2, 3]
    scores = frame_match_scores(clip)
    assert scores[:3, 3:].max() < 0.1
    assert scores[3, 4] > 0.4
    np.testing.assert_array_equal(scores, scores.T)
    np.testing.assert_array_equal(np.diag(scores), 0)


def test_scores_count_descriptors_of_both_frames_once():
    pytest.importorskip("cv2")
    frames = shot(0, 2)
    first, second = map(sift_descriptors, frames)
    shared = count_shared(first, second)
    assert 0 < shared < min(len(first), len(second))
    assert frame_match_scores(frames)[0, 1] == shared / (len(first) + len(second) - shared)
    assert frame_match_scores(np.stack([frames[0], frames[0]]))[0, 1] > 0.95
    assert len(sift_descriptors(frames[0], 20)) < 30 < len(first)


def test_flat_frames_have_nothing_to_match():
    pytest.importorskip("cv2")
    assert sift_descriptors(np.full((40, 50, 3), 90, np.uint8)).shape == (0, 128)
    assert clean_shot(np.full((3, 40, 50, 3), 90, np.uint8)).tolist() == [0]


def test_bad_frames_and_settings_are_named():
    with pytest.raises(ValueError, match=r"frames must be uint8 \(T, H, W, 3\) .* got float64 \(2, 3\)"):
        clean_shot(np.ones((2, 3)))
    with pytest.raises(ValueError, match="max_descriptors must be at least 1, got 0"):
        clean_shot(np.zeros((1, 40, 50, 3), np.uint8), max_descriptors=0)


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match="cleaning shots by SIFT needs the extra `opencv`"):
        clean_shot(np.zeros((1, 40, 50, 3), np.uint8))
