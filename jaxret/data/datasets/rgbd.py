"""Folders of RGB-D frames: NNNNNN.color.*, NNNNNN.depth.png and, where known, NNNNNN.pose.txt.

That is the layout of 7-Scenes (Shotton et al., CVPR 2013), whose own files begin with `frame-`. A number is the frame's
at the camera's rate, so that a walk of which every second frame was kept plays at its own speed.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from jaxret.data.datasets.csv import read_media_table
from jaxret.data.datasets.folder_labels import labels_by_folder
from jaxret.data.datasets.walk import FolderWalk, first_repeated_file, walk_folder
from jaxret.data.decode.depth import write_depth
from jaxret.data.decode.rgbd import RgbdFrame, RgbdVideo, RgbdVideos, cut_video, times_of_frames
from jaxret.data.items import MediaItem
from jaxret.data.spec import parse_spec, yes_or_no
from jaxret.errors import ConfigError, NoMediaError

__all__ = ["RgbdFolders", "is_rgbd_folder", "open_rgbd", "open_rgbd_folder", "parse_rgbd_spec", "write_rgbd_folder"]

_COLOUR = re.compile(r"(?P<stem>(?:frame-)?(?P<number>\d+))\.color\.(?:png|jpe?g|webp|bmp|ppm|tiff?)", re.IGNORECASE)
_RATE = 30.0


@dataclasses.dataclass(frozen=True)
class RgbdFolders:
    """Where RGB-D videos are and how they are taken.

    Attributes:
      root: a folder of frames, or one with such folders anywhere below it.
      rate: frames a second that the numbers of the files count.
      frames: cut each walk into equal items of about this many frames; None: each is one item.
      own_source: each of these is a source of its own, so that items of one walk train and test.

    Raises:
      ConfigError: a number is out of range, or `own_source` is set for walks that are not cut.
    """

    root: str
    rate: float = _RATE
    frames: int | None = None
    own_source: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate < float("inf"):
            raise ConfigError(f"rate must be a number of frames a second above 0, got {self.rate!r}")
        if self.frames is not None and self.frames < 1:
            raise ConfigError(f"frames must be at least 1, got {self.frames!r}")
        if self.own_source and self.frames is None:
            raise ConfigError("own_source is of items that walks are cut into: give frames as well")


def parse_rgbd_spec(spec: str) -> RgbdFolders | None:
    """What `rgbd:FOLDER` or `rgbd,rate=15,frames=60,own_source=yes:FOLDER` names; None for a name of another kind.

    Raises:
      ConfigError: an option is unknown or malformed, or there is no folder.

    Example:
      >>> parse_rgbd_spec("rgbd,frames=60:walks")
      RgbdFolders(root='walks', rate=30.0, frames=60, own_source=False)
    """
    if (parsed := parse_spec(spec, "rgbd", {"rate": float, "frames": int, "own_source": yes_or_no})) is None:
        return None
    return RgbdFolders(parsed[0], **parsed[1])


def open_rgbd(
    source: RgbdFolders,
    *,
    table: str | os.PathLike[str] | None = None,
    split_column: str = "split",
    probe: bool = True,
) -> RgbdVideos:
    """The RGB-D videos in a folder.

    Without a table the label of ROOT/<class>/<video> is the class, and where every class folder lies in `train`,
    `validation`, `val` or `test` these are the splits (as `scan_folder` does for files). A walk that is cut into items
    is the `source` of each, unless the table or `own_source` says otherwise.

    Args:
      source: where they are and how they are taken.
      table: a CSV whose column `path` lists folders of frames relative to the root, with label, source and split (see
        `read_media_table`); None takes every folder of frames.
      split_column: the column to take the split from.
      probe: see `RgbdVideos`.

    Raises:
      ConfigError: no such folder, no frames in it or in one that the table lists, or the table is malformed.
    """
    root = Path(source.root)
    if not root.is_dir():
        raise ConfigError(f"{root} is not a folder")
    walks: list[MediaItem] = []
    below: FolderWalk | None = None
    if table is not None:
        rows = read_media_table(table, split_column=split_column)
        if (repeated := first_repeated_file(root / row.key for row in rows)) is not None:
            row, other = rows[repeated[0]], rows[repeated[1]]
            raise ConfigError(f"{row.place}: {row.key!r} is the folder that is listed as {other.key!r} before")
        for row in rows:
            if not is_rgbd_folder(root / row.key):
                raise ConfigError(f"{row.place}: {root / row.key} is no folder of frames NNNNNN.color.*")
            walks.append(MediaItem(row.key, "video", row.label, row.source, row.split, path=str(root / row.key)))
    else:
        below = walk_folder(root)
        walks.extend(_scan(root, below))
    videos = [video for walk in walks for video in open_rgbd_folder(str(walk.path), walk, source)]
    if below is None:
        return RgbdVideos(videos, probe=probe)
    return RgbdVideos(videos, probe=probe, unread=below.unread, left_out=below.left_out)


def is_rgbd_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder directly holds frames NNNNNN.color.*."""
    return Path(path).is_dir() and any(_colour(name) for name in os.listdir(path))


def write_rgbd_folder(
    folder: str | os.PathLike[str],
    frames: npt.NDArray[np.uint8],
    depths: npt.ArrayLike,
    poses: npt.NDArray[np.floating] | None = None,
    times: npt.ArrayLike | None = None,
) -> None:
    """Write an RGB-D video as PNG files; what `open_rgbd` reads.

    Args:
      folder: made if need be.
      frames: uint8 (N, H, W, 3).
      depths: (N, H, W), metres, 0 for no reading; rounded to millimetres.
      poses: (N, 4, 4), camera to world, or None.
      times: (N,) seconds, which number the frames at 30 a second; None numbers them from 0.

    Raises:
      ValueError: a depth does not fit (`write_depth`), or two frames would have one number.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    seconds = np.arange(len(frames)) / _RATE if times is None else np.asarray(times, np.float64)
    numbers = np.rint(seconds * _RATE).astype(np.int64)
    if (np.diff(numbers) < 1).any():
        raise ValueError(f"times must be at least {1 / _RATE:.4f} s apart, got {seconds.tolist()}")
    for place, (frame, depth, number) in enumerate(zip(frames, np.asarray(depths), numbers.tolist(), strict=True)):
        Image.fromarray(frame).save(target / f"{number:06d}.color.png")
        write_depth(target / f"{number:06d}.depth.png", depth)
        if poses is not None:
            np.savetxt(target / f"{number:06d}.pose.txt", poses[place])


def _colour(name: str) -> re.Match[str] | None:
    return _COLOUR.fullmatch(name)


def _scan(root: Path, walk: FolderWalk) -> Iterator[MediaItem]:
    """Every folder of frames, sorted by path."""
    if is_rgbd_folder(root):
        yield MediaItem(root.resolve().name, "video", path=str(root))
        return
    found = sorted(folder for folder, names in walk.folders.items() if any(map(_colour, names)))
    if not found:
        reasons = "".join(f"; {reason}" for reason in (*map(str, walk.unread[:3]), *walk.left_out[:3]))
        raise NoMediaError(f"{root} holds no frames named NNNNNN.color.* with NNNNNN.depth.png{reasons}")
    for path, (label, split) in zip(found, labels_by_folder(found), strict=True):
        yield MediaItem(path.as_posix(), "video", label, split=split, path=str(root / path))


def open_rgbd_folder(folder: str | os.PathLike[str], walk: MediaItem, source: RgbdFolders) -> list[RgbdVideo]:
    """A folder that directly holds frames as one video, or cut into items.

    Args:
      folder: where the frames are.
      walk: what the video is called.
      source: its rate, and whether it is cut.
    """
    numbers, frames, damage = _frames(Path(folder))
    times, duration = times_of_frames(numbers, source.rate)
    # A path says how to open the item again, and a folder by itself is opened at the usual rate.
    item = walk if source.rate == _RATE else dataclasses.replace(walk, source=walk.source, path=None)
    video = RgbdVideo(item, tuple(frames), times, duration, damage=damage)
    if source.frames is None:
        return [video]
    return cut_video(
        video, source.frames, [f"{number:06d}" for number in numbers.tolist()], own_source=source.own_source
    )


def _frames(folder: Path) -> tuple[npt.NDArray[np.int64], list[RgbdFrame], str | None]:
    """The frames of a folder by number, and what was left out: of two colour images of one frame the second."""
    found: dict[int, RgbdFrame] = {}
    damage = None
    names = set(os.listdir(folder))
    for name in sorted(names):
        if match := _colour(name):
            number = int(match["number"])
            if number in found:
                damage = f"there are two colour images of frame {number}: {name} is left out"
                continue
            depth, pose = (
                str(folder / other) if other in names else None
                for other in (f"{match['stem']}.depth.png", f"{match['stem']}.pose.txt")
            )
            found[number] = RgbdFrame(str(folder / name), depth, pose)
    numbers = np.array(sorted(found), np.int64)
    return numbers, [found[int(number)] for number in numbers], damage
