"""Blocks over groups of a batch give what they give over the whole of it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.models import create_backbone
from jaxret.models.transformer import Block, run_blocks, stack


@pytest.mark.parametrize(("masks", "checkpoint"), [(0, True), (1, False), (6, False)])
def test_groups_give_what_block_after_block_gives(monkeypatch, masks, checkpoint):
    monkeypatch.setattr(stack, "_MOST_NUMBERS", 2 * 5 * (16 + 2 * 5))  # of two rows
    blocks = [Block(8, 2, 16, layer_scale=True, rngs=nnx.Rngs(number)) for number in range(2)]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((6, 5, 8)), jnp.float32)
    angles = jnp.asarray(rng.standard_normal((4, 2)), jnp.float32)
    mask = jnp.asarray(rng.random((masks, 1, 1, 5)) < 0.6).at[..., 0].set(True) if masks else None

    def grouped(blocks, x):
        return run_blocks(blocks, x, angles=angles, mask=mask, checkpoint=checkpoint)

    def one_after_another(blocks, x):
        after = []
        for block in blocks:
            x = block(x, angles=angles, mask=mask)
            after.append(x)
        return after

    def with_gradients(run):
        def loss(blocks, x):
            after = run(blocks, x)
            return sum(jnp.sum(one**3) for one in after), after

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))

    assert "f32[3,2,5,8]" in str(jax.make_jaxpr(grouped)(blocks, x))
    (_, after), gradients = with_gradients(grouped)(blocks, x)
    (_, expected), expected_gradients = with_gradients(one_after_another)(blocks, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), after, expected)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected_gradients))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest), gradients, expected_gradients)


@pytest.mark.parametrize(("checkpoint", "grouped"), [(False, False), (True, True)])
def test_training_takes_groups_where_it_computes_them_anew(monkeypatch, checkpoint, grouped):
    monkeypatch.setattr(stack, "_MOST_NUMBERS", 1)
    sizes = {"units": 8, "heads": 2, "depth": 1, "patch_size": 8, "image_size": 16}
    net = create_backbone("vision-transformer", **sizes, checkpoint=checkpoint, rngs=nnx.Rngs(0))
    images = jnp.zeros((2, 16, 16, 3), jnp.uint8)
    assert "scan" in str(jax.make_jaxpr(net)(images))
    net.train()
    assert ("scan" in str(jax.make_jaxpr(lambda x: net(x))(images))) is grouped
