"""What parity tests of encoders share: images, their stages, and how near these must be."""

from __future__ import annotations

import jax
import numpy as np

TOLERANCE = 1e-4  # of the largest number of a stage


def random_images(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)


def stages_of(backbone, pixels) -> dict[str, np.ndarray]:
    encoding = jax.jit(lambda net, x: net(x))(backbone, pixels)
    return {**encoding.stages, "embedding": encoding.embedding}


def assert_close(ours, expected) -> None:
    expected = np.asarray(expected)
    assert ours.shape == expected.shape
    assert np.abs(np.asarray(ours, np.float64) - expected).max() <= TOLERANCE * np.abs(expected).max()
