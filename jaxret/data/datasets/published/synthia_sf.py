"""SYNTHIA-SF, drives through a rendered San Francisco with exact depth (Hernandez-Juarez et al., BMVC 2017).

Layout: `SEQ1` .. `SEQ6`, in each `RGBLeft/0000000.png` and `DepthLeft/0000000.png` of the same names (and `RGBRight`,
`GTLeft`, which are not read). Depth is in 24 bits, as CARLA's: 1000 (R + 256 G + 256^2 B) / (256^3 - 1) metres. Nothing
is downloaded.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from jaxret.data.datasets.rgbd import RgbdFolders
from jaxret.data.decode.rgbd import RgbdFrame, RgbdVideo, RgbdVideos, cut_video, times_of_frames
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError

__all__ = ["open_synthia_sf"]

_SEQUENCE = re.compile(r"SEQ\d+")


def open_synthia_sf(
    root: str | os.PathLike[str], *, rate: float = 5.0, frames: int | None = 20, probe: bool = True
) -> RgbdVideos:
    """The sequences cut into RGB-D videos, each sequence a class.

    Ma and Klabjan's table gives 417 videos in 6 classes, which the sequences are (how they cut them it does not say: of
    the 2,224 frames 417 videos would have five each); so the videos of a sequence are each other's right answers, and
    each is its own `source`. Videos that follow each other in a sequence show much the same: where training is to see
    none of what is tested, keep sequences out (`unseen_fraction`).

    Streets reach far: depth planes that end at a room's 4.5 m have most of an image in the last (`--depth-far`).

    Args:
      root: holds `SEQ1` .. `SEQ6` (or some of them).
      rate: frames a second; SYNTHIA's sequences were rendered at 5.
      frames: cut each sequence into videos of about this many frames, by default of 4 seconds, some 110 in all; None:
        whole sequences, six classes of one video each, of which none is left to validate and test.
      probe: see `RgbdVideos`.

    Raises:
      ConfigError: no such folder, no sequence in it, or a number is out of range.
    """
    options = RgbdFolders(os.fspath(root), rate, frames)
    base = Path(root)
    if not base.is_dir():
        raise ConfigError(f"{base} is not a folder")
    videos: list[RgbdVideo] = []
    for folder in sorted(path for path in base.iterdir() if _SEQUENCE.fullmatch(path.name) and path.is_dir()):
        if images := sorted((folder / "RGBLeft").glob("*.png")):
            videos.extend(_of_sequence(folder, images, options))
    if not videos:
        raise ConfigError(f"{base} holds no sequences SEQ1, SEQ2, ... with images in RGBLeft")
    return RgbdVideos(videos, probe=probe)


def _of_sequence(folder: Path, images: list[Path], options: RgbdFolders) -> list[RgbdVideo]:
    files = []
    for image in images:
        depth = folder / "DepthLeft" / image.name
        files.append(RgbdFrame(str(image), str(depth) if depth.is_file() else None))
    times, duration = times_of_frames(np.arange(len(files)), options.rate)
    whole = RgbdVideo(MediaItem(folder.name, "video", folder.name), tuple(files), times, duration, "rgb24")
    if options.frames is None:
        return [whole]
    return cut_video(whole, options.frames, [image.stem for image in images], own_source=True)
