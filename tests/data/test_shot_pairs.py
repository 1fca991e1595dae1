"""Pairs of an image and a shot: what belongs together, how often, and that batches resume."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jaxret.data.batches.loader import TrainingInput
from jaxret.data.batches.plans import ShuffledBatches
from jaxret.data.batches.shot_pairs import ShotPairs
from jaxret.errors import ConfigError

LENGTHS = [3, 1, 5, 2]


def shots() -> list[np.ndarray]:
    """Frame f of shot s is the vector (s, f)."""
    return [np.array([(shot, frame) for frame in range(length)]) for shot, length in enumerate(LENGTHS)]


def test_each_pair_is_an_image_of_the_shot_and_a_whole_padded_sequence():
    pairs = ShotPairs(shots(), max_frames=6)
    seen: dict[int, set] = {shot: set() for shot in range(4)}
    partners: dict[int, set] = {shot: set() for shot in range(4)}
    for shot in range(4):
        for seed in range(200):
            pair = pairs(shot, np.random.default_rng(seed))
            assert pair["images"][0] == shot
            seen[shot].add(int(pair["images"][1]))
            partner = int(pair["shots"][0, 0])
            assert bool(pair["positive"]) == (partner == shot)
            assert pair["lengths"] == LENGTHS[partner]
            expected = np.zeros((6, 2))
            expected[: LENGTHS[partner]] = shots()[partner]
            np.testing.assert_array_equal(pair["shots"], expected)
            partners[shot].add(partner)
        assert seen[shot] == set(range(LENGTHS[shot]))
        assert partners[shot] == {0, 1, 2, 3}


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_the_share_of_positives_and_evenly_chosen_negatives(share):
    pairs = ShotPairs(shots(), max_frames=5, positive_share=share)
    drawn = [pairs(2, np.random.default_rng(seed)) for seed in range(2000)]
    positive = np.array([pair["positive"] for pair in drawn])
    assert abs(positive.mean() - share) <= (0.03 if 0 < share < 1 else 0)
    others = np.array([pair["shots"][0, 0] for pair in drawn])[~positive]
    if len(others):
        counts = np.bincount(others.astype(int), minlength=4)
        assert counts[2] == 0
        assert counts[[0, 1, 3]].min() > 0.28 * len(others)


def test_batches_resume_to_the_very_pair():
    pairs = ShotPairs(shots(), max_frames=5)
    plan = ShuffledBatches(len(pairs), 3)
    with TrainingInput(pairs, plan, seed=3, threads=2) as stream:
        for _ in range(3):
            next(stream)
        state = json.loads(json.dumps(stream.get_state()))
        expected = [next(stream) for _ in range(4)]
    with TrainingInput(pairs, plan, seed=3, threads=0) as resumed:
        resumed.set_state(state)
        for batch in expected:
            found = next(resumed)
            assert {name: array.shape for name, array in found.items()} == {
                "images": (3, 2),
                "shots": (3, 5, 2),
                "lengths": (3,),
                "positive": (3,),
            }
            for name, array in batch.items():
                np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ([np.ones((2, 3))], {}, "at least two shots, got 1"),
        ([np.ones((2, 3)), np.ones((2, 4))], {}, r"shot 1 must have shape \(T, 3\) as the first, got \(2, 4\)"),
        ([np.ones((2, 3)), np.ones((0, 3))], {}, r"shot 1 must have 1\.\.50 frames, got 0"),
        ([np.ones((2, 3)), np.ones((9, 3))], {"max_frames": 8}, r"shot 1 must have 1\.\.8 frames, got 9"),
        (shots(), {"positive_share": 1.2}, r"positive_share must lie in 0\.\.1, got 1\.2"),
        (shots(), {"max_frames": 0}, "max_frames must be at least 1, got 0"),
    ],
)
def test_bad_shots_and_settings_are_named(given, settings, message):
    with pytest.raises(ConfigError, match=message):
        ShotPairs(given, **settings)
