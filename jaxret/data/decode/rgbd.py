"""RGB-D videos: a colour image and a depth image a frame, as one video."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset, stamp_of
from jaxret.data.decode.depth import DepthFormat, read_depth
from jaxret.data.decode.image import ImageReader
from jaxret.data.ground_truth.camera_poses import read_pose
from jaxret.data.items import MediaItem
from jaxret.data.readers import Indices, MediaInfo, MediaReader, Pixels, check_indices
from jaxret.data.sampling.frames import gaps_in_words, parts_between_gaps
from jaxret.data.sampling.transforms import FrameGeometry, resize_nearest
from jaxret.errors import MediaError

__all__ = ["RgbdFrame", "RgbdReader", "RgbdVideo", "RgbdVideos", "cut_video", "times_of_frames", "with_depth"]


@dataclasses.dataclass(frozen=True, slots=True)
class RgbdFrame:
    """The files of one frame; `depth` and `pose` are None where there is none."""

    colour: str
    depth: str | None
    pose: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The images of the frame: colour, and depth where there is one."""
        return (self.colour,) if self.depth is None else (self.colour, self.depth)


@dataclasses.dataclass(frozen=True)
class RgbdVideo:
    """One RGB-D video.

    Attributes:
      item: its name, label, source and split.
      frames: its files, in order, at least one.
      times: float64 (N,), seconds from the first frame, ascending from 0.
      duration: seconds to the end of the last frame.
      depth_format: of the depth images.
      damage: one line on what was left out of it; None where nothing was.

    Raises:
      ValueError: there is no frame, or not one time a frame.
    """

    item: MediaItem
    frames: tuple[RgbdFrame, ...]
    times: npt.NDArray[np.float64]
    duration: float
    depth_format: DepthFormat = "millimetres"
    damage: str | None = None

    def __post_init__(self) -> None:
        if not self.frames or self.times.shape != (len(self.frames),):
            raise ValueError(f"{self.item.key}: {len(self.frames)} frames and times of shape {self.times.shape}")


def with_depth(video: RgbdVideo) -> RgbdVideo:
    """The video without the frames that have no depth image; `damage` names one of them.

    Raises:
      MediaError: fewer than half of its frames have one.
    """
    there = [number for number, frame in enumerate(video.frames) if frame.depth is not None]
    absent, total = [frame for frame in video.frames if frame.depth is None], len(video.frames)
    if not absent:
        return video
    told = f"{len(absent)} of {total} frames have no depth image and are left out, such as {absent[0].colour}"
    if 2 * len(there) < total:
        raise MediaError(video.item.path or video.item.key, told)
    start = float(video.times[there[0]])
    return dataclasses.replace(
        video,
        frames=tuple(video.frames[number] for number in there),
        times=video.times[there] - start,
        duration=video.duration - start,
        damage=_both(video.damage, told),
    )


def _both(one: str | None, other: str | None) -> str | None:
    return "; ".join(told for told in (one, other) if told) or None


def times_of_frames(numbers: npt.ArrayLike, rate: float) -> tuple[npt.NDArray[np.float64], float]:
    """When the frames of a video are shown, by their numbers at the camera's rate, and for how long in all.

    The last frame is shown for as long as most of the others.

    Args:
      numbers: (N,) ascending, N at least 1.
      rate: numbers a second.

    Returns:
      float64 (N,) seconds from the first frame, and the duration.

    Example:
      >>> times_of_frames([10, 12, 14, 18], rate=2.0)
      (array([0., 1., 2., 4.]), 5.0)
    """
    steps = np.asarray(numbers, np.int64)
    times = (steps - steps[0]) / rate
    last = float(np.median(np.diff(times))) if len(times) > 1 else 1 / rate
    return times, float(times[-1]) + last


def cut_video(video: RgbdVideo, frames: int, names: Sequence[str], *, own_source: bool = False) -> list[RgbdVideo]:
    """A long video as equal items of about so many frames, max(1, round(N / frames)) of them.

    Args:
      video: what is cut. The items have its source, and no path.
      frames: of an item.
      names: N of them, one a frame: an item is called VIDEO/FIRST-LAST.
      own_source: each item is a source of its own.
    """
    total = len(video.frames)
    count = max(1, (2 * total + frames) // (2 * frames))
    ends = np.append(video.times[1:], video.duration)
    parts = []
    for place in range(count):
        first, stop = place * total // count, (place + 1) * total // count
        key = f"{video.item.key}/{names[first]}-{names[stop - 1]}"
        item = dataclasses.replace(video.item, key=key, source=key if own_source else video.item.source, path=None)
        times = video.times[first:stop] - video.times[first]
        duration = float(ends[stop - 1] - video.times[first])
        parts.append(
            dataclasses.replace(video, item=item, frames=video.frames[first:stop], times=times, duration=duration)
        )
    return parts


class RgbdReader(MediaReader):
    """An opened RGB-D video: colour as any other video's, and `depths`. Depth images may be of another size.

    Args:
      video: what to read; every frame has depth (`with_depth`).

    Raises:
      MediaError: the first colour image cannot be read.
    """

    has_depth = True

    def __init__(self, video: RgbdVideo):
        self.path = video.item.path or video.item.key
        self._video = video
        self.times = video.times
        with ImageReader(video.frames[0].colour) as first:
            size = first.info
        parts = parts_between_gaps(video.times, video.duration)
        self.damage = _both(video.damage, gaps_in_words(parts) if parts else None)
        self.info = MediaInfo(len(video.frames), video.duration, size.width, size.height, parts)

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        """Yield the wanted frames; see `MediaReader.frames`. All are brought to the size of the first."""
        plan = geometry or self._whole
        for index in check_indices(indices, self.info.frame_count):
            with ImageReader(self._video.frames[index].colour) as reader:
                yield next(reader.frames([0], plan, channels))

    def depths(self, indices: Indices, geometry: FrameGeometry | None = None) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the depth of the wanted frames; see `MediaReader.depths`."""
        plan = geometry or self._whole
        for index in check_indices(indices, self.info.frame_count):
            frame = self._video.frames[index]
            if frame.depth is None:
                raise MediaError(frame.colour, "the frame has no depth image")
            yield resize_nearest(read_depth(frame.depth, self._video.depth_format), plan)

    @property
    def _whole(self) -> FrameGeometry:
        size = (self.info.height, self.info.width)
        return FrameGeometry(*size, 0, 0, *size)


class RgbdVideos(MediaDataset):
    """RGB-D videos on disk.

    Frames without depth are left out of their videos, and told; a video of which fewer than half are left is skipped.

    Args:
      videos: what to read.
      probe: read the first frame of each when the data set is made; what fails is left out and listed. False takes
        every video on trust.
      unread: folders that could not be read, to be listed among what was skipped.
      left_out: see `MediaDataset`.

    Attributes:
      items: the videos that can be read, in the order given.
      skipped: what cannot, each a MediaError with path and reason.
      damaged: what has gaps or lacks frames, each a MediaError with path and where.
    """

    def __init__(
        self,
        videos: Iterable[RgbdVideo],
        *,
        probe: bool = True,
        unread: Sequence[MediaError] = (),
        left_out: Sequence[str] = (),
    ):
        kept, skipped, damaged = [], list(unread), []
        for given in videos:
            try:
                video = with_depth(given)
                if probe:
                    with RgbdReader(video) as reader:
                        next(reader.frames([0]))
                        next(reader.depths([0]))
                        if reader.damage:
                            damaged.append(MediaError(reader.path, reader.damage))
                kept.append(video)
            except MediaError as error:
                skipped.append(error)
        self._videos = tuple(kept)
        self.items = tuple(video.item for video in kept)
        self.skipped = tuple(skipped)
        self.damaged = tuple(damaged)
        self.left_out = tuple(left_out)

    def open(self, index: int) -> RgbdReader:
        """A reader of video `index`."""
        return RgbdReader(self._videos[index])

    def poses(self, index: int) -> npt.NDArray[np.float64]:
        """Where the camera of each frame of video `index` stood: float64 (N, 4, 4), see `read_pose`.

        Raises:
          MediaError: a frame has no pose, or its file cannot be read.
        """
        poses = []
        for frame in self._videos[index].frames:
            if frame.pose is None:
                raise MediaError(frame.colour, "the frame has no camera pose")
            poses.append(read_pose(frame.pose))
        return np.stack(poses)

    def times(self, index: int) -> npt.NDArray[np.float64]:
        """The time of each frame of video `index`, seconds from its first."""
        return self._videos[index].times

    def origin(self, index: int) -> str:
        """The path of the video's first frame, and that of its last."""
        item, frames = self.items[index], self._videos[index].frames
        if item.path is not None:
            return os.path.realpath(item.path)
        return f"{os.path.realpath(frames[0].colour)}..{os.path.basename(frames[-1].colour)}"

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Bytes of all colour and depth files of video `index`, and the latest time that one was written."""
        return stamp_of(path for frame in self._videos[index].frames for path in frame.files)

    def content_hash(self, index: int) -> str:
        """A hash of the times of video `index` and of every colour and depth file; see `MediaDataset.content_hash`."""
        video = self._videos[index]
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{video.depth_format} {video.duration!r} {video.times.tolist()}".encode())
        for frame in video.frames:
            for path in frame.files:
                try:
                    with open(path, "rb") as file:
                        digest.update(hashlib.file_digest(file, "blake2b").digest())
                except OSError as error:
                    raise MediaError(path, error.strerror or str(error)) from error
        return f"{len(video.frames):x}-{digest.hexdigest()}"
