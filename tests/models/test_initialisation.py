"""Initial weights: their distribution, that a key decides them, and that tracing works; and the softmax head."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import SoftmaxHead, create_backbone
from jaxret.models.layers.init import centred_he_normal, glorot_uniform, he_normal, orthogonal

SHAPES = {he_normal: (3, 3, 40, 60), centred_he_normal: (3, 3, 40, 60), glorot_uniform: (150, 90), orthogonal: (40, 90)}


@pytest.mark.parametrize("initialise", SHAPES)
def test_the_key_alone_decides_and_tracing_gives_the_same_distribution(initialise):
    shape = SHAPES[initialise]
    weights = np.asarray(initialise(jax.random.key(1), shape))
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, initialise(jax.random.key(1), shape))
    assert not np.array_equal(weights, initialise(jax.random.key(2), shape))
    traced = np.asarray(jax.jit(lambda key: initialise(key, shape))(jax.random.key(1)))
    assert traced.shape == shape
    for weights_ in (weights, traced):
        he = (2 / 360) ** 0.5
        expected = {glorot_uniform: (2 / 240) ** 0.5, orthogonal: 90**-0.5}.get(initialise, he)
        np.testing.assert_allclose(weights_.std(), expected, rtol=0.05)
        assert abs(weights_.mean()) < 0.1 * expected


def test_centred_weights_are_the_others_less_the_mean_of_each_output():
    key = jax.random.key(0)
    plain, centred = (np.asarray(make(key, (3, 3, 4, 5)), np.float64) for make in (he_normal, centred_he_normal))
    np.testing.assert_allclose(centred, plain - plain.reshape(36, 5).mean(axis=0), atol=1e-6)
    assert np.abs(plain.sum(axis=(0, 1, 2))).max() > 0.1


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4)])
def test_orthogonal_rows_or_columns_have_length_one_and_no_preferred_sign(shape):
    rows, columns = shape
    matrix = np.asarray(orthogonal(jax.random.key(0), shape))
    product = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-6)
    corners = [float(orthogonal(jax.random.key(seed), shape)[0, 0]) for seed in range(40)]
    assert 8 < sum(corner > 0 for corner in corners) < 32


def test_backbones_are_reproducible_and_can_be_made_in_the_abstract():
    def make(seed: int):
        return create_backbone("small-convnet", rngs=nnx.Rngs(seed))

    first, second, other = (nnx.state(make(seed), nnx.Param) for seed in (3, 3, 4))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, first, second)))
    assert not all(jax.tree.leaves(jax.tree.map(np.array_equal, first, other)))
    abstract = nnx.state(nnx.eval_shape(lambda: make(3)), nnx.Param)
    assert jax.tree.map(jnp.shape, abstract) == jax.tree.map(jnp.shape, first)


def test_softmax_head_is_linear_with_dropout_in_training_only():
    head = SoftmaxHead(6, 4, dropout=0.5, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6)), jnp.float32)
    expected = np.asarray(x @ head.linear.kernel[...]) + np.asarray(head.linear.bias[...])
    np.testing.assert_allclose(head(x), expected, rtol=1e-6)
    head.train()
    assert not np.allclose(head(x), expected)
    with pytest.raises(ConfigError, match="classes must be at least 1, got 0"):
        SoftmaxHead(6, 0, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match=r"dropout must be at least 0 and below 1, got -0\.1"):
        SoftmaxHead(6, 4, dropout=-0.1, rngs=nnx.Rngs(0))
