"""Data sets of human actions as they are published: UCF50, UCF101, HMDB51 and KTH.

Their file names tell what a clip was cut from, and clips of one source look alike: without them a query and its answer
would be parts of one recording. A source is named the same in UCF50 and UCF101, which share clips.

- UCF50 (Reddy and Shah, 2013) and UCF101 (Soomro et al., arXiv:1212.0402): `<class>/v_<class>_g07_c02.avi`, group 7 of
  25. UCF101's lists are `ucfTrainTestlist/trainlist01.txt`, `testlist01.txt` and so on to 03.
- HMDB51 (Kuehne et al., ICCV 2011): `<class>/<film>_<class>_f_cm_np1_fr_goo_0.avi`; after the class the file name has
  the visible part of the body, whether the camera moves, how many people, the view, the quality and the clip's number.
  Its lists are `testTrainMulti_7030_splits/<class>_test_split1.txt` to 3.
- KTH (Schuldt et al., ICPR 2004): `person01_walking_d1_uncomp.avi`, 25 persons in four settings; the published split
  is one of persons.

Nothing is downloaded.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.items import MediaItem
from jaxret.data.splits import UNUSED
from jaxret.errors import ConfigError

__all__ = ["ACTION_VIDEOS", "ActionVideos", "Clip", "official_split", "open_action_videos", "sources_in_names"]

OfficialSplit = int | Literal["auto"] | None
"""Number of the published split; "auto": the first, where its lists are there; None: none."""

SplitOf = Callable[[str], str]
"""The split of a file, by its name without the ending; unused where the lists do not name it."""

_UCF = re.compile(r"v_(?P<label>\w+?)_g(?P<group>\d+)_c\d+")
_HMDB = re.compile(r"(?P<film_and_label>.+)_[fhul]_(?:cm|nm)_np\d+_(?:fr|ba|le|ri)_(?:bad|med|goo)_\d+")
_KTH = re.compile(r"person(?P<person>\d\d)_(?P<label>[a-z]+)_d\d(?:_uncomp)?")
_KTH_PERSONS = {
    "train": (11, 12, 13, 14, 15, 16, 17, 18),
    "validation": (19, 20, 21, 23, 24, 25, 1, 4),
    "test": (22, 2, 3, 5, 6, 7, 8, 9, 10),
}
_SPLITS = (1, 2, 3)


@dataclasses.dataclass(frozen=True)
class Clip:
    """What a file name tells.

    Attributes:
      label: the class.
      source: what the clip was cut from.
    """

    label: str
    source: str


def _ucf_clip(path: PurePosixPath) -> Clip | None:
    match = _UCF.fullmatch(path.stem)
    if match is None:
        return None
    label, folder = match["label"], path.parent.name
    # One folder is spelled differently from its files: HandstandPushups/v_HandStandPushups_g01_c01.avi.
    return Clip(folder if folder.lower() == label.lower() else label, f"ucf/{label.lower()}_g{match['group']}")


def _hmdb_clip(path: PurePosixPath) -> Clip | None:
    match = _HMDB.fullmatch(path.stem)
    label = path.parent.name
    if match is None or not label:
        return None
    return Clip(label, f"hmdb/{match['film_and_label'].removesuffix(f'_{label}')}")


def _kth_clip(path: PurePosixPath) -> Clip | None:
    match = _KTH.fullmatch(path.stem)
    return None if match is None else Clip(match["label"], f"kth/person{match['person']}")


def _no_splits(root: Path, number: int) -> SplitOf | None:
    """Of a data set that is published without."""
    return None


def _ucf_splits(root: Path, number: int) -> SplitOf | None:
    """None where the lists are not there."""
    folder = _beside(root, "ucfTrainTestlist")
    if folder is None:
        return None
    splits = {}
    for split in ("train", "test"):
        for place, line in _lines(folder / f"{split}list{number:02}.txt"):
            words = line.split()
            if not words or len(words) > 2 or (len(words) == 2 and not words[1].isdigit()):
                raise ConfigError(f"{place}: expected CLASS/FILE and perhaps a class number, got {line!r}")
            splits[PurePosixPath(words[0]).stem] = split
    return lambda name: splits.get(name, UNUSED)


def _hmdb_splits(root: Path, number: int) -> SplitOf | None:
    """As `_ucf_splits`; there is a list a class."""
    folder = _beside(root, "testTrainMulti_7030_splits")
    if folder is None:
        return None
    lists = sorted(folder.glob(f"*_test_split{number}.txt"))
    if not lists:
        raise ConfigError(f"{folder} holds no list <class>_test_split{number}.txt")
    names = {"0": UNUSED, "1": "train", "2": "test"}
    splits = {}
    for path in lists:
        for place, line in _lines(path):
            name, _, number_of_split = line.rpartition(" ")
            if not name or number_of_split not in names:
                raise ConfigError(f"{place}: expected FILE and 0, 1 or 2, got {line!r}")
            splits[PurePosixPath(name.strip()).stem] = names[number_of_split]
    return lambda name: splits.get(name, UNUSED)


def _kth_splits(root: Path, number: int) -> SplitOf | None:
    if number != 1:
        return None
    split_of = {person: split for split, persons in _KTH_PERSONS.items() for person in persons}

    def split_of_person(name: str) -> str:
        match = _KTH.fullmatch(name)
        return UNUSED if match is None else split_of.get(int(match["person"]), UNUSED)

    return split_of_person


@dataclasses.dataclass(frozen=True)
class ActionVideos:
    """How a data set names its files and its splits.

    Attributes:
      title: as it is published.
      example: a file name.
      clip: the path of a file, relative to the folder, to what it tells; None for other files.
      splits: a folder and a split's number to the split of each file; None where the lists are not there.
    """

    title: str
    example: str
    clip: Callable[[PurePosixPath], Clip | None]
    splits: Callable[[Path, int], SplitOf | None]


ACTION_VIDEOS: Mapping[str, ActionVideos] = {
    "ucf50": ActionVideos("UCF50", "Biking/v_Biking_g01_c01.avi", _ucf_clip, _no_splits),
    "ucf101": ActionVideos("UCF101", "Archery/v_Archery_g01_c01.avi", _ucf_clip, _ucf_splits),
    "hmdb51": ActionVideos("HMDB51", "hug/FILM_hug_u_nm_np2_fr_med_0.avi", _hmdb_clip, _hmdb_splits),
    "kth": ActionVideos("KTH", "person01_walking_d1_uncomp.avi", _kth_clip, _kth_splits),
}
"""By the name that `jaxret.data.open.open_dataset` knows them by."""


def official_split(text: str) -> int | None:
    """Reads the option `split`: 1, 2, 3 or none; ValueError for anything else."""
    if text == "none":
        return None
    if text not in map(str, _SPLITS):
        raise ValueError(text)
    return int(text)


def open_action_videos(
    name: str, root: str | os.PathLike[str], *, split: OfficialSplit = "auto", probe: bool = True
) -> MediaFiles:
    """Open one of these data sets, or a part of it, from the folder that it was unpacked in.

    Args:
      name: of ACTION_VIDEOS.
      root: the folder; class folders may lie deeper in it. Lists of splits are looked for in it and beside it.
      split: the number of the published split. Files that its lists do not name take no part (`unused`).
      probe: see `MediaFiles`.

    Raises:
      ConfigError: no such data set or folder, no file is named as its files are, or the lists of the split are not
        there or malformed (the message names the line).
    """
    if name not in ACTION_VIDEOS:
        raise ConfigError(f"action videos are {', '.join(ACTION_VIDEOS)}, got {name!r}")
    kind, base = ACTION_VIDEOS[name], Path(root)
    found = MediaFiles.of_folder(base, probe=False)
    clips = {item: clip for item in found.items if (clip := kind.clip(PurePosixPath(item.key))) is not None}
    if not clips:
        raise ConfigError(f"{base} holds no file named as those of {kind.title} are, such as {kind.example}")
    number = 1 if split == "auto" else split
    split_of = None if number is None else kind.splits(base, number)
    if split_of is None and split not in ("auto", None):
        raise ConfigError(f"{base}: no lists of split {split} of {kind.title} lie in it or beside it")
    items = [
        dataclasses.replace(
            item,
            label=clip.label,
            source=clip.source,
            split=None if split_of is None else split_of(PurePosixPath(item.key).stem),
        )
        for item, clip in clips.items()
    ]
    files = MediaFiles(items, probe=probe)
    files.skipped = (*found.skipped, *files.skipped)
    files.left_out, files.passed_over = found.left_out, found.passed_over
    if others := len(found.items) - len(items):
        files.left_out = (*files.left_out, f"{others} files that are not named as those of {kind.title} are")
    return files


def sources_in_names(items: tuple[MediaItem, ...], root: str | os.PathLike[str]) -> str | None:
    """A note where most files of a folder are named as those of one of these data sets; None where they are not."""
    keys = [PurePosixPath(item.key) for item in items if item.kind == "video"]
    for name in ("ucf101", "hmdb51", "kth"):
        kind = ACTION_VIDEOS[name]
        if keys and sum(kind.clip(key) is not None for key in keys) > len(keys) / 2:
            return (
                f"file names look like those of {kind.title}: opened as {name}:{os.fspath(root)}, clips of one source "
                "do not stand on both sides of training and test"
            )
    return None


def _beside(root: Path, name: str) -> Path | None:
    """A folder of this name in another, or beside it."""
    return next((path for path in (root / name, root.resolve().parent / name) if path.is_dir()), None)


def _lines(path: Path) -> list[tuple[str, str]]:
    """Lines of a list that are not empty, each with its place."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return [
        (f"{path}, line {number}", line.strip())
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
