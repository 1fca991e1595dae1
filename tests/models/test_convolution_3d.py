"""Fusion of feature maps by 3D convolution: against a NumPy twin, and from pixels to the embedding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jitted import apply
from reference.image_networks import convolve

from jaxret.errors import ConfigError
from jaxret.models import Convolution3dFusion, MapGrid, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing


def random_fusion(grid: int, maps: int, **settings) -> Convolution3dFusion:
    """One whose weights and biases are all random."""
    fusion = Convolution3dFusion(grid * grid * maps, 5, grid=grid, channels=3, rngs=nnx.Rngs(0), **settings)
    rng = np.random.default_rng(2)
    state = nnx.state(fusion, nnx.Param)
    nnx.update(fusion, jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), state))
    return fusion


def halved(x: np.ndarray, axis: int) -> np.ndarray:
    """The larger of every two entries along an axis; a last single one stays."""
    parts = [x.take(range(start, min(start + 2, x.shape[axis])), axis) for start in range(0, x.shape[axis], 2)]
    return np.stack([part.max(axis=axis) for part in parts], axis)


def twin(fusion: Convolution3dFusion, maps: np.ndarray) -> np.ndarray:
    """The embedding of one clip's maps (T, h, w, C), in float64."""

    def arrays(layer):
        return np.asarray(layer.kernel[...], np.float64), np.asarray(layer.bias[...], np.float64)

    kernel, bias = arrays(fusion.reduce)
    x = np.maximum(maps.astype(np.float64) @ kernel + bias, 0)
    for layer in fusion.convolutions:
        kernel, bias = arrays(layer)
        pads = [(size // 2, size // 2) for size in kernel.shape[:3]]
        x = np.maximum(convolve(x[None], kernel, (1, 1, 1), pads)[0] + bias, 0)
        for axis in range(3):
            x = halved(x, axis)
    return x.mean(axis=(0, 1, 2))


@pytest.mark.parametrize(("grid", "steps", "settings"), [(4, 6, {}), (3, 5, {"layers": 1}), (2, 4, {"window": 1})])
def test_equals_the_twin(grid, steps, settings):
    fusion = random_fusion(grid, 2, **settings)
    maps = np.random.default_rng(0).normal(size=(2, steps, grid, grid, 2)).astype(np.float32)
    found = apply(fusion, maps.reshape(2, steps, -1)).embedding
    np.testing.assert_allclose(found, np.stack([twin(fusion, clip) for clip in maps]), rtol=1e-4, atol=1e-4)


def test_it_sees_where_and_when():
    """The same places in another order, or the same frames in another, are another embedding."""
    fusion = random_fusion(4, 2)
    maps = np.random.default_rng(0).normal(size=(1, 6, 4, 4, 2)).astype(np.float32)

    def embed(maps):
        return np.asarray(apply(fusion, maps.reshape(1, 6, -1)).embedding)

    for moved in (maps[:, ::-1], maps[:, :, ::-1], maps[:, :, :, ::-1]):
        assert np.abs(embed(moved) - embed(maps)).max() > 0.1


def test_frame_vectors_are_the_map_averaged_in_cells():
    network = create_backbone("small-convnet", rngs=nnx.Rngs(0))
    backbone = MapGrid(network, "conv_3", grid=2)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    last = np.asarray(apply(network, images).stages["conv_3"])  # (3, 8, 8, C)
    cells = last.reshape(3, 2, 4, 2, 4, -1).mean(axis=(2, 4))
    np.testing.assert_allclose(apply(backbone, images).embedding, cells.reshape(3, -1), atol=1e-5)
    encoder = VideoEncoder(
        backbone,
        Convolution3dFusion(backbone.embedding_size, 5, grid=2, rngs=nnx.Rngs(0)),
        Preprocessing(height=32, width=32, frames=3),
    )
    maps = cells.reshape(1, 3, 2, 2, -1)
    found = encoder.encode_clips(images[None])
    np.testing.assert_allclose(found[0], twin(encoder.temporal, maps[0]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": 3}, r"input_size must be a multiple of grid \* grid = 9, got 32"),
        ({"grid": 0}, "grid must be at least 1, got 0"),
        ({"window": 2}, "window must be odd, got 2"),
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        Convolution3dFusion(32, **settings, rngs=nnx.Rngs(0))


def test_maps_are_of_frames_and_of_known_stages():
    with pytest.raises(ConfigError, match="grid must be at least 1, got 0"):
        MapGrid(create_backbone("small-convnet", rngs=nnx.Rngs(0)), "conv_3", grid=0)
    with pytest.raises(ConfigError, match="conv_9"):
        MapGrid(create_backbone("small-convnet", rngs=nnx.Rngs(0)), "conv_9")
    with pytest.raises(ValueError, match=r"vectors must have shape \(B, T, 16\), got \(1, 2, 8\)"):
        random_fusion(2, 4)(jnp.zeros((1, 2, 8)))
