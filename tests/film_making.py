"""Small films with known cuts for tests of shots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxret.data.decode.write import write_video

FPS = 10


def scene(rng: np.random.Generator, frames: int, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """Frames (T, H, W, 3) of coarse coloured patches that drift a pixel a frame: one shot, unlike any other."""
    height, width = size
    tint = rng.uniform(0, 1, 3)
    patches = (rng.integers(0, 256, (height // 16, width // 16, 3)) * tint).astype(np.uint8)
    picture = patches.repeat(16, axis=0).repeat(16, axis=1)
    return np.stack([np.roll(picture, shift, axis=1) for shift in range(frames)])


def make_film(path: Path, seed: int, lengths: Sequence[int]) -> list[float]:
    """A film of scenes of so many frames each, at FPS; returns the seconds of its cuts."""
    rng = np.random.default_rng([seed, 99])
    frames = np.concatenate([scene(rng, length) for length in lengths])
    write_video(path, frames, fps=FPS, options={"crf": "10"})
    return (np.cumsum(lengths)[:-1] / FPS).tolist()
