"""Test queries made of the videos that are searched: random crops of their frames with gaps between, one after another.

So Ma and Klabjan test retrieval ("Semi-supervised 3D video information retrieval with deep neural network and
bi-directional dynamic-time warping algorithm", section 5.4): a query shows stretches of consecutive frames of one
database video and leaves out what lies between them, so that it is like the record and not equal to it. *By clip* only
that video is right; *by class* every video of its class is.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Indices, MediaInfo, MediaReader, Pixels, check_indices
from jaxret.data.sampling.transforms import FrameGeometry
from jaxret.errors import MediaError

__all__ = ["CroppedQueries", "RelevantBy", "crop_frames"]

RelevantBy = Literal["clip", "class"]


def crop_frames(
    frame_count: int, crops: int, length: int, rng: np.random.Generator, *, gap: int = 1
) -> npt.NDArray[np.int64]:
    """The frames of a query: `crops` runs of `length` consecutive frames, in order, with frames left out between them.

    Every way of laying the runs is equally likely.

    Args:
      frame_count: frames of the video.
      crops: runs, at least 1.
      length: frames of each, at least 1.
      rng: everything random comes from here.
      gap: frames that are left out between runs, at least.

    Returns:
      int64 (crops * length,), ascending, all different.

    Raises:
      ValueError: a number is out of range, or the video is too short.

    Example:
      >>> crop_frames(8, crops=3, length=2, rng=np.random.default_rng(0)).tolist()
      [0, 1, 3, 4, 6, 7]
    """
    for name, value, least in (("crops", crops, 1), ("length", length, 1), ("gap", gap, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    slack = frame_count - crops * length - (crops - 1) * gap
    if slack < 0:
        raise ValueError(
            f"{crops} runs of {length} frames, {gap} apart, need {frame_count - slack} frames, got {frame_count}"
        )
    # Numbers drawn without repeats, less their rank: every multiset of the slack left of each run, once.
    left_over = np.sort(rng.choice(slack + crops, size=crops, replace=False)) - np.arange(crops)
    starts = left_over + np.arange(crops) * (length + gap)
    return (starts[:, None] + np.arange(length)).reshape(-1).astype(np.int64)


class CroppedQueries(MediaDataset):
    """Queries made of the videos of a data set, RGB-D ones too. Another seed, other queries; never other videos.

    A query plays its frames one after another, each for as long as its video shows it. It has its video's label, source
    and split, and the key `VIDEO#NUMBER`.

    Args:
      dataset: where the videos are.
      videos: numbers of those that become queries; None for all. Images have no frames to leave out and are passed
        over.
      crops: runs of frames that a query is made of.
      share: of a video's frames that a query shows, above 0 and below 1.
      queries_per_video: queries made of each.
      seed: at least 0.

    Attributes:
      items: the queries.
      videos: int64 (Q,), the video that each is made of, its number in `dataset`.
      frames: Q times the numbers of the frames that each shows, int64.
      skipped: videos with too few frames, or that cannot be read, each a MediaError.

    Raises:
      ValueError: a number is out of range.

    Example:
      >>> from jaxret.data.datasets.moving_digits import MovingDigits
      >>> queries = CroppedQueries(MovingDigits(), videos=[4, 9], crops=2, share=0.4, seed=1)
      >>> queries.relevant(gallery=[9, 4], by="clip")
      [{1: 1.0}, {0: 1.0}]
    """

    def __init__(
        self,
        dataset: MediaDataset,
        *,
        videos: Sequence[int] | npt.NDArray[np.integer] | None = None,
        crops: int = 3,
        share: float = 0.5,
        queries_per_video: int = 1,
        seed: int = 0,
    ):
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share!r}")
        if crops < 1 or queries_per_video < 1:
            raise ValueError(f"crops and queries_per_video must be at least 1, got {crops!r} and {queries_per_video!r}")
        self._dataset = dataset
        items, numbers, frames, skipped = [], [], [], []
        for number in range(len(dataset)) if videos is None else (int(video) for video in videos):
            item = dataset.items[number]
            if item.kind == "image":
                continue
            try:
                count = dataset.info(number).frame_count
            except MediaError as error:
                skipped.append(error)
                continue
            length = min(max(1, int(share * count) // crops), (count + 1) // crops - 1)  # so that gaps fit between
            if length < 1:
                skipped.append(
                    MediaError(item.path or item.key, f"{count} frames are too few for {crops} runs with gaps between")
                )
                continue
            for repeat in range(queries_per_video):
                # A video's queries do not depend on which others there are.
                rng = np.random.default_rng([seed, number, repeat])
                items.append(dataclasses.replace(item, key=f"{item.key}#{repeat}", source=item.source, path=None))
                frames.append(crop_frames(count, crops, length, rng))
                numbers.append(number)
        self.items = tuple(items)
        self.videos = np.array(numbers, np.int64)
        self.frames = tuple(frames)
        self.skipped = tuple(skipped)

    def open(self, index: int) -> MediaReader:
        """A reader of query `index`."""
        return _CropReader(self._dataset.open(int(self.videos[index])), self.frames[index])

    def content_hash(self, index: int) -> str:
        """A hash of the video's content and of which of its frames are shown."""
        content = self._dataset.content_hash(int(self.videos[index]))
        digest = hashlib.blake2b(f"{content} {self.frames[index].tolist()}".encode(), digest_size=16)
        return f"{len(self.frames[index]):x}-{digest.hexdigest()}"

    def relevant(self, gallery: Sequence[int] | npt.NDArray[np.integer], by: RelevantBy) -> list[dict[int, float]]:
        """Which rows of a gallery are right for each query, as `jaxret.metrics.relevance_by_lists` takes it.

        Args:
          gallery: the number in the data set of each item that is searched.
          by: `clip`: the query's own video alone; `class`: every item of its label, its own video among them.

        Returns:
          Q times row of the gallery to grade 1.

        Raises:
          ValueError: `by` is unknown, or a query has no label to be relevant by.
        """
        if by not in get_args(RelevantBy):
            raise ValueError(f"by must be one of {', '.join(get_args(RelevantBy))}, got {by!r}")
        numbers = np.asarray(gallery, np.int64)
        if by == "clip":
            return [dict.fromkeys(np.flatnonzero(numbers == video).tolist(), 1.0) for video in self.videos]
        labels = np.array([self._dataset.items[number].label for number in numbers], object)
        for item in self.items:
            if item.label is None:
                raise ValueError(f"query {item.key!r} has no label to be relevant by")
        return [dict.fromkeys(np.flatnonzero(labels == item.label).tolist(), 1.0) for item in self.items]


class _CropReader(MediaReader):
    """Some frames of an opened video, ascending, as a video of their own."""

    def __init__(self, reader: MediaReader, chosen: npt.NDArray[np.int64]):
        self._reader, self._chosen = reader, chosen
        self.path = str(getattr(reader, "path", "the query's video"))
        self.has_depth, self.damage = reader.has_depth, reader.damage
        shown = np.diff(reader.times, append=max(reader.info.duration, reader.times[-1]))[chosen]
        ends = np.cumsum(shown)
        self.times = np.append(0.0, ends[:-1])
        self.info = MediaInfo(len(chosen), float(ends[-1]), reader.info.width, reader.info.height)

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        return self._reader.frames(self._chosen[check_indices(indices, len(self._chosen))], geometry, channels)

    def depths(self, indices: Indices, geometry: FrameGeometry | None = None) -> Iterator[npt.NDArray[np.float32]]:
        return self._reader.depths(self._chosen[check_indices(indices, len(self._chosen))], geometry)

    def close(self) -> None:
        self._reader.close()
