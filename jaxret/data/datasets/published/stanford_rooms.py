"""The Stanford indoor areas: 2D-3D-S (Armeni, Sax, Zamir and Savarese, arXiv:1702.01105) and S3DIS (CVPR 2016).

Both are of the same six areas. S3DIS has a point cloud a room, `Area_1/office_3/office_3.txt`; 2D-3D-S has images
with depth, as its README describes them: `area_1/data/rgb/camera_UUID_office_3_frame_12_domain_rgb.png` beside
`data/depth` and, where it was unpacked, `data/pose`; depth in 16 bits, 1/512 m, 65535 for missing. A camera, named by
its UUID, stood still, and its frames look about from there. Area 5 is stored as 5a and 5b. Nothing is downloaded: the
data are given out for a signed licence.

As videos: a camera's frames in order of their numbers. A room may also hold frames that were rendered of its point
cloud, `Area_1/office_3/000000.color.png` with depth; then it is a video itself.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from jaxret.data.datasets.rgbd import RgbdFolders, is_rgbd_folder, open_rgbd_folder
from jaxret.data.decode.rgbd import RgbdFrame, RgbdVideo, RgbdVideos, cut_video, times_of_frames
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError

__all__ = ["RoomLabel", "StanfordRoom", "open_stanford_rooms", "read_rooms"]

RoomLabel = Literal["room-type", "area"]
"""What a class is: the room's type (office, hallway, ... eleven of them) or its area (six)."""

_AREA = re.compile(r"area_(?P<area>\d)[ab]?", re.IGNORECASE)
_ROOM = re.compile(r"(?P<type>[A-Za-z]+)_(?P<number>\d+)")
_IMAGE = re.compile(r"camera_(?P<camera>[0-9a-f]+)_+(?P<room>[A-Za-z]+_\d+)_frame_(?P<frame>\d+)_domain_+rgb\.png")


@dataclasses.dataclass(frozen=True)
class StanfordRoom:
    """One room of S3DIS.

    Attributes:
      area: 1 to 6.
      room_type: such as `conferenceRoom`, as the data set spells it.
      number: of the room among those of its type in its area.
      folder: where it is stored.
      points: its point cloud, a text file of x y z red green blue; None where only frames are there.
    """

    area: int
    room_type: str
    number: int
    folder: str
    points: str | None


def read_rooms(root: str | os.PathLike[str]) -> tuple[StanfordRoom, ...]:
    """The rooms of S3DIS, `Area_N/<room type>_<n>`, sorted by area, type and number.

    Raises:
      ConfigError: no such folder, or no room in it.
    """
    rooms = []
    for area, folder in _areas(Path(root)):
        for path in folder.iterdir():
            if path.is_dir() and (match := _ROOM.fullmatch(path.name)):
                points = path / f"{path.name}.txt"
                rooms.append(
                    StanfordRoom(
                        area,
                        match["type"],
                        int(match["number"]),
                        str(path),
                        str(points) if points.is_file() else None,
                    )
                )
    if not rooms:
        raise ConfigError(f"{root} holds no rooms Area_N/<room type>_<number>")
    return tuple(sorted(rooms, key=lambda room: (room.area, room.room_type, room.number, room.folder)))


def open_stanford_rooms(
    root: str | os.PathLike[str],
    *,
    label: RoomLabel = "room-type",
    rate: float = 4.0,
    frames: int | None = None,
    probe: bool = True,
) -> RgbdVideos:
    """The areas as RGB-D videos: one a camera position of 2D-3D-S, or one a room that holds rendered frames.

    The `source` of a video is its room: cameras of one room see the same things.

    Args:
      root: holds `area_1` .. `area_6` (or some of them).
      label: what a class is. Ma and Klabjan's table gives S3DIS 6 classes, which the areas are.
      rate: frames a second at which a camera's still images are shown, or a room's rendered frames. They have no time
        of their own: by default two seconds, a clip of `conv-lstm`, show eight of them.
      frames: cut each into items of about this many frames; None: each is one item.
      probe: see `RgbdVideos`.

    Raises:
      ConfigError: no such folder, no images with depth in it (point clouds alone are no video), or an option
        is out of range.
    """
    if label not in get_args(RoomLabel):
        raise ConfigError(f"label must be one of {', '.join(get_args(RoomLabel))}, got {label!r}")
    options = RgbdFolders(os.fspath(root), rate, frames)
    found = [video for area, folder in _areas(Path(root)) for video in _of_area(area, folder, label, options)]
    if not found:
        raise ConfigError(
            f"{root} holds no RGB-D images area_N/data/rgb of 2D-3D-S, nor rooms with frames NNNNNN.color.*; point "
            "clouds have to be rendered first"
        )
    return RgbdVideos(found, probe=probe)


def _areas(root: Path) -> list[tuple[int, Path]]:
    if not root.is_dir():
        raise ConfigError(f"{root} is not a folder")
    matches = [(_AREA.fullmatch(path.name), path) for path in sorted(root.iterdir()) if path.is_dir()]
    return [(int(match["area"]), path) for match, path in matches if match]


def _of_area(area: int, folder: Path, label: RoomLabel, options: RgbdFolders) -> Iterator[RgbdVideo]:
    def item(room: str, part: str = "") -> MediaItem:
        match = _ROOM.fullmatch(room)
        assert match is not None
        kind = match["type"] if label == "room-type" else f"area_{area}"
        return MediaItem(f"{folder.name}/{room}{part}", "video", kind, source=f"area_{area}/{room}")

    for path in sorted(folder.iterdir()):
        if _ROOM.fullmatch(path.name) and is_rgbd_folder(path):
            yield from open_rgbd_folder(path, item(path.name), options)
    colours = folder / "data" / "rgb"
    cameras: dict[tuple[str, str], dict[int, RgbdFrame]] = defaultdict(dict)
    for name in sorted(os.listdir(colours)) if colours.is_dir() else ():
        if match := _IMAGE.fullmatch(name):
            depth, pose = (
                _beside(colours / name, kind, ending) for kind, ending in (("depth", "png"), ("pose", "json"))
            )
            cameras[match["room"], match["camera"]][int(match["frame"])] = RgbdFrame(str(colours / name), depth, pose)
    for (room, camera), images in sorted(cameras.items()):
        # The numbers name directions and not times: images follow each other steadily.
        order = sorted(images)
        times, duration = times_of_frames(np.arange(len(order)), options.rate)
        files = tuple(images[number] for number in order)
        video = RgbdVideo(item(room, f"/{camera}"), files, times, duration, "512ths")
        yield from [video] if options.frames is None else cut_video(video, options.frames, [str(n) for n in order])


def _beside(colour: Path, kind: str, ending: str) -> str | None:
    """The file of another kind for the same view, whose name differs in its last word alone."""
    path = colour.parents[1] / kind / f"{colour.name.removesuffix('rgb.png')}{kind}.{ending}"
    return str(path) if path.is_file() else None
