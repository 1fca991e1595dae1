"""The places that train on the RGB-D walk beside what is asked of it: no network, camera poses alone.

The triplet loss learns places, which k-means tells apart; a right answer is a piece that the camera came near to. These
are not the same: a piece is near some of its place and not others, and near some of the next one. An encoder that gave
each piece its place and nothing else would find what `places_on` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from common.paths import DATA
from studies.convlstm.data import PLACES, ClipData, places_of, walk_data, walk_poses
from studies.convlstm.protocol import by_place, encode_data
from studies.convlstm.study import PLANE, Study, ordered

from jaxret.models.store import load_encoder

__all__ = ["best_places", "places_on"]

_COUNTS = range(2, 10)
_DRAWS = 1000  # of the order among pieces that are told apart by nothing


def places_on(study: Study, seed: int) -> None:
    """How well each number of places agrees with being near among training pieces, and what places known exactly find.

    That is of the number that trains, of the one that agrees best, and of one, which tells nothing.
    """
    data, poses = study.data("walk", seed), walk_poses(DATA / "rgbd_office")
    training = [number for number, item in enumerate(data.dataset().items) if item.split == "train"]
    places = {count: places_of(poses, count) for count in (1, *_COUNTS)}
    agreeing = {count: agreement(places[count], data, training) for count in _COUNTS}
    for count, found in agreeing.items():
        every = agreement(places[count], data, list(range(len(poses))))
        figures = {"F1 of one place for near, training pieces": found, "all pieces": every}
        study.add(f"{data.name}: places", "camera poses", f"of {count}", seed, figures)
    for count in dict.fromkeys((1, PLACES, best_count(data, poses))):
        figures = {"mAP by place": found_by(places[count], data, seed)}
        study.add(data.name, "places known exactly", f"of {count}", seed, figures)


def best_places(study: Study) -> None:
    """M1 to M3 trained on as many places as agree best among training pieces, in parts of one draw and one model."""
    for seed in study.seeds("walk"):
        for architecture in study.models(PLANE):
            study.part(f"best-places-{seed}-{architecture}", partial(best_places_on, study, seed, architecture))


def best_places_on(study: Study, seed: int, architecture: str) -> None:
    """What a model finds on one draw, where its triplet loss learns so many places."""
    data, poses = study.data("walk", seed), walk_poses(DATA / "rgbd_office")
    count = best_count(data, poses)
    labelled = walk_data(DATA / "rgbd_office", study.args.work, seed=seed, places=count)
    encoder = load_encoder(study.train(labelled, architecture, seed).encoder)
    encoded = encode_data(encoder, study.media(data, seed))
    for measure in ("Bi-DTW", "DTW"):
        setting = f"four steps on {count} places, {measure}"
        study.add(data.name, PLANE[architecture], setting, seed, ordered(encoded, measure.lower()))


def best_count(data: ClipData, poses: Sequence[np.ndarray]) -> int:
    """The number of places that agrees best with being near among training pieces; the first of equals."""
    training = [number for number, item in enumerate(data.dataset().items) if item.split == "train"]
    return max(_COUNTS, key=lambda count: agreement(places_of(poses, count), data, training))


def found_by(places: np.ndarray, data: ClipData, seed: int) -> float:
    """mAP by place where pieces of a query's place come first, all in an order by chance; the mean of many orders."""
    assert data.near is not None
    tests, random = data.tests(data.dataset()), np.random.default_rng(seed)
    others = (places[tests, None] != places).astype(float)
    return float(np.mean([by_place(others + random.random(others.shape), data.near, tests) for _ in range(_DRAWS)]))


def agreement(places: np.ndarray, data: ClipData, pieces: list[int]) -> float:
    """F1 of "of one place" for "near" among all pairs of some pieces that are not beside each other in time."""
    assert data.near is not None
    pairs = np.array([(a, b) for a in pieces for b in pieces if b > a + 1]).T
    same, near = places[pairs[0]] == places[pairs[1]], data.near[pairs[0], pairs[1]]
    return float(2 * (same & near).sum() / (same.sum() + near.sum()))
