"""Training pairs of image-to-video retrieval: one frame of a shot, and that shot or another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.errors import ConfigError

__all__ = ["ShotPairs"]


class ShotPairs:
    """`read(shot, rng)` for `TrainingInput`: the pair that an image of shot number `shot` is in.

    The image is one random frame of the shot, or one of the images that are given for it. With probability
    `positive_share` its partner is the shot itself, the whole sequence; otherwise another shot, all alike (Garcia and
    Vogiatzis 2018: 20 % positive, 80 % negative). A
    plan of `ShuffledBatches(len(shots), batch_size)` gives every shot one image an epoch.

    Args:
      shots: frame vectors float (T_i, D) of each shot, 1 <= T_i <= max_frames; at least two shots.
      max_frames: T, the length that sequences are padded to (`jaxret.retrieval.encode.ShotDetector` thins out longer
        ones).
      positive_share: 0 to 1.
      images: vectors of other images of each shot, (N, K, D), such as photographs of it; None: its frames.

    Raises:
      ConfigError: fewer than two shots, one that is empty, too long or of another size, images that do not fit, or a
        setting out of range.

    Example:
      >>> pairs = ShotPairs([np.ones((3, 4)), np.zeros((5, 4))], max_frames=6)
      >>> pair = pairs(0, np.random.default_rng(0))
      >>> pair["images"].tolist(), pair["shots"].shape, int(pair["lengths"]), bool(pair["positive"])
      ([1.0, 1.0, 1.0, 1.0], (6, 4), 5, False)
    """

    def __init__(
        self,
        shots: Sequence[npt.NDArray[Any]],
        *,
        max_frames: int = 50,
        positive_share: float = 0.2,
        images: npt.NDArray[Any] | None = None,
    ):
        if not 0 <= positive_share <= 1:
            raise ConfigError(f"positive_share must lie in 0..1, got {positive_share!r}")
        if max_frames < 1:
            raise ConfigError(f"max_frames must be at least 1, got {max_frames!r}")
        if len(shots) < 2:
            raise ConfigError(f"pairs need at least two shots, got {len(shots)}: an image's negatives are the others")
        self.shots = [np.asarray(shot, np.float32) for shot in shots]
        for number, shot in enumerate(self.shots):
            if shot.ndim != 2 or shot.shape[1:] != self.shots[0].shape[1:]:
                size = self.shots[0].shape[-1]
                raise ConfigError(f"shot {number} must have shape (T, {size}) as the first, got {shot.shape}")
            if not 1 <= len(shot) <= max_frames:
                raise ConfigError(f"shot {number} must have 1..{max_frames} frames, got {len(shot)}")
        size = self.shots[0].shape[1]
        if images is not None and (images.ndim != 3 or len(images) != len(shots) or not images.shape[1]):
            raise ConfigError(f"images must have shape ({len(shots)}, K, {size}), K at least 1, got {images.shape}")
        if images is not None and images.shape[2] != size:
            raise ConfigError(f"images must have shape ({len(shots)}, K, {size}) as the shots, got {images.shape}")
        self.images = None if images is None else images.astype(np.float32)
        self.max_frames = max_frames
        self.positive_share = positive_share

    def __len__(self) -> int:
        return len(self.shots)

    def __call__(self, shot: int, rng: np.random.Generator) -> dict[str, Any]:
        """One pair.

        Args:
          shot: the number of the image's shot.
          rng: everything random comes from here.

        Returns:
          `images` (D,) float32, `shots` (max_frames, D) float32 with zeros after `lengths` int32 frames, and
          `positive` bool.
        """
        own = self.shots[shot]
        images = own if self.images is None else self.images[shot]
        image = images[rng.integers(len(images))]
        positive = bool(rng.random() < self.positive_share)
        # One of the others: the numbers after the own one move up by one.
        other = int(rng.integers(len(self.shots) - 1))
        sequence = own if positive else self.shots[other + (other >= shot)]
        padded = np.zeros((self.max_frames, own.shape[1]), np.float32)
        padded[: len(sequence)] = sequence
        return {"images": image, "shots": padded, "lengths": np.int32(len(sequence)), "positive": np.bool_(positive)}
