"""The cosine loss of pairs: its definition in a loop, its edge cases, and where its gradients lead."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.losses import cosine_margin_loss, pair_cosines


def pairs(seed: int, count: int = 7, size: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, count, size)).astype(np.float32)
    return 9 * a, b, rng.random(count) < 0.4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.floats(-1, 1))
def test_it_equals_a_loop_over_pairs(seed, margin):
    a, b, positive = pairs(seed)
    total = 0.0
    for x, y, same in zip(a.astype(np.float64), b.astype(np.float64), positive, strict=True):
        cosine = float(x @ y) / (np.linalg.norm(x) * np.linalg.norm(y))
        total += 1 - cosine if same else max(0.0, cosine - margin)
    found = cosine_margin_loss(jnp.asarray(a), jnp.asarray(b), jnp.asarray(positive), margin=margin)
    np.testing.assert_allclose(found, total / len(a), rtol=1e-4, atol=1e-6)
    as_numbers = cosine_margin_loss(jnp.asarray(a), jnp.asarray(b), jnp.asarray(positive, jnp.int32), margin=margin)
    assert float(as_numbers) == float(found)


def test_a_zero_vector_has_cosine_0_and_finite_gradients():
    a, b, positive = map(jnp.asarray, pairs(0))
    a = a.at[0].set(0)
    assert float(pair_cosines(a, b)[0]) == 0
    for gradient in jax.grad(lambda x, y: cosine_margin_loss(x, y, positive), argnums=(0, 1))(a, b):
        assert np.isfinite(gradient).all()
        assert np.asarray(gradient)[1:].any()


def test_steps_down_the_gradient_draw_positives_near_and_push_negatives_to_the_margin():
    a, b, positive = map(jnp.asarray, pairs(1, count=40))
    gradient = jax.jit(jax.grad(lambda y: cosine_margin_loss(a, y, positive, margin=0.1)))
    for _ in range(600):
        b = b - 2.0 * gradient(b)
    cosines = np.asarray(pair_cosines(a, b))
    assert cosines[np.asarray(positive)].min() > 0.95
    assert cosines[~np.asarray(positive)].max() < 0.15
    assert cosines[~np.asarray(positive)].min() < -0.5  # those below the margin are left where they are


def test_bad_arguments_are_named():
    a = jnp.ones((3, 2))
    with pytest.raises(ValueError, match=r"must be \(B, D\), got \(3, 2\) and \(3, 4\)"):
        cosine_margin_loss(a, jnp.ones((3, 4)), jnp.ones(3))
    with pytest.raises(ValueError, match=r"positive must have shape \(3,\), one a pair, got \(2,\)"):
        cosine_margin_loss(a, a, jnp.ones(2))
    with pytest.raises(ValueError, match=r"margin must be a cosine in -1\.\.1, got 1\.5"):
        cosine_margin_loss(a, a, jnp.ones(3), margin=1.5)
