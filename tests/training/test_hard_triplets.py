"""The hardest triplets against loops over all pairs; the triplet objective."""

from __future__ import annotations

import types

import jax.numpy as jnp
import numpy as np
import pytest

from jaxret.errors import ConfigError
from jaxret.training import TripletObjective, hardest_distances


def all_pairs(points: np.ndarray, labels: np.ndarray) -> tuple[list[float], list[float]]:
    farthest, nearest = [], []
    for a in range(len(points)):
        positives, negatives = [np.nan], [np.nan]
        for b in range(len(points)):
            distance = sum((float(x) - float(y)) ** 2 for x, y in zip(points[a], points[b], strict=True))
            if a != b and np.isfinite(distance):
                (positives if labels[a] == labels[b] else negatives).append(distance)
        farthest.append(max(positives[1:], default=np.nan))
        nearest.append(min(negatives[1:], default=np.nan))
    return farthest, nearest


@pytest.mark.parametrize("block", [1, 4, 7, 100])
def test_blocks_give_what_loops_over_all_pairs_give(block: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(5.0, 1.0, (23, 3)).astype(np.float32)
    labels = rng.integers(0, 4, 23)
    labels[7] = 9  # alone in its class
    points[3] = np.nan  # no sample
    points[12] = points[13]  # a copy
    found = hardest_distances(points, labels, block=block)
    for ours, theirs in zip(found, all_pairs(points, labels), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)
    assert np.isnan([found[0][7], found[0][3], found[1][3]]).all()
    assert np.isfinite(found[1][7])


def test_one_class_has_no_negatives() -> None:
    farthest, nearest = hardest_distances(np.eye(3, dtype=np.float32), [4, 4, 4])
    assert farthest.tolist() == [2.0, 2.0, 2.0]
    assert np.isnan(nearest).all()
    assert [len(part) for part in hardest_distances(np.zeros((0, 2), np.float32), [])] == [0, 0]


def test_arguments_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels \(N,\), got \(3, 3\) and \(2,\)"):
        hardest_distances(np.eye(3, dtype=np.float32), [0, 1])
    with pytest.raises(ValueError, match="block must be at least 1 row, got 0"):
        hardest_distances(np.eye(3, dtype=np.float32), [0, 1, 1], block=0)


def test_the_triplet_objective_takes_distances_as_they_are() -> None:
    points = jnp.array([[0.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    model = lambda inputs: types.SimpleNamespace(embedding=inputs)  # noqa: E731
    loss, figures = TripletObjective(margin=1.0)(model, {"inputs": points, "labels": jnp.array([0, 0, 1])})
    # 4 - 9 + 1 and 4 - 13 + 1 keep the margin; with 8 they do not.
    assert float(loss) == 0
    loss = TripletObjective(margin=8.0)(model, {"inputs": points, "labels": jnp.array([0, 0, 1])})[0]
    assert float(loss) == pytest.approx(3.0)  # 4 - 9 + 8; the other is kept
    assert float(figures["spread"]) == pytest.approx(float(np.var(points, axis=0).sum()))
    with pytest.raises(ConfigError, match=r"margin must be a number of at least 0, got -0\.5"):
        TripletObjective(margin=-0.5)


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_copies_are_to_be_nearer_than_look_alikes_of_their_class(weight: float) -> None:
    points = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    labels, items = np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array([5, 6, 7, 8, 5, 6, 7, 8])

    def twin(groups: np.ndarray) -> tuple[float, float]:
        losses, kept = [], []
        for a, p, n in np.ndindex(8, 8, 8):
            if a != p and groups[a] == groups[p] != groups[n]:
                gap = ((points[a] - points[p]) ** 2).sum() - ((points[a] - points[n]) ** 2).sum()
                losses.append(max(0.0, gap / 2.0 + 1.0))
                kept.append(gap < 0)
        return float(np.mean([loss for loss in losses if loss > 0])), float(np.mean(kept))

    model = lambda inputs: types.SimpleNamespace(embedding=inputs)  # noqa: E731
    batch = {"inputs": jnp.asarray(points), "labels": jnp.asarray(labels), "items": jnp.asarray(items)}
    loss, figures = TripletObjective(unit=2.0, copy_weight=weight)(model, batch)
    by_class, by_copy = twin(labels), twin(items)
    assert float(loss) == pytest.approx((1 - weight) * by_class[0] + weight * by_copy[0], rel=1e-5)
    assert float(figures["in_order"]) == pytest.approx(by_class[1])
    assert float(figures["copies_in_order"]) == pytest.approx(by_copy[1])


def test_a_share_of_copies_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"copy_weight must lie in 0\.\.1, got 1\.5"):
        TripletObjective(copy_weight=1.5)
