"""Objectives: which terms count, in what unit, and which settings are refused."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxret.errors import ConfigError
from jaxret.losses import bit_balance_loss, cross_entropy, quantisation_loss, triplet_loss
from jaxret.training import ClassificationTripletObjective, HashingObjective

BITS = 16
LABELS = jnp.array([0, 0, 1, 1])
CODES = jnp.asarray(np.random.default_rng(0).integers(0, 2, (4, BITS)), jnp.float32)
LOGITS = jnp.asarray(np.random.default_rng(1).normal(size=(4, 2)), jnp.float32)


def model(inputs: object) -> tuple[jnp.ndarray, jnp.ndarray]:
    return CODES, LOGITS


def value(objective: ClassificationTripletObjective) -> tuple[float, dict]:
    loss, figures = objective(model, {"inputs": jnp.zeros(4), "labels": LABELS})
    return float(loss), figures


def test_the_hashing_loss_is_the_weighted_sum_of_its_terms() -> None:
    loss, figures = value(HashingObjective(2.0, 3.0, 0.5, "all", 0.25, 0.125))
    triplet = triplet_loss(CODES / 4, LABELS, margin=0.5, mining="all")
    parts = {
        "cross_entropy": cross_entropy(LOGITS, LABELS),
        "triplet": triplet,
        "quantisation": quantisation_loss(CODES),
        "bit_balance": bit_balance_loss(CODES),
    }
    assert loss == pytest.approx(sum(w * float(p) for w, p in zip((2, 3, 0.25, 0.125), parts.values(), strict=True)))
    assert {name: float(figures[name]) for name in parts} == pytest.approx({n: float(p) for n, p in parts.items()})


def test_the_margin_of_codes_is_a_share_of_the_bits() -> None:
    # 4 codes: positives differ in `near` of 16 bits, negatives in `far`; the loss is 0 from margin (far - near) / 16.
    near, far = 2, 8
    rows = np.zeros((4, BITS), np.float32)
    rows[1, :near] = 1
    rows[2:, -far + near :] = 1
    rows[3, :near] = 1
    rows[2:, BITS // 2 - 2 : BITS // 2] = 1
    distances = np.abs(rows[:, None] - rows[None]).sum(axis=-1)
    gap = (distances[0, 2:].min() - near) / BITS
    for margin, breaks in ((gap - 0.01, False), (gap + 0.01, True)):
        objective = HashingObjective(0.0, 1.0, margin, "batch-hard")
        loss, _ = objective(lambda _: (jnp.asarray(rows), LOGITS), {"inputs": jnp.zeros(4), "labels": LABELS})
        assert (float(loss) > 0) == breaks


def test_terms_without_weight_are_left_out() -> None:
    assert set(value(HashingObjective())[1]) == {"train_accuracy", "cross_entropy"}
    assert set(value(HashingObjective(0.0, 1.0))[1]) == {"triplet"}, "a head that is not trained has no accuracy"
    assert value(HashingObjective())[0] == value(ClassificationTripletObjective())[0]


@pytest.mark.parametrize("name", ["quantisation_weight", "balance_weight"])
def test_negative_weights_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least 0, got -1"):
        HashingObjective(**{name: -1.0})
