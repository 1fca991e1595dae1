"""What places known exactly find of a walk that goes twice around three places."""

from __future__ import annotations

import numpy as np
import pytest
from studies.convlstm.data import ClipData, places_of
from studies.convlstm.places import agreement, found_by

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.moving_digits import MovingDigits

ROUNDS = np.array([0, 1, 2, 0, 1, 2])
PIECES = list(range(len(ROUNDS)))


class Rounds(ClipData):
    """Where no video is looked at."""

    def dataset(self) -> MediaDataset:
        return MovingDigits(0, 0, 1)


def walk() -> ClipData:
    near = (ROUNDS[:, None] == ROUNDS) & ~np.eye(len(ROUNDS), dtype=bool)
    return Rounds("a walk", "", "split", {}, 1, 1, lambda dataset: PIECES, near=near)


def test_places_that_are_what_is_asked_for_find_all_of_it() -> None:
    assert agreement(ROUNDS, walk(), PIECES) == 1
    assert found_by(ROUNDS, walk(), seed=0) == pytest.approx(1)


def test_one_place_tells_nothing() -> None:
    # Of 10 pairs apart in time 3 are near. The ends of the walk are right at one of 4 places, the others at one of 3.
    assert agreement(np.zeros_like(ROUNDS), walk(), PIECES) == pytest.approx(2 * 3 / (10 + 3))
    by_chance = (2 * np.mean(1 / np.arange(1, 5)) + 4 * np.mean(1 / np.arange(1, 4))) / 6
    assert found_by(np.zeros_like(ROUNDS), walk(), seed=0) == pytest.approx(by_chance, abs=0.02)


def test_pieces_are_of_one_place_where_the_camera_stood_and_looked_alike() -> None:
    poses = []
    for place in ROUNDS:
        pose = np.eye(4)
        pose[0, 3] = place
        poses.append(np.stack([pose, np.full((4, 4), np.nan)]))  # a pose that was lost says nothing
    found = places_of(poses, 3)
    assert ((found[:, None] == found) == (ROUNDS[:, None] == ROUNDS)).all()
