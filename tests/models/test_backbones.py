"""What all backbones have in common, on the smallest form of each, and the small network's own points."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import Backbone, Encoding, create_backbone, known_backbones, registry
from jaxret.models.backbones.small_convnet import grid_average

SMALL = {
    "small-convnet": {"widths": [4, 8], "embedding_size": 12},
    "mobilenet-v1": {"width": 0.125},
    "efficientnet-lite0": {},
    "vgg16": {},
    "resnet50": {},
    "vision-transformer": {"units": 12, "heads": 3, "depth": 2, "patch_size": 8, "image_size": 32},
}


def small(name: str, **options) -> Backbone:
    return create_backbone(name, **{**SMALL[name], **options}, rngs=nnx.Rngs(0))


def pictures(count: int = 2, height: int = 32, width: int = 48, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


@nnx.jit
def encode(backbone, images) -> Encoding:
    return backbone(images)


def test_every_backbone_is_known():
    built_in = [name for name in known_backbones() if name in registry._BACKBONES.modules]  # tests register others
    assert built_in == [*SMALL, "c3d", "video-prism", "conv-lstm"]
    assert [name for name in built_in if name in known_backbones("frame")] == list(SMALL)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_stages_and_config(name, channels):
    backbone = small(name, channels=channels)
    shapes = jax.eval_shape(backbone, pictures(channels=channels))
    assert shapes.embedding.shape == (2, backbone.embedding_size)
    assert shapes.embedding.dtype == jnp.float32
    assert sorted(shapes.stages) == sorted(backbone.stage_names)
    assert all(stage.shape[0] == 2 for stage in shapes.stages.values())
    config = json.loads(json.dumps(backbone.config))
    again = create_backbone(**config, rngs=nnx.Rngs(1))
    assert again.config == backbone.config
    assert jax.tree.map(jnp.shape, nnx.state(again)) == jax.tree.map(jnp.shape, nnx.state(backbone))
    json.dumps(backbone.normalisation)


@pytest.mark.parametrize("name", ["small-convnet", "mobilenet-v1"])
def test_a_picture_is_encoded_alike_as_bytes_as_floats_and_in_any_company(name):
    backbone = small(name)
    images = pictures(8)
    together = encode(backbone, images)
    if name == "small-convnet":
        as_floats = encode(backbone, images.astype(np.float32)).embedding
        np.testing.assert_allclose(as_floats, together.embedding, atol=1e-5)
    count = 5  # has no divisor up to the group size but 1
    alone = encode(backbone, images[:count])
    for ours, expected in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(ours, expected[:count], atol=1e-4)
    spread = np.std(together.embedding, axis=0) / np.mean(np.abs(together.embedding))
    assert spread.max() > 0.1


@pytest.mark.parametrize("name", ["small-convnet", "mobilenet-v1"])
def test_bfloat16_is_close_to_float32(name):
    # Small random weights' activations grow; compare directions.
    exact, coarse = (np.asarray(encode(small(name, dtype=d), pictures(8)).embedding) for d in ("float32", "bfloat16"))
    assert coarse.dtype == np.float32
    cosine = np.sum(exact * coarse, 1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(coarse, axis=1)
    assert cosine.min() > 0.99
    assert not np.array_equal(exact, coarse)
    stage = next(iter(jax.eval_shape(small(name, dtype="bfloat16"), pictures()).stages.values()))
    assert stage.dtype == jnp.bfloat16


@pytest.mark.parametrize("name", ["small-convnet", "mobilenet-v1"])
def test_training_mode_uses_and_updates_batch_statistics(name):
    backbone = small(name)
    images = pictures(8)
    before = jax.tree.map(np.asarray, nnx.state(backbone, nnx.BatchStat))
    first = np.asarray(encode(backbone, images).embedding)
    unchanged = jax.tree.map(np.array_equal, before, nnx.state(backbone, nnx.BatchStat))
    assert all(jax.tree.leaves(unchanged))

    backbone.train()
    encode(backbone, images)
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, nnx.state(backbone, nnx.BatchStat))
    assert all(jax.tree.leaves(changed))
    backbone.eval()
    assert not np.allclose(encode(backbone, images).embedding, first)


def test_batch_statistics_are_over_the_whole_batch():
    backbone = small("mobilenet-v1")
    backbone.train()
    images = pictures(8)
    x = images.astype(np.float32) / 127.5 - 1
    kernel = backbone.layers["conv1"].kernel[...]
    outputs = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    encode(backbone, images)
    norm = backbone.layers["conv1"].norm
    np.testing.assert_allclose(norm.mean[...], 0.01 * outputs.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(norm.var[...], 0.99 + 0.01 * outputs.var((0, 1, 2)), rtol=1e-4)


def test_gradients_reach_every_parameter_in_both_modes():
    backbone = small("small-convnet")

    @nnx.jit
    def gradients(backbone, images):
        return nnx.grad(lambda model: jnp.sum(jnp.cos(model(images).embedding)))(backbone)

    for mode in (backbone.train, backbone.eval):
        mode()
        leaves = jax.tree.leaves(gradients(backbone, pictures(4)))
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        assert all(np.abs(leaf).max() > 0 for leaf in leaves)


def test_stages_that_nobody_reads_take_no_memory():
    backbone = small("mobilenet-v1")
    graph, state = nnx.split(backbone)
    images = pictures(16, 64, 64)

    def memory(function):
        return jax.jit(function).lower(state, images).compile().memory_analysis().temp_size_in_bytes

    embedding_alone = memory(lambda state, x: nnx.merge(graph, state)(x).embedding)
    every_stage = memory(lambda state, x: sum(jnp.sum(s) for s in jax.tree.leaves(nnx.merge(graph, state)(x))))
    assert embedding_alone < every_stage / 3


def test_small_network_says_where_things_are():
    backbone = small("small-convnet")
    images = np.zeros((2, 32, 32, 3), np.uint8)
    images[0, 4:12, 4:12] = images[1, 20:28, 20:28] = 255
    grid = encode(backbone, images).stages["grid"]
    assert np.abs(grid[0] - grid[1]).max() > 0.1
    np.testing.assert_allclose(grid[0].mean((0, 1)), grid[1].mean((0, 1)), atol=0.15)  # a global average does not


@pytest.mark.parametrize(("height", "width", "grid"), [(8, 8, 4), (7, 5, 3), (2, 3, 4), (1, 1, 2)])
def test_grid_average_equals_averaging_a_finely_repeated_map(height, width, grid):
    maps = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
    fine = maps.repeat(grid, axis=1).repeat(grid, axis=2)  # every cell is now whole samples
    expected = fine.reshape(2, grid, height, grid, width, 3).mean((2, 4))
    np.testing.assert_allclose(grid_average(jnp.asarray(maps), grid), expected, atol=1e-6)


def test_unknown_names_are_errors_that_name_the_nearest():
    with pytest.raises(ConfigError, match="unknown backbone 'mobilnet': did you mean 'mobilenet-v1'"):
        create_backbone("mobilnet", rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="unknown option of mobilenet-v1 'witdh': did you mean 'width'"):
        create_backbone("mobilenet-v1", witdh=1.0, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="unit-length needs the option 'backbone'"):
        create_backbone("unit-length", rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mobilenet-v1", {"width": 0.01}, "width must be at least 0.03125, got 0.01"),
        ("mobilenet-v1", {"channels": 2}, r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"),
        ("efficientnet-lite0", {"classes": -1}, "classes must be at least 0, got -1"),
        ("vgg16", {"embedding": "fc3"}, "embedding must be one of pool, fc1, fc2, got 'fc3'"),
        ("vgg16", {"image_size": 100}, "image_size must be a multiple of 32, got 100"),
        ("small-convnet", {"widths": []}, "widths must be at least 1, got 0"),
        ("small-convnet", {"dtype": "float16"}, "dtype must be float32 or bfloat16, got 'float16'"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ConfigError, match=message):
        create_backbone(name, **options, rngs=nnx.Rngs(0))


def test_wrong_pictures_are_named():
    with pytest.raises(ValueError, match=r"images must have shape \(B, H, W, 3\) for this small-convnet"):
        small("small-convnet")(jnp.zeros((32, 32, 3)))
    with pytest.raises(ValueError, match=r"images must have shape \(B, H, W, 1\) for this mobilenet-v1"):
        small("mobilenet-v1", channels=1)(jnp.zeros((1, 32, 32, 3)))
