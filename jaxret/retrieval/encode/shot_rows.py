"""From the frame vectors of videos to their shots, and from shots to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import jax
import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

from jaxret.preprocessing import ShotSampling
from jaxret.retrieval.encode.frame_vectors import FrameVectors
from jaxret.retrieval.encode.shots import Shot, ShotDetector

__all__ = ["ShotEncoder", "encode_shots", "shots_of"]

_SHOTS_AT_ONCE = 64


class ShotEncoder(Protocol):
    """An encoder that turns the frame vectors of a shot, however many, into one vector."""

    clip_embedding_size: int

    def encode_clips_from_frame_vectors(self, vectors: ArrayLike, lengths: ArrayLike | None = None) -> jax.Array:
        """(B, T, D) float32, of which lengths (B,) count, to (B, E) float32."""
        ...


def shots_of(video: FrameVectors, sampling: ShotSampling) -> list[Shot]:
    """The shots of a video, by the cuts between its frame vectors.

    Args:
      video: all its frames as one chunk, as `frame_vectors` gives them for an encoder of shots.
      sampling: threshold of a cut, and most frames a shot.
    """
    detector = ShotDetector(sampling.cut_threshold, sampling.max_frames)
    found = detector.add(video.vectors[0], video.times[0])
    return found + detector.finish(max(float(video.spans[0, 1]), float(video.times[0, -1])))


def encode_shots(shots: Sequence[Shot], encoder: ShotEncoder, max_frames: int) -> npt.NDArray[np.float32]:
    """One vector a shot, (N, E).

    Args:
      shots: of at most `max_frames` frames each.
      encoder: the second half of an encoder.
      max_frames: T of the batches that it is given, so that one shape is compiled.
    """
    encoded = [np.zeros((0, encoder.clip_embedding_size), np.float32)]
    for start in range(0, len(shots), _SHOTS_AT_ONCE):
        block = shots[start : start + _SHOTS_AT_ONCE]
        sequences = np.zeros((_SHOTS_AT_ONCE, max_frames, block[0].vectors.shape[1]), np.float32)
        lengths = np.zeros(_SHOTS_AT_ONCE, np.int32)
        for row, shot in enumerate(block):
            lengths[row] = len(shot.vectors)
            sequences[row, : lengths[row]] = shot.vectors
        encoded.append(np.asarray(encoder.encode_clips_from_frame_vectors(sequences, lengths))[: len(block)])
    return np.concatenate(encoded)
