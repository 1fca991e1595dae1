"""Statistics of pixels behind a network's vectors: equal to NumPy's, and the same for an image that stands still."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import Encoding, WithPixelStatistics, create_backbone
from jaxret.models.base import Backbone

FRAMES, SIZE, GRID = 5, 12, 3


class FirstPixel(Backbone):
    """A network of chunks that says what their first pixel is."""

    name, unit, stage_names, embedding_size = "first-pixel", "chunk", (), 2

    def __init__(self, channels: int):
        self.channels, self.dtype = channels, jnp.dtype("float32")

    def __call__(self, clips):
        return Encoding(clips[:, 0, 0, 0, :1].astype(jnp.float32) * jnp.array([[1.0, 2.0]]))


def unit(x: np.ndarray) -> np.ndarray:
    return x / max(np.linalg.norm(x), 1e-12)


def twin(clip: np.ndarray) -> np.ndarray:
    """One clip (T, H, W, C) uint8, cell by cell and pixel by pixel."""
    pixels, channels = clip / 255.0, clip.shape[-1]
    cell = SIZE // GRID
    places = np.array(
        [
            [
                frame[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell].mean(axis=(0, 1))
                for row in range(GRID)
                for column in range(GRID)
            ]
            for frame in pixels
        ]
    ).reshape(len(clip), -1)
    counts = np.zeros(64)
    for pixel in clip.reshape(-1, channels).astype(int):
        counts[
            sum(value // 64 * 4**place for place, value in enumerate(pixel)) if channels == 3 else pixel[0] // 4
        ] += 1
    first = clip[0, 0, 0, 0] * np.array([1.0, 2.0])
    parts = [
        unit(places.mean(axis=0) - 0.5),
        unit(np.sqrt(np.maximum(places.std(axis=0) - 1e-3, 0))),
        np.sqrt(counts / counts.sum()),
    ]
    return np.concatenate([first, *parts])


@pytest.mark.parametrize("channels", [1, 3])
def test_it_equals_its_words(channels: int) -> None:
    clips = np.random.default_rng(0).integers(0, 256, (2, FRAMES, SIZE, SIZE, channels), np.uint8)
    backbone = WithPixelStatistics(FirstPixel(channels), grid=GRID)
    found = np.asarray(backbone(jnp.asarray(clips)).embedding)
    assert found.shape == (2, backbone.embedding_size) == (2, backbone.learned + 2 * GRID**2 * channels + 64)
    np.testing.assert_allclose(found, [twin(clip) for clip in clips], rtol=1e-4, atol=2e-5)


def test_a_still_clip_is_its_image_and_nothing_changes_in_it() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 1, SIZE, SIZE, 3), np.uint8)
    backbone = WithPixelStatistics(FirstPixel(3), grid=GRID)
    found, still = (np.asarray(backbone(jnp.asarray(np.repeat(image, n, axis=1))).embedding) for n in (1, FRAMES))
    np.testing.assert_allclose(found, still, atol=1e-3)
    changes = still[0, 2 + GRID**2 * 3 :][: GRID**2 * 3]
    np.testing.assert_array_equal(found[0, 2 + GRID**2 * 3 :][: GRID**2 * 3], np.zeros_like(changes))


def test_its_config_makes_it_again() -> None:
    backbone = WithPixelStatistics(create_backbone("c3d", width=1 / 64, embedding_size=4, rngs=nnx.Rngs(0)), grid=2)
    again = create_backbone(**backbone.config, rngs=nnx.Rngs(0))
    assert (again.config, again.embedding_size) == (backbone.config, 4 + 2 * 4 * 3 + 64)


def test_networks_that_it_does_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="statistics over time are of chunks, and small-convnet takes single frames"):
        WithPixelStatistics(create_backbone("small-convnet", rngs=nnx.Rngs(0)))
    with pytest.raises(ConfigError, match="a histogram of colours is of 1 or 3 channels, got 4"):
        WithPixelStatistics(FirstPixel(4))
    with pytest.raises(ConfigError, match="grid must be at least 1, got 0"):
        WithPixelStatistics(FirstPixel(3), grid=0)
