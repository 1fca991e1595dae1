"""Videos as long sequences of vectors, where the order of time can matter; queries played in other ways."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from flax import nnx

from jaxret.data.datasets.moving_digits import MOTIONS, MovingDigits
from jaxret.data.datasets.rgbd import RgbdFolders, open_rgbd
from jaxret.data.ground_truth.places import place_partners
from jaxret.data.sampling.transforms import FrameGeometry, resize_frame
from jaxret.models.pretrained import pretrained_backbone

__all__ = ["WAYS", "LongSequences", "digit_programmes", "ucf101", "walk"]

Frames = npt.NDArray[np.float32]

WAYS: Mapping[str, Callable[[Frames, np.random.Generator], Frames]] = {
    "forwards": lambda frames, rng: frames,
    "backwards": lambda frames, rng: frames[::-1],
    "shuffled": lambda frames, rng: frames[rng.permutation(len(frames))],
    "twice as fast": lambda frames, rng: frames[::2],
    "half as fast": lambda frames, rng: np.repeat(frames, 2, axis=0),
    "speeding up": lambda frames, rng: frames[(np.linspace(0, 1, len(frames)) ** 2 * (len(frames) - 1)).astype(int)],
}
"""How a query is played."""


@dataclasses.dataclass(frozen=True)
class LongSequences:
    """A data set.

    Attributes:
      name: of the tables.
      queries, videos: sequences (T, D); a query shows other frames than the video that it was taken from.
      own: int64 (Q,), which video each query was taken from.
      labels: of the videos; queries have those of theirs.
      searched: bool (Q, N), which videos a query may find by class; its own source is none of them.
      validation: bool (Q,), queries that settings are chosen on; the others test them.
      near: bool (N, N), which videos are right by class where labels do not say.
    """

    name: str
    queries: Sequence[Frames]
    videos: Sequence[Frames]
    own: npt.NDArray[np.int64]
    labels: npt.NDArray[Any]
    searched: npt.NDArray[np.bool_]
    validation: npt.NDArray[np.bool_]
    near: npt.NDArray[np.bool_] | None = None

    def relevant(self) -> npt.NDArray[np.bool_]:
        """bool (Q, N), by class."""
        same = self.labels[self.own][:, None] == self.labels if self.near is None else self.near[self.own]
        return same & self.searched


def ucf101(features: Path, *, queries: int = 150, blocks: int = 20, seed: int = 0) -> LongSequences:
    """Videos of 15 classes as 25 VGG16 vectors: videos are the even ones, queries the odd ones, 13 and 12.

    Test queries are of the official test split. Validation queries are of the training split; its list is cut into
    blocks of each class, and a query does not find its own block or the ones beside it, which may be of its group.
    """
    stored = np.load(features)
    vectors, labels = stored["features"].astype(np.float32), stored["label"]
    training = stored["split"] == "train"
    block = np.full(len(labels), -10)
    for label in np.unique(labels):
        members = np.flatnonzero(training & (labels == label))
        block[members] = np.arange(len(members)) * blocks // len(members)
    rng = np.random.default_rng(seed)
    own = np.concatenate([rng.choice(np.flatnonzero(part), queries, replace=False) for part in (training, ~training)])
    beside = (np.abs(block[own][:, None] - block) <= 1) & (labels[own][:, None] == labels) & training[own][:, None]
    return LongSequences(
        "UCF101, 15 classes",
        [vectors[number, 1::2] for number in own],
        list(vectors[:, ::2]),
        own,
        labels,
        training & ~beside,
        np.arange(2 * queries) < queries,
    )


def digit_programmes(
    encode: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.floating]],
    *,
    videos: int = 10,
    parts: int = 8,
    seed: int = 0,
) -> LongSequences:
    """Videos of one digit that goes through eight motions, of eight programmes, four of which reverse the others.

    A class is a programme; that which reverses it shows each motion backwards in the reverse order, with the reverse
    motions' own clips. Each video is of ten scans of its own, and the query shows other clips of the same motions.
    """
    rng = np.random.default_rng(seed)
    forwards = [rng.integers(0, len(MOTIONS), parts) for _ in range(4)]
    programmes = [*forwards, *((each ^ 1)[::-1] for each in forwards)]  # neighbours are reversals of each other
    digits = MovingDigits(0, 0, 2 * videos, size=32, seed=seed)
    clips: dict[tuple[int, int], list[int]] = {}
    for number, item in enumerate(digits.items):
        digit, motion = str(item.label).split("-", 1)
        clips.setdefault((int(digit), MOTIONS.index(motion)), []).append(number)
    sequences: list[list[Frames]] = [[], []]
    labels = []
    for label, programme in enumerate(programmes):
        for number in range(videos):
            for side in (0, 1):
                chosen = [clips[number % 10, int(motion)][2 * (number + place) % videos + side * videos]
                          for place, motion in enumerate(programme)]  # fmt: skip
                pixels = digits.render(chosen).reshape(-1, 4, 3, 32, 32, 3)[:, :, 1]  # a third of the frames
                sequences[side].append(np.asarray(encode(pixels.reshape(2 * parts, -1, 32, 32, 3)), np.float32))
            labels.append(label)
    own = np.arange(len(labels))
    return LongSequences(
        "moving digits, 8 motions each",
        sequences[1],
        sequences[0],
        own,
        np.array(labels),
        ~np.eye(len(labels), dtype=bool),
        own % videos < videos // 2,
    )


def walk(folder: Path, weights: Path, *, segment: int = 20, side: int = 96, seed: int = 0) -> LongSequences:
    """An RGB-D walk of 500 frames as MobileNet V1 vectors, in pieces: videos are the even frames, queries the odd ones.

    By place a piece is right whose camera came within 0.3 m and 20 degrees; those beside it in time are not searched.
    The even pieces validate with seed 0, half of them, drawn, with another.
    """
    whole, pieces = (open_rgbd(RgbdFolders(str(folder), frames=frames)) for frames in (None, segment))
    with whole.open(0) as reader:
        geometry = FrameGeometry(side, side, 0, 0, side, side)
        pixels = np.stack([resize_frame(frame, geometry) for frame in reader.frames(range(reader.info.frame_count))])
    backbone = pretrained_backbone("mobilenet-v1", str(weights), rngs=nnx.Rngs(0))
    vectors = np.concatenate(
        [np.asarray(backbone(part).embedding, np.float32) for part in np.array_split(pixels, len(pixels) // 25)]
    )
    firsts = np.cumsum([0, *(len(pieces.poses(n)) for n in range(len(pieces)))])
    parts = [vectors[first:last] for first, last in itertools.pairwise(firsts)]
    times = whole.times(0)
    spans = np.stack([times[firsts[:-1]], np.append(times[firsts[1:-1]], np.inf)], axis=1)
    near = place_partners(whole.poses(0), times, spans, distance=0.3, degrees=20.0, apart=0.1)
    own = np.arange(len(parts))
    drawn = np.random.default_rng(seed).permutation(len(parts)) < (len(parts) + 1) // 2
    return LongSequences(
        "RGB-D walk",
        [part[1::2] for part in parts],
        [part[::2] for part in parts],
        own,
        own,
        np.abs(own[:, None] - own) > 1,
        drawn if seed else own % 2 == 0,
        near,
    )
