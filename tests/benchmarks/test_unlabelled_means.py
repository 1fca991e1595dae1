"""What needs no labels: mean vectors centred and whitened, and galleries that do and do not hold what was fitted on."""

from __future__ import annotations

import numpy as np
import pytest
from studies.unseen_classes.unlabelled import (
    CENTRED,
    FITTED_HALF,
    OTHER_HALF,
    OTHERS_ALONE,
    PARTLY,
    WHOLLY,
    halves,
    unlabelled,
)
from studies.unseen_classes.videos import Videos


def test_components_are_divided_by_powers_of_their_deviation() -> None:
    deviations = np.array([8.0, 2.0, 0.5])
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    means = (np.random.default_rng(1).normal(size=(400, 3)) * deviations) @ axes.T + [5.0, 0.0, 1.0]
    train = np.arange(300)
    made = unlabelled(means.astype(np.float32), train)
    centred = means - means[train].mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(centred[train].T))
    for method, power in ((CENTRED, 0.0), (PARTLY, -1 / 4), (WHOLLY, -1 / 2)):
        expected = (centred @ vectors) * values**power
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(made[method] @ made[method].T, expected @ expected.T, atol=2e-4)


def test_fewer_videos_than_dimensions_leave_out_what_does_not_vary() -> None:
    means = np.random.default_rng(0).normal(size=(30, 50)).astype(np.float32)
    made = unlabelled(means, np.arange(20))
    assert made[WHOLLY].shape == made[PARTLY].shape == (30, 19)
    assert all(np.isfinite(rows).all() for rows in made.values())
    cosines = made[WHOLLY][:20] @ made[WHOLLY][:20].T  # those that were fitted on stand all equally far apart
    np.testing.assert_allclose(cosines, np.where(np.eye(20), 1, -1 / 19), atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_half_is_fitted_on_and_searched_or_not(seed: int) -> None:
    numbers = np.arange(96)
    labels, sources = numbers // 24, numbers // 4
    train, test = numbers[numbers % 4 > 0], numbers[numbers % 4 == 0]
    videos = Videos("some", 2, labels, sources, train, test, lambda: np.zeros((96, 1, 1), np.float32))
    seen, own = videos.draw(seed)
    half, shown = halves(videos, seen, own, seed)
    others = train[~np.isin(labels[train], seen)]
    np.testing.assert_array_equal(np.sort(shown[FITTED_HALF].train), np.sort([*half, *others]))
    np.testing.assert_array_equal(np.sort(shown[OTHER_HALF].train), np.setdiff1d(train, half))
    assert not set(sources[half]) & set(sources[np.setdiff1d(own, half)])
    assert len(np.unique(sources[half])) == 6  # of twelve
    np.testing.assert_array_equal(shown[OTHERS_ALONE].train, others)
    assert not np.isin(labels[shown[OTHERS_ALONE].test], seen).any()
    for setting in (FITTED_HALF, OTHER_HALF):
        np.testing.assert_array_equal(shown[setting].test, test)
