"""The shots that image-to-video retrieval is tried on, and how it is scored, against loops."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import accuracy_shots
import numpy as np
import pytest
from film_making import make_film
from flax import nnx
from PIL import Image
from studies.image_to_video.deals import SHOTS_A_FILM, Deal, deal_scenes, figures
from studies.image_to_video.fisher_vectors import FisherVectors
from studies.image_to_video.moving_pictures import Collection, moving_picture, shot_vectors

from jaxret.data.open import open_dataset
from jaxret.models import PooledBackbone, create_backbone

PHOTOGRAPHS, CLIPS = 23, 4


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    root = tmp_path_factory.mktemp("scenes")
    (root / "photographs").mkdir()
    rng = np.random.default_rng(0)
    for number in range(PHOTOGRAPHS):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8))
        coarse.resize((96, 64), Image.Resampling.BICUBIC).save(root / "photographs" / f"{number:02}.png")
    for number in range(CLIPS):
        make_film(root / f"{number}.mp4", number, (12,))
    lines = [f"{number}.mp4,class,{number // 2}" for number in range(CLIPS)]  # two clips of each source
    (root / "clips.csv").write_text("\n".join(["path,label,source", *lines]))
    return Collection(open_dataset(root / "photographs"), open_dataset(root / "clips.csv"))


def test_a_window_wanders_evenly_over_the_image() -> None:
    ramp = np.broadcast_to(np.arange(96, dtype=np.uint8)[None, :, None] * 2, (64, 96, 3)).copy()
    moved = moving_picture(ramp, 4, np.random.default_rng(3)).astype(int)
    assert moved.shape == (7, 64, 96, 3)
    lefts, rights = moved[:, 32, 2, 0], moved[:, 32, -3, 0]
    for side in (lefts, rights):
        np.testing.assert_allclose(np.diff(side), np.diff(side).mean(), atol=3)
    widths = (rights - lefts) / (2 * 91)
    assert (widths > 0.62).all()
    assert (widths < 0.98).all()


def test_shots_follow_from_their_numbers_alone(collection: Collection) -> None:
    assert len(collection) == 2 * PHOTOGRAPHS + CLIPS
    again = Collection(collection.photographs, collection.clips)
    for number in (0, 1, len(collection) - 1):
        for one, other in zip(collection.shot(number), again.shot(number), strict=True):
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(collection.shot(0)[0][0], collection.shot(1)[0][0])
    for number in range(len(collection)):
        samples, photos = collection.shot(number)
        assert 3 <= len(samples) <= 10
        assert len(photos) == (3 if collection.with_photos[collection.scenes[number]] else 0)


def test_vectors_are_kept_and_are_those_of_each_image(collection: Collection, tmp_path: Path) -> None:
    pooled = PooledBackbone(create_backbone("small-convnet", widths=[4, 8], rngs=nnx.Rngs(0)), "conv_2")
    made = shot_vectors(collection, pooled, tmp_path / "vectors")
    kept = shot_vectors(collection, pooled, tmp_path / "vectors")
    np.testing.assert_array_equal(made.photos, kept.photos)
    for number in (0, 3, len(collection) - 1):
        samples, photos = collection.shot(number)
        np.testing.assert_allclose(made.frames[number], pooled(samples).embedding, atol=1e-5)
        assert np.abs(made.photos[number]).max() == 0 or len(photos)
        if len(photos):
            np.testing.assert_allclose(made.photos[number], pooled(photos).embedding, atol=1e-5)
            plain = np.asarray(pooled(photos).stages["conv_2"]).mean(axis=(1, 2))
            np.testing.assert_allclose(made.plain_photos[number], plain, rtol=2e-3, atol=1e-3)


def test_scenes_are_dealt_whole_and_their_two_shots_to_two_films(collection: Collection) -> None:
    deal = deal_scenes(collection, seed=1)
    parts = [deal.train, deal.validation, deal.test]
    assert all(len(part) for part in parts)
    groups = [set(collection.group_numbers[collection.scenes[part]].tolist()) for part in parts]
    films = [set(deal.films[part].tolist()) for part in parts]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not groups[first] & groups[second]
        assert not films[first] & films[second]
    assert sorted(np.concatenate(parts).tolist()) == np.flatnonzero(collection.with_photos[collection.scenes]).tolist()
    assert set(np.flatnonzero(collection.for_whitening[collection.scenes]).tolist()) <= set(deal.train.tolist())
    for scene in range(PHOTOGRAPHS):
        assert len(set(deal.films[deal.scenes == scene].tolist())) == 2
    assert np.bincount(deal.films).max() <= SHOTS_A_FILM
    assert deal.films.min() == 0
    assert not np.array_equal(deal_scenes(collection, seed=2).test, deal.test)


def test_figures_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    scenes, films = np.array([0, 0, 1, 1, 2, 3, 4]), np.array([2, 0, 1, 2, 0, 1, 1])
    queries = np.array([0, 1, 3, 4, 6])
    scores = rng.normal(size=(5, 7)).astype(np.float32)
    found = figures(scores, queries, Deal(scenes, films, *(np.arange(0),) * 3))
    for row, query in enumerate(queries):
        for name, right, best in (
            ("shots", scenes == scenes[query], scores[row]),
            (
                "films",
                np.array([film in films[scenes == scenes[query]] for film in range(3)]),
                np.array([scores[row][films == film].max() for film in range(3)]),
            ),
        ):
            order = np.argsort(-best)
            precisions = [right[order][: k + 1].mean() for k in range(len(order)) if right[order][k]]
            assert found[f"mAP of {name}"][row] == pytest.approx(np.mean(precisions))
            assert found[f"R@1 of {name}"][row] == right[order[0]]


@pytest.mark.parametrize("name", ["methods", "baselines"])
def test_a_study_measures_each_deal_once(
    collection: Collection, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def measure(_: accuracy_shots.Study, seed: int) -> list[dict[str, Any]]:
        measured.append(seed)
        return [{"method": "sum", "setting": "a setting", "figures": {"mAP of shots": seed / 10}}]

    monkeypatch.setattr(accuracy_shots, "Collection", lambda *_: collection)
    monkeypatch.setattr(accuracy_shots, "open_dataset", str)
    monkeypatch.setattr(accuracy_shots, f"{name}_of", measure)
    for learned, seeds in ((["GRU"], [0, 2]), (["GRU"], [2, 1]), (["residual"], [1])):
        args = argparse.Namespace(work=tmp_path, learned=learned, seeds=seeds)
        study = accuracy_shots.Study(args, "mobilenet-v1")
        study.folder.mkdir(exist_ok=True)
        accuracy_shots.STUDIES[name](study)
        assert [(row["seed"], row["value"]) for row in study.rows] == [(seed, seed / 10) for seed in seeds]
    # What is trained is asked of methods alone.
    assert measured == ([0, 2, 1, 1] if name == "methods" else [0, 2, 1])


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="OpenCV is not installed (extra `opencv`)")
def test_a_fisher_vector_is_the_gradient_of_the_likelihood() -> None:
    rng = np.random.default_rng(0)
    known = [np.abs(rng.normal(size=(60, 128))).astype(np.float32) + centre for centre in (0, 0.7, 1.5)]
    fisher = FisherVectors(known, seed=0, gaussians=3, components=4)
    points = known[0][:9]
    found = fisher(points)
    assert found.shape == (24,)
    assert np.linalg.norm(found) == pytest.approx(1)
    # The score of the log-likelihood by finite differences, scaled by the diagonal of the Fisher matrix.
    mixture, projected = fisher.mixture, fisher.pca.transform(points).astype(np.float64)
    means, deviations, weights = mixture.means_, np.sqrt(mixture.covariances_), mixture.weights_

    def likelihood(means: np.ndarray, deviations: np.ndarray) -> float:
        scaled = (projected[:, None] - means) / deviations
        density = weights * np.prod(np.exp(-(scaled**2) / 2) / deviations, axis=2)
        return float(np.log(density.sum(axis=1)).mean())

    expected, step = np.zeros((2, 3, 4)), 1e-5
    for k, d in np.ndindex(3, 4):
        change = np.zeros((3, 4))
        change[k, d] = step
        by_mean = (likelihood(means + change, deviations) - likelihood(means - change, deviations)) / (2 * step)
        by_deviation = (likelihood(means, deviations + change) - likelihood(means, deviations - change)) / (2 * step)
        expected[:, k, d] = np.array([by_mean, by_deviation / np.sqrt(2)]) * deviations[k, d] / np.sqrt(weights[k])
    root = np.sign(expected) * np.sqrt(np.abs(expected))
    np.testing.assert_allclose(found, root.ravel() / np.linalg.norm(root), atol=1e-3)
    assert not fisher(points[:0]).any()
