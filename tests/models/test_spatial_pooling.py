"""Pooling of feature maps against loops over places and squares, and the backbone that does it."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jitted import apply

from jaxret.errors import ConfigError
from jaxret.models import Backbone, Mean, PooledBackbone, create_backbone
from jaxret.models.descriptors.spatial_pooling import gem, mac, regional_grid, rmac, spoc
from jaxret.models.encoder import VideoEncoder
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.store import load_encoder, parameter_count, save_encoder
from jaxret.preprocessing import Preprocessing

STAGES = {
    "small-convnet": ({"widths": [4, 8], "embedding_size": 12}, "conv_2", 2),
    "mobilenet-v1": ({"width": 0.125}, "conv_pw_13", 32),
    "efficientnet-lite0": ({}, "last", 32),
    "vgg16": ({}, "block5_conv3", 16),
}


def maps(height: int = 5, width: int = 8, channels: int = 3, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, height, width, channels)).astype(np.float32)


def pictures(height: int = 40, width: int = 56, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (batch, height, width, 3), np.uint8)


def unit(vector: np.ndarray) -> np.ndarray:
    length = math.sqrt(sum(float(x) ** 2 for x in vector))
    return vector / length if length else vector


def published_squares(height: int, width: int, levels: int) -> list[tuple[int, int, int]]:
    """The published rule as it is worded: centres of squares, between 2 and 7 along the longer side.

    In exact numbers: in floating point, ties and positions that are whole fall to either side.
    """
    short, long = min(height, width), max(height, width)
    overlaps = {}
    for count in range(2, 8):
        step = Fraction(long - short, count - 1)
        overlaps[count] = (short**2 - short * step) / short**2
    m = min(overlaps, key=lambda count: abs(overlaps[count] - Fraction(2, 5))) if long > short else 1
    squares = []
    for level in range(1, levels + 1):
        side = math.floor(2 * short / (level + 1))
        half = math.floor(side / 2 - 1)
        rows, columns = (level + (m - 1) * (length == long and long > short) for length in (height, width))
        if side == 0:
            continue
        down = Fraction(height - side, rows - 1) if rows > 1 else 0
        across = Fraction(width - side, columns - 1) if columns > 1 else 0
        for row in range(rows):
            for column in range(columns):
                top, left = math.floor(half + row * down) - half, math.floor(half + column * across) - half
                squares.append((top, left, side))
    return squares


def rmac_by_loops(one: np.ndarray, levels: int, whiten=lambda vector: vector) -> np.ndarray:
    total = np.zeros(len(whiten(one[0, 0])))
    for top, left, side in published_squares(*one.shape[:2], levels):
        largest = np.full(one.shape[2], -np.inf)
        for row in range(top, top + side):
            for column in range(left, left + side):
                largest = np.maximum(largest, one[row, column])
        total += unit(whiten(unit(largest)))
    return unit(total)


def test_the_grid_by_hand():
    # Square map: one square, 2 x 2 of two thirds, 3 x 3 of half.
    assert regional_grid(6, 6) == (
        (0, 0, 6),
        *((top, left, 4) for top in (0, 2) for left in (0, 2)),
        *((top, left, 3) for top in (0, 1, 3) for left in (0, 1, 3)),
    )
    # 6 x 12: two squares would not overlap (0 %), three share half (50 %): three are nearer to 40 %.
    assert regional_grid(6, 12, 1) == ((0, 0, 6), (0, 3, 6), (0, 6, 6))
    # 10 x 16: two squares share exactly 40 %; upright, the same squares turned.
    assert regional_grid(10, 16, 1) == ((0, 0, 10), (0, 6, 10))
    assert regional_grid(16, 10, 1) == ((0, 0, 10), (6, 0, 10))
    assert regional_grid(1, 1, 3) == ((0, 0, 1),)


def test_the_grid_is_the_published_one():
    for height in range(1, 31):
        for width in range(-(-height // 4), 4 * height + 1):
            found = [tuple(square) for square in regional_grid(height, width)]
            assert found == published_squares(height, width, 3), (height, width)
            assert all(t >= 0 and le >= 0 and t + s <= height and le + s <= width for t, le, s in found)


def test_a_long_map_is_covered_where_seven_squares_would_leave_gaps():
    squares = regional_grid(2, 40, 1)
    covered = {column for _, left, size in squares for column in range(left, left + size)}
    assert covered == set(range(40))
    assert len(squares) > 7


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 6), (1, 1), (2, 7), (2, 3)])
@pytest.mark.parametrize("levels", [1, 3])
def test_rmac_equals_loops_over_squares(shape, levels):
    given = maps(*shape)
    expected = [rmac_by_loops(one.astype(np.float64), levels) for one in given]
    np.testing.assert_allclose(jax.jit(rmac, static_argnums=1)(given, levels), expected, atol=1e-6)
    matrix = np.random.default_rng(2).normal(size=(3, 2))
    mean = np.array([0.3, -0.2, 0.1])
    expected = [rmac_by_loops(one.astype(np.float64), levels, lambda v: (v - mean) @ matrix) for one in given]
    shift, weights = jnp.asarray(mean)[None, None], jnp.asarray(matrix)
    found = jax.jit(lambda x: rmac(x, levels, lambda v: (v - shift) @ weights))(given)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == jnp.float32


def test_mac_spoc_and_gem_equal_loops_over_places():
    given = maps()
    places = given.reshape(2, -1, 3).astype(np.float64)
    np.testing.assert_array_equal(mac(jnp.asarray(given)), places.max(axis=1))
    np.testing.assert_allclose(spoc(jnp.asarray(given)), places.mean(axis=1), atol=1e-6)
    for p in (0.5, 1.0, 3.0, 20.0):
        expected = [[np.mean([max(x, 1e-6) ** p for x in row]) ** (1 / p) for row in one.T] for one in places]
        np.testing.assert_allclose(jax.jit(gem, static_argnums=1)(given, p), expected, rtol=1e-4)
    np.testing.assert_allclose(gem(1e4 * jnp.asarray(given), 200.0), 1e4 * places.max(axis=1), rtol=0.05)


def test_gradients_are_finite_also_of_an_empty_map_and_right_for_gem():
    for pool in (rmac, lambda x: l2_normalise(gem(x)), lambda x: l2_normalise(spoc(x))):
        for given in (jnp.zeros((2, 3, 4, 3)), jnp.asarray(maps(3, 4))):
            gradient = jax.jit(jax.grad(lambda x, pool=pool: pool(x)[:, 0].sum()))(given)
            assert np.isfinite(gradient).all()
    positive = jnp.abs(jnp.asarray(maps(2, 3, 1, 1))) + 0.1
    plain = jax.jit(jax.grad(lambda x: jnp.mean(x**3) ** (1 / 3)))(positive)
    np.testing.assert_allclose(jax.jit(jax.grad(lambda x: gem(x)[0, 0]))(positive), plain, rtol=1e-4)


def test_bad_maps_and_numbers_are_named():
    with pytest.raises(ValueError, match=r"maps must have shape \(B, H, W, C\).* got \(2, 3\)"):
        mac(jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"at least one place, got \(1, 0, 4, 2\)"):
        rmac(jnp.zeros((1, 0, 4, 2)))
    with pytest.raises(ValueError, match="p must be a finite number above 0, got 0"):
        gem(jnp.ones((1, 1, 1, 1)), 0)
    with pytest.raises(ValueError, match=r"eps must be above 0, got 0\.0"):
        gem(jnp.ones((1, 1, 1, 1)), eps=0.0)
    with pytest.raises(ValueError, match="levels must be at least 1, got 0"):
        regional_grid(4, 4, 0)


@pytest.mark.parametrize("name", STAGES)
def test_every_backbone_gives_its_map_for_pictures_that_are_not_square(name):
    options, stage, stride = STAGES[name]
    backbone = create_backbone(name, **options, rngs=nnx.Rngs(0))
    shape = jax.eval_shape(backbone, jnp.zeros((1, 96, 160, 3), jnp.uint8)).stages[stage].shape
    # The small network's last convolution has stride 1.
    assert shape[1:3] == ((48, 80) if name == "small-convnet" else (96 // stride, 160 // stride))
    pooled = PooledBackbone(backbone, stage)
    assert pooled.embedding_size == shape[3]
    if name in ("small-convnet", "mobilenet-v1"):
        found = apply(pooled, pictures(64, 96))
        map_ = found.stages[stage]
        np.testing.assert_allclose(found.embedding, jax.jit(rmac)(map_), atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found.embedding, axis=1), 1, atol=1e-5)
        assert set(found.stages) == set(pooled.stage_names)


@pytest.mark.parametrize("pooling", ["rmac", "mac", "spoc", "gem"])
def test_whitening_acts_on_the_vectors_of_regions(pooling):
    backbone = create_backbone("small-convnet", widths=[5], rngs=nnx.Rngs(0))
    pooled = PooledBackbone(backbone, "conv_1", pooling=pooling, whitened_size=3)
    rng = np.random.default_rng(0)
    mean, components = rng.normal(size=5), rng.normal(size=(5, 3))
    pooled.whitening.assign(mean, components)
    encoding = apply(pooled, pictures())
    expected = []
    for one in np.asarray(apply(backbone, pictures()).stages["conv_1"], np.float64):
        vectors = {
            "rmac": [one[t : t + s, le : le + s].max(axis=(0, 1)) for t, le, s in published_squares(*one.shape[:2], 3)],
            "mac": [one.max(axis=(0, 1))],
            "spoc": [one.mean(axis=(0, 1))],
            "gem": [(one.clip(1e-6) ** 3).mean(axis=(0, 1)) ** (1 / 3)],
        }[pooling]
        expected.append(unit(sum(unit((unit(vector) - mean) @ components) for vector in vectors)))
    np.testing.assert_allclose(encoding.embedding, expected, atol=1e-4)
    assert encoding.stages["regional_vectors"].shape[1:] == (len(vectors), 5)


@pytest.mark.parametrize(
    ("name", "early", "late", "batch"),
    # Of eight pictures mobilenet's layers run in a loop, whose unused results must go too.
    [("vgg16", "block1_conv1", "block2_conv2", 1), ("mobilenet-v1", "conv1", "conv_pw_4", 8)],
)
def test_layers_after_the_map_cost_nothing(name, early, late, batch):
    backbone = create_backbone(name, **STAGES[name][0], rngs=nnx.Rngs(0))
    images = jax.ShapeDtypeStruct((batch, 32, 64, 3), jnp.uint8)

    def flops(net) -> float:
        lowered = jax.jit(lambda net, x: net(x).embedding).lower(net, images)
        return lowered.compile().cost_analysis()["flops"]

    costs = [flops(PooledBackbone(backbone, stage)) for stage in (early, late)]
    assert costs[0] < 0.6 * costs[1]
    assert costs[1] < 0.6 * flops(backbone)


def test_it_is_stored_with_its_whitening_and_recreated_from_its_config(tmp_path):
    backbone = create_backbone("small-convnet", widths=[5], rngs=nnx.Rngs(0))
    for settings in ({"pooling": "gem", "p": 2.5}, {"pooling": "mac"}, {"levels": 2, "whitened_size": 4}):
        pooled = PooledBackbone(backbone, "conv_1", **settings)
        again = create_backbone(**json.loads(json.dumps(pooled.config)), rngs=nnx.Rngs(1))
        assert again.config == pooled.config
        assert parameter_count(pooled) == parameter_count(backbone)  # a whitening is not trained
    rng = np.random.default_rng(0)
    pooled.whitening.assign(rng.normal(size=5), rng.normal(size=(5, 4)))
    encoder = VideoEncoder(pooled, Mean(4, rngs=nnx.Rngs(0)), Preprocessing(height=40, width=56, frames=2))
    save_encoder(encoder, tmp_path / "encoder")
    loaded = load_encoder(tmp_path / "encoder")
    np.testing.assert_array_equal(loaded.encode_frames(pictures()), encoder.encode_frames(pictures()))
    np.testing.assert_array_equal(loaded.backbone.whitening.components[...], pooled.whitening.components[...])


class OfChunks(Backbone):
    name, unit, stage_names = "of-chunks", "chunk", ("conv_1",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stage": "conv_9"}, "unknown stage of small-convnet 'conv_9': did you mean 'conv_1'"),
        ({"pooling": "r-mac"}, "unknown pooling 'r-mac': did you mean 'rmac'"),
        ({"pooling": "mac", "levels": 3}, "levels is a setting of the pooling 'rmac', got 'mac'"),
        ({"p": 3.0}, "p is a setting of the pooling 'gem', got 'rmac'"),
        ({"pooling": "gem", "p": 0.0}, r"p must be a finite number above 0, got 0\.0"),
        ({"levels": 0}, "levels must be at least 1, got 0"),
        ({"whitened_size": 6}, r"whitened_size must be 1\.\.5, the channels of conv_1 of small-convnet, got 6"),
        ({"backbone": OfChunks()}, "maps of images are pooled, and of-chunks takes chunks"),
    ],
)
def test_what_cannot_be_pooled_is_refused(settings, message):
    backbone = create_backbone("small-convnet", widths=[5], rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match=message):
        PooledBackbone(**{"backbone": backbone, "stage": "conv_1", **settings})


def test_vgg16_is_pooled_without_its_dense_layers_only():
    with pytest.raises(ConfigError, match=r"vgg16 must take images of any size here, but: the dense layers"):
        PooledBackbone(create_backbone("vgg16", embedding="fc1", image_size=32, rngs=nnx.Rngs(0)), "block5_conv3")
    net = create_backbone("mobilenet-v1", width=0.125, classes=2, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match=r"'logits' of mobilenet-v1 is no feature map: its shape is \(1, 2\)"):
        PooledBackbone(net, "logits")
