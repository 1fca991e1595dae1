"""The terms of hash codes: their definitions in loops, their ranges, and where their gradients lead."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxret.losses import bit_balance_loss, quantisation_loss


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 9))
def test_both_terms_equal_the_loops(seed: int, batch: int, bits: int) -> None:
    activations = np.random.default_rng(seed).random((batch, bits)).astype(np.float32)
    quantisation = np.mean([1 - (2 * float(h) - 1) ** 2 for row in activations for h in row])
    balance = np.mean([(2 * sum(map(float, bit)) / batch - 1) ** 2 for bit in activations.T])
    np.testing.assert_allclose(jax.jit(quantisation_loss)(activations), quantisation, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(jax.jit(bit_balance_loss)(activations), balance, rtol=1e-4, atol=1e-6)
    assert 0 <= quantisation <= 1
    assert 0 <= balance <= 1


def test_steps_down_the_gradients_make_better_codes() -> None:
    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(0.7, 1.0, (32, 16)), jnp.float32)
    for term in (quantisation_loss, bit_balance_loss):
        step = jax.jit(lambda s, term=term: s - 20 * jax.grad(lambda s: term(jax.nn.sigmoid(s)))(s))
        moved = scores
        for _ in range(200):
            moved = step(moved)
        assert term(jax.nn.sigmoid(moved)) < term(jax.nn.sigmoid(scores)) / 2
        if term is quantisation_loss:  # it drives activations to the ends that they are nearer to
            np.testing.assert_array_equal(moved > 0, scores > 0)
