"""Attention in its two forms, and adapters of low rank."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.models.lora import with_adapters
from jaxret.models.transformer import Block, attend, attention, run_blocks

SMALL = {"units": 8, "heads": 2, "depth": 2, "patch_size": 8, "image_size": 16}


@pytest.mark.parametrize("masked", [False, True])
def test_the_form_of_the_cpu_is_that_of_accelerators(monkeypatch, masked):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, length, 3, 4)).astype(np.float32) for length in (5, 7, 7))
    mask = rng.random((1, 1, 5, 7)) < 0.6 if masked else None
    if masked:
        mask[..., 0] = True  # a token that must look nowhere has no answer
    ours = attend(q, k, v, mask=mask)
    monkeypatch.setattr(attention, "runs_on_cpu", lambda: False)
    np.testing.assert_allclose(ours, attend(q, k, v, mask=mask), atol=1e-5)


@pytest.mark.parametrize("softcap", [0.0, 2.0])
def test_many_queries_are_taken_in_groups(monkeypatch, softcap):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, length, 3, 4)).astype(np.float32) for length in (11, 7, 7))
    mask = rng.random((2, 1, 1, 7)) < 0.6
    mask[..., 0] = True
    at_once = attend(q, k, v, mask=mask, softcap=softcap)
    monkeypatch.setattr(attention, "_MOST_LOGITS", 3 * 2 * 3 * 7)  # of 3 queries; the last group is not full
    assert "scan" in str(jax.make_jaxpr(lambda q: attend(q, k, v, mask=mask, softcap=softcap))(q))
    np.testing.assert_allclose(attend(q, k, v, mask=mask, softcap=softcap), at_once, atol=1e-6)


def test_heads_of_another_size_than_the_width_gives():
    wide = attention.Attention(8, 2, head_size=5, lora_rank=1, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).standard_normal((2, 3, 8)).astype(np.float32)
    heads = [np.asarray(layer(x)).reshape(2, 3, 2, 5) for layer in (wide.query, wide.key, wide.value)]
    expected = wide.out(attend(*heads).reshape(2, 3, 10))
    np.testing.assert_allclose(wide(x), expected, atol=1e-6)
    with pytest.raises(ConfigError, match="head_size must be at least 1, got 0"):
        attention.Attention(8, 2, head_size=0, rngs=nnx.Rngs(0))


def test_adapters_begin_as_nothing_and_are_all_that_learns():
    backbone = create_backbone("vision-transformer", **SMALL, rngs=nnx.Rngs(0))
    adapted = with_adapters(backbone, 2, rngs=nnx.Rngs(1))
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    before = np.asarray(backbone(images).embedding)
    np.testing.assert_array_equal(adapted(images).embedding, before)
    graph, learned, rest = nnx.split(adapted, nnx.Param, ...)
    names = {path[-2:] for path, _ in nnx.to_flat_state(learned)}
    assert names == {(part, side) for part in ("query_adapter", "value_adapter") for side in ("down", "up")}

    wanted = np.random.default_rng(1).standard_normal(before.shape).astype(np.float32)

    @jax.jit
    def gradient(learned):
        return jax.grad(lambda learned: (nnx.merge(graph, learned, rest)(images).embedding * wanted).sum())(learned)

    stepped = learned
    for _ in range(2):  # the first step moves B alone, for it is 0
        stepped = jax.tree.map(lambda p, g: p - 0.1 * g, stepped, gradient(stepped))
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), stepped, learned)
    assert all(jax.tree.leaves(moved))
    after = np.asarray(nnx.merge(graph, stepped, rest)(images).embedding)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_array_equal(backbone(images).embedding, before)


def test_what_takes_no_adapters_is_refused():
    backbone = create_backbone("vision-transformer", **SMALL, lora_rank=2, rngs=nnx.Rngs(0))
    with pytest.raises(
        ConfigError, match="adds adapters to a vision-transformer that has none, got a vision-transformer"
    ):
        with_adapters(backbone, 2, rngs=nnx.Rngs(0))
    with pytest.raises(
        ConfigError, match="lora_rank=2 adds adapters to a vision-transformer that has none, got a small-co"
    ):
        with_adapters(create_backbone("small-convnet", rngs=nnx.Rngs(0)), 2, rngs=nnx.Rngs(0))
    plain = create_backbone("vision-transformer", **SMALL, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="lora_rank must be at least 1, got 0"):
        with_adapters(plain, 0, rngs=nnx.Rngs(0))


def test_an_empty_batch_gives_an_empty_one():
    heads = jnp.ones((0, 5, 4, 2))
    assert attend(heads, heads, heads).shape == (0, 5, 4, 2)
    blocks = [Block(8, 4, 16, rngs=nnx.Rngs(number)) for number in range(2)]
    assert [after.shape for after in run_blocks(blocks, jnp.ones((0, 5, 8)))] == [(0, 5, 8)] * 2
