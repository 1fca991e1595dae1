"""Scenes of a collection dealt to films, and how well queries find shots and films among all of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from studies.image_to_video.moving_pictures import TAKES, Collection

from jaxret.metrics import average_precision, hit_rate_at, relevance_by_label, relevance_by_lists

__all__ = ["Deal", "deal_scenes", "figures"]

SHOTS_A_FILM = 40
_QUERIES_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class Deal:
    """Who trains and who queries.

    Attributes:
      scenes: (N,), the scene of each shot.
      films: (N,), the film of each shot; the two shots of a photograph lie in two films.
      train, validation, test: numbers of shots with screen photos.
    """

    scenes: npt.NDArray[np.int64]
    films: npt.NDArray[np.int64]
    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def deal_scenes(collection: Collection, seed: int) -> Deal:
    """Deal the scenes with screen photos: half train, an eighth validates, the rest query; by group, so that clips of
    one source stay together. Films are of one part, the scenes without photos in films of their own.

    Args:
      collection: scenes.
      seed: of the deal.
    """
    rng = np.random.default_rng([seed, 43])
    always = np.unique(collection.group_numbers[collection.for_whitening])
    with_photos = np.unique(collection.group_numbers[collection.with_photos])
    rest = rng.permutation(np.setdiff1d(with_photos, always))
    training = len(with_photos) // 2 - len(always)
    ends = training, training + len(with_photos) // 8
    others = np.setdiff1d(collection.group_numbers, with_photos)
    parts = [np.concatenate([always, rest[: ends[0]]]), rest[ends[0] : ends[1]], rest[ends[1] :], others]
    films = np.full(len(collection), -1, np.int64)
    shots, next_film = [], 0
    take = _takes(collection)
    for groups in parts:
        order = np.argsort(rng.permutation(collection.group_numbers.max() + 1)[collection.group_numbers], kind="stable")
        scenes = order[np.isin(collection.group_numbers[order], groups)]
        place = {scene: number for number, scene in enumerate(scenes.tolist())}
        own = np.flatnonzero(np.isin(collection.scenes, scenes))
        for number in range(TAKES):
            of_take = own[take[own] == number]
            of_take = of_take[np.argsort([place[scene] for scene in collection.scenes[of_take].tolist()])]
            films[of_take] = next_film + np.arange(len(of_take)) // SHOTS_A_FILM
            next_film = int(films.max()) + 1
        shots.append(own)
    return Deal(collection.scenes, films, *shots[:3])


def _takes(collection: Collection) -> npt.NDArray[np.int64]:
    """Which of the shots of its scene each shot is, from 0."""
    first = np.searchsorted(collection.scenes, collection.scenes)
    return np.arange(len(collection)) - first


def figures(
    scores: npt.NDArray[np.float32], queries: npt.NDArray[np.int64], deal: Deal
) -> dict[str, npt.NDArray[np.float64]]:
    """Of each query the average precision and whether the first is right, of shots and of films.

    A shot is right where it shows the query's scene, a film where one of its shots does; it counts by its best one.

    Args:
      scores: (Q, N), of queries and all shots, the larger the nearer.
      queries: (Q,), the shots that the queries are photos of.
      deal: of scenes to films.
    """
    order = np.argsort(deal.films, kind="stable")
    _, firsts = np.unique(deal.films[order], return_index=True)
    found: list[dict[str, npt.NDArray[np.float64]]] = []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        block, own = scores[start : start + _QUERIES_AT_ONCE], deal.scenes[queries[start : start + _QUERIES_AT_ONCE]]
        ranked = np.argsort(-block, axis=1, kind="stable")
        shots = relevance_by_label(ranked, own, deal.scenes)
        by_film = np.maximum.reduceat(block[:, order], firsts, axis=1)
        right = [set(deal.films[deal.scenes == scene].tolist()) for scene in own.tolist()]
        films = relevance_by_lists(np.argsort(-by_film, axis=1, kind="stable"), right, len(firsts))
        measured = {}
        for name, relevance in (("shots", shots), ("films", films)):
            measured[f"mAP of {name}"] = average_precision(relevance).values
            measured[f"R@1 of {name}"] = hit_rate_at(relevance, 1).values
        found.append(measured)
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}
