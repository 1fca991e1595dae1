"""How well images find shots: a frame of each shot, held out of it, is the query."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jaxret import rank
from jaxret.retrieval.encode import Shot, ShotEncoder, encode_shots

__all__ = ["HeldOutFrames"]


@dataclasses.dataclass(frozen=True)
class HeldOutFrames:
    """Shots that are searched, and the frames that were taken out of them as queries.

    Attributes:
      shots: without the held-out frame, where they have another.
      videos: int64 (N,), the video of each shot.
      shot_of_query: int64 (Q,), the index of the shot that each frame was taken out of.
      frames: int64 (Q,), the index of that frame, among those that its video was sampled at.
      vectors: float32 (Q, D), of those frames.
    """

    shots: Sequence[Shot]
    videos: npt.NDArray[np.int64]
    shot_of_query: npt.NDArray[np.int64]
    frames: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]

    @classmethod
    def of(cls, shots: Sequence[Shot], videos: Sequence[int], *, seed: int) -> HeldOutFrames:
        """Take a random frame out of every shot of two frames or more.

        Args:
          shots: N of them.
          videos: the video of each.
          seed: of the frames.
        """
        rng = np.random.default_rng([seed, 11])
        kept: list[Shot] = []
        owners, frames, vectors = [], [], []
        for index, shot in enumerate(shots):
            held_out = int(rng.integers(len(shot.vectors)))
            if len(shot.vectors) < 2:
                kept.append(shot)
                continue
            owners.append(index)
            frames.append(int(shot.frames[held_out]))
            vectors.append(shot.vectors[held_out])
            rest = np.delete(np.arange(len(shot.vectors)), held_out)
            kept.append(dataclasses.replace(shot, frames=shot.frames[rest], vectors=shot.vectors[rest]))
        size = shots[0].vectors.shape[1] if shots else 0
        return cls(
            kept,
            np.asarray(videos, np.int64),
            np.array(owners, np.int64),
            np.array(frames, np.int64),
            np.array(vectors, np.float32).reshape(len(vectors), size),
        )

    def rankings(self, encoder: ShotEncoder, max_frames: int) -> npt.NDArray[np.int64]:
        """All shots in the order of their cosine to each query, int64 (Q, N)."""
        embedded = encode_shots(self.shots, encoder, max_frames)
        return np.asarray(rank.cosine_topk(self.vectors, embedded, len(embedded)).ids)

    @property
    def measurable(self) -> bool:
        """Whether there is a query, and another shot that it could find."""
        return len(self.shot_of_query) > 0 and len(self.shots) > 1

    def average_precisions(self, encoder: ShotEncoder, max_frames: int) -> npt.NDArray[np.float64]:
        """Of each query that of finding its own shot, (Q,): one answer is right, so it is 1 / the answer's rank."""
        return 1 / self._shot_ranks(self.rankings(encoder, max_frames))

    def _shot_ranks(self, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return 1 + np.argmax(order == self.shot_of_query[:, None], axis=1)

    def figures(self, encoder: ShotEncoder, max_frames: int) -> dict[str, float]:
        """`mAP`, `R@1` and `R@5` of finding the own shot, and of finding its video, whose score is its best shot.

        Empty where nothing is `measurable`.
        """
        if not self.measurable:
            return {}
        order = self.rankings(encoder, max_frames)
        shot_ranks = self._shot_ranks(order)
        video_ranks = np.array(
            [
                1 + list(dict.fromkeys(self.videos[row].tolist())).index(int(self.videos[own]))
                for row, own in zip(order, self.shot_of_query, strict=True)
            ]
        )
        found = {"mAP": np.mean(1 / shot_ranks), "R@1": np.mean(shot_ranks == 1), "R@5": np.mean(shot_ranks <= 5)}
        found |= {"video mAP": np.mean(1 / video_ranks), "video R@1": np.mean(video_ranks == 1)}
        return {name: float(value) for name, value in found.items()} | {"queries": float(len(self.shot_of_query))}
