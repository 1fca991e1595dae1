"""A query file as a data set of one item."""

from __future__ import annotations

import os
from pathlib import Path

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles, media_kind
from jaxret.data.datasets.rgbd import is_rgbd_folder, open_rgbd, parse_rgbd_spec
from jaxret.data.items import Kind, MediaItem
from jaxret.errors import ConfigError, MediaError
from jaxret.remote import remote_state, url_of

__all__ = ["is_text", "single_file"]


def is_text(query: str) -> bool:
    """Whether a string is words to search with: no path of a file, and nothing that looks like one.

    Example:
      >>> is_text("a red car turning"), is_text("car.mp4"), is_text("films/car"), is_text("/")
      (True, False, False, False)
    """
    if os.sep in query or parse_rgbd_spec(query) is not None or media_kind(Path(query)) is not None:
        return False
    return not os.path.exists(query)


def single_file(path: str | Path) -> MediaDataset:
    """A data set of one media file, of this machine or at a URL, or of one folder of RGB-D frames.

    Raises:
      MediaError: there is no such file, it is of no known kind, or it cannot be read.
      ConfigError: `rgbd:FOLDER` names no folder of frames, or several.
    """
    if (rgbd := parse_rgbd_spec(str(path))) is not None:
        videos = open_rgbd(rgbd)
        if videos.skipped:
            raise videos.skipped[0]
        if len(videos) != 1:
            raise ConfigError(f"a query is one video, and {str(path)!r} names {len(videos)}")
        return videos
    if (url := url_of(path)) is not None:
        return _remote(url)
    path = Path(path)
    try:
        path.stat()
    except FileNotFoundError:
        raise MediaError(str(path), "no such file") from None
    except (OSError, ValueError) as error:
        raise MediaError(str(path), getattr(error, "strerror", None) or str(error)) from error
    folder = is_rgbd_folder(path)
    if not path.is_file() and not folder:
        raise MediaError(str(path), "not a file")
    kind = "video" if folder else media_kind(path)
    if kind is None:
        raise MediaError(str(path), "neither an image nor a video by its file name")
    return _alone(path.name, kind, str(path))


def _remote(url: str) -> MediaDataset:
    if remote_state(url) is None:
        raise MediaError(url, "no such file")
    if (kind := media_kind(url)) is None:
        raise MediaError(url, "neither an image nor a video by its file name")
    return _alone(url.rpartition("/")[2], kind, url)


def _alone(key: str, kind: Kind, path: str) -> MediaDataset:
    dataset = MediaFiles([MediaItem(key, kind, path=path)])
    if dataset.skipped:
        raise dataset.skipped[0]
    return dataset
