"""One way to name any data set: what `--data` takes on the command line."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.csv_lines import csv_header
from jaxret.data.datasets.folders import MediaFiles, media_kind, read_csv
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.datasets.published.action_videos import official_split, open_action_videos, sources_in_names
from jaxret.data.datasets.published.cc_web_video import open_cc_web_video
from jaxret.data.datasets.published.stanford_rooms import open_stanford_rooms
from jaxret.data.datasets.published.synthia_sf import open_synthia_sf
from jaxret.data.datasets.published.youtube8m import open_youtube8m
from jaxret.data.datasets.rgbd import open_rgbd, parse_rgbd_spec
from jaxret.data.datasets.tfds import TfdsDataset
from jaxret.data.items import MediaItem
from jaxret.data.spec import parse_spec, yes_or_no
from jaxret.errors import ConfigError
from jaxret.remote import remote_state, url_of

__all__ = ["PUBLISHED", "Published", "open_dataset", "place_of", "table_of_spec"]

OptionReader = Callable[[str], Any]


@dataclasses.dataclass(frozen=True)
class Published:
    """A data set that is opened as it is published.

    Attributes:
      open: called with the folder, `probe` and the options that were given.
      options: what reads the text of each option, see `jaxret.data.spec.parse_spec`.
    """

    open: Callable[..., MediaDataset]
    options: Mapping[str, OptionReader] = dataclasses.field(default_factory=dict)


_RATES: Mapping[str, OptionReader] = {"rate": float, "frames": int}
_SPLIT: Mapping[str, OptionReader] = {"split": official_split}

PUBLISHED: Mapping[str, Published] = {
    "stanford-rooms": Published(open_stanford_rooms, {**_RATES, "label": str}),
    "synthia-sf": Published(open_synthia_sf, _RATES),
    "cc-web-video": Published(open_cc_web_video, {"seeds": yes_or_no}),
    "youtube-8m": Published(open_youtube8m),
    "ucf50": Published(functools.partial(open_action_videos, "ucf50")),
    "ucf101": Published(functools.partial(open_action_videos, "ucf101"), _SPLIT),
    "hmdb51": Published(functools.partial(open_action_videos, "hmdb51"), _SPLIT),
    "kth": Published(functools.partial(open_action_videos, "kth"), _SPLIT),
}
"""Data sets in the layout that they are published in, by the name before the colon."""

_CHOICES = (
    f"moving-digits, tfds:NAME[:CONFIG], rgbd:FOLDER, {', '.join(f'{name}:FOLDER' for name in PUBLISHED)}, a folder of "
    "classes, a CSV with a column path, or a media file"
)


def place_of(spec: str) -> str:
    """The folder or file that the name of a data set leads to; the name itself where it has none before a colon.

    Example:
      >>> place_of("rgbd,frames=60:walks"), place_of("films"), place_of("moving-digits")
      ('walks', 'films', 'moving-digits')
    """
    head, _, folder = spec.partition(":")
    return folder if folder and head.split(",")[0] in ("rgbd", *PUBLISHED) else spec


def open_dataset(
    spec: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    split_column: str = "split",
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
    probe: bool = True,
) -> MediaDataset:
    """Open the data set that `spec` names.

    Args:
      spec: one of
        `moving-digits`, the embedded data set;
        `tfds:NAME` or `tfds:NAME:CONFIG`, of tensorflow-datasets;
        `rgbd:FOLDER`, RGB-D videos (`jaxret.data.datasets.rgbd`), or with options `rgbd,rate=15,frames=60:FOLDER`, see
        there; a CSV in the folder is read as below, its paths are folders of frames;
        `stanford-rooms:FOLDER` (options label, rate, frames), `synthia-sf:FOLDER` (rate, frames),
        `cc-web-video:FOLDER` (seeds), `youtube-8m:FOLDER`, data sets in the layout that they are published in, see the
        modules of these names;
        `ucf50:FOLDER`, `ucf101:FOLDER`, `hmdb51:FOLDER` and `kth:FOLDER`, the last three with `,split=1` (2, 3) or
        `,split=none`, see `jaxret.data.datasets.published.action_videos`;
        a folder ROOT/<class>/<file>; one that directly holds a CSV with a column `path`, and not one of
        boxes (`jaxret.data.ground_truth.boxes`), is read by it;
        a CSV that lists files with path, label, source and split;
        a single image or video;
        the last and folders also as URLs, s3://, gs://, http:// or https:// (extra `remote`): files are read from
        there, a range at a time, and not probed.
      root: for a CSV, the folder that its paths are relative to, if not its own.
      split_column: for a CSV, the column to take the split from.
      data_dir, download: for `tfds:`, where data sets are kept, and whether to fetch what is missing.
      probe: whether to check every file first; the broken ones are then in the data set's `skipped`.

    Raises:
      ConfigError: the spec is none of these (the message lists them), or what it names is wrong.
      MediaError: a single file that cannot be read.
    """
    name = os.fspath(spec)
    if not name:  # as of a variable of the shell that is not set: the folder at hand is named "."
        raise ConfigError(f"no data set: its name is empty; choose {_CHOICES}")
    if name == "moving-digits":
        return MovingDigits()
    if name.startswith("tfds:"):
        return TfdsDataset(name.removeprefix("tfds:").replace(":", "/", 1), data_dir=data_dir, download=download)
    if (rgbd := parse_rgbd_spec(name)) is not None:
        table = _table_of(Path(rgbd.root))
        return open_rgbd(rgbd, table=table, split_column=split_column, probe=probe)
    if (published := _published(name, probe)) is not None:
        return published
    if (url := url_of(name)) is not None:
        return _remote(url, probe)
    path = Path(name)
    if path.is_dir():
        table = _table_of(path)
        if table is None:
            return _folder(path, probe)
        return MediaFiles(read_csv(table, root, split_column=split_column), probe=probe)
    if path.suffix.lower() == ".csv":
        return MediaFiles(read_csv(path, root, split_column=split_column), probe=probe)
    kind = media_kind(path)
    if kind is None or not path.is_file():
        there = f"{name!r} is no media file" if os.path.lexists(path) else f"there is no file or folder {name!r}"
        raise ConfigError(f"no data set: {there}; choose {_CHOICES}")
    files = MediaFiles([MediaItem(path.name, kind, path=name)], probe=probe)
    if files.skipped:
        raise files.skipped[0]
    return files


def _remote(url: str, probe: bool) -> MediaFiles:
    """A media file at a URL, or a folder of them, which are not read before they are wanted."""
    if url.lower().endswith(".csv"):
        raise ConfigError(f"{url}: a CSV is read from this machine: copy it; the paths in it may be URLs")
    if remote_state(url) is None:
        return MediaFiles.of_folder(url, probe=False)
    if (kind := media_kind(url)) is None:
        raise ConfigError(f"no data set: {url!r} is no media file; choose {_CHOICES}")
    files = MediaFiles([MediaItem(url.rpartition("/")[2], kind, path=url)], probe=probe)
    if files.skipped:
        raise files.skipped[0]
    return files


def _folder(path: Path, probe: bool) -> MediaFiles:
    files = MediaFiles.of_folder(path, probe=probe)
    note = sources_in_names(files.items, path)
    files.notes = () if note is None else (note,)
    return files


def _published(spec: str, probe: bool) -> MediaDataset | None:
    """The data set in its published layout that `spec` names, if it is one."""
    for name, published in PUBLISHED.items():
        if (parsed := parse_spec(spec, name, published.options)) is not None:
            folder, options = parsed
            return published.open(folder, probe=probe, **options)
    return None


def table_of_spec(spec: str) -> Path | None:
    """The CSV that a data set is listed by; None where its folders and files speak for themselves."""
    place = place_of(spec)
    if place != spec and not spec.startswith("rgbd"):
        return None  # data sets in their published layouts
    path = Path(place)
    return _table_of(path) if path.is_dir() else path if path.suffix.lower() == ".csv" else None


def _table_of(folder: Path) -> Path | None:
    """The one CSV in a folder that lists media, or None; one with boxes lists objects in them."""
    headers = {table: csv_header(table) for table in sorted(folder.glob("*.csv"))}
    boxes = {"left", "top", "right", "bottom"}
    tables = [table for table, header in headers.items() if "path" in header and not boxes <= header]
    if len(tables) > 1:
        raise ConfigError(f"{folder} holds {len(tables)} CSVs; name one: {', '.join(map(str, tables))}")
    return tables[0] if tables else None
