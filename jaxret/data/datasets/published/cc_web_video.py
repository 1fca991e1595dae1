"""CC_WEB_VIDEO, near-duplicates among web videos (Wu, Hauptmann and Ngo, ACM Multimedia 2007): lists and ground truth.

The files, as the data set's download page describes them:
- `Video_List.txt`: VideoID, QueryID, Source, VideoName, URL between tabs; or `Video_Complete.txt`, which begins with
  the same four, has more columns after them, and a header;
- `Seed.txt`: QueryID and the VideoID of the query's video;
- `GT/GT_1.rst` .. `GT/GT_24.rst` (unpacked from Ground.zip): for each query VideoID and a code: E exactly duplicate, S
  similar, V different version, M major change, L long version, X dissimilar, -1 the video does not exist;
- the videos, `QUERY_NUMBER_SOURCE.flv` and other formats, in one folder or one a query.
Nothing is downloaded.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path

from jaxret.data.datasets.folders import MediaFiles, media_kind
from jaxret.data.datasets.walk import walk_folder
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError
from jaxret.files import read_text

__all__ = ["CODES", "NEAR_DUPLICATES", "CcWebVideo", "WebQuery", "open_cc_web_video", "read_cc_web_video"]

CODES = ("E", "S", "V", "M", "L", "X", "-1")
"""What the ground truth says of a video."""
NEAR_DUPLICATES = ("E", "S", "V", "M", "L")
"""The codes that are relevant in the published figures: all but dissimilar and missing videos."""

_LISTS = ("Video_List.txt", "Video_Complete.txt")
_TRUTH = re.compile(r"GT_?(?P<query>\d+)\.rst")


@dataclasses.dataclass(frozen=True)
class WebQuery:
    """One of the 24 queries.

    Attributes:
      number: of the query.
      seed: the VideoID of the query.
      codes: VideoID to code, of every video with ground truth for it.
    """

    number: int
    seed: int
    codes: Mapping[int, str]

    def relevant(self) -> tuple[int, ...]:
        """The VideoIDs of the near-duplicates, ascending, without the seed itself."""
        return tuple(sorted(v for v, code in self.codes.items() if code in NEAR_DUPLICATES and v != self.seed))


@dataclasses.dataclass(frozen=True)
class CcWebVideo:
    """The lists of the data set.

    Attributes:
      names: VideoID to file name.
      topics: VideoID to the number of the query that found it.
      queries: in order of their numbers.
    """

    names: Mapping[int, str]
    topics: Mapping[int, int]
    queries: tuple[WebQuery, ...]

    def ground_truth(self) -> dict[str, dict[str, bool]]:
        """By the file name of each query's seed, then by that of each video with a code for it: whether it is relevant.

        Its own seed is not among them, nor are missing videos (-1).
        """
        return {
            self.names[query.seed]: {
                self.names[video]: code in NEAR_DUPLICATES
                for video, code in query.codes.items()
                if code != "-1" and video != query.seed
            }
            for query in self.queries
        }


def read_cc_web_video(root: str | os.PathLike[str]) -> CcWebVideo:
    """The lists and ground truth in a folder.

    Raises:
      ConfigError: a file is missing or malformed (the message names file and line), a video is listed twice, a query
        has no seed, or a seed or a video of the ground truth is not listed.
    """
    base = Path(root)
    table = next((base / name for name in _LISTS if (base / name).is_file()), None)
    if table is None:
        raise ConfigError(f"{base} holds neither {' nor '.join(_LISTS)}")
    names: dict[int, str] = {}
    topics: dict[int, int] = {}
    for row, (place, cells) in enumerate(_lines(table, separator="\t")):
        if row == 0 and not cells[0].isdigit():
            continue  # the header
        if len(cells) < 4:
            raise ConfigError(f"{place}: expected VideoID, QueryID, Source and VideoName between tabs, got {cells!r}")
        video = _number(cells[0], place)
        if video in names:
            raise ConfigError(f"{place}: video {video} is listed twice")
        names[video], topics[video] = cells[3], _number(cells[1], place)
    seeds: dict[int, int] = {}
    for place, cells in _lines(base / "Seed.txt"):
        if len(cells) != 2:
            raise ConfigError(f"{place}: expected QueryID and VideoID, got {' '.join(cells)!r}")
        seeds[_number(cells[0].strip("*"), place)] = _number(cells[1], place)
    truths = {int(match["query"]): path for path in _truth_files(base) if (match := _TRUTH.fullmatch(path.name))}
    if not truths:
        raise ConfigError(f"{base} holds no ground truth GT/GT_1.rst, GT/GT_2.rst, ...")
    if lost := sorted(set(truths) ^ set(seeds)):
        raise ConfigError(f"{base}: query {lost[0]} has a seed or ground truth, not both")
    queries = tuple(WebQuery(number, seeds[number], _ground_truth(truths[number])) for number in sorted(truths))
    for query in queries:
        if odd := sorted({query.seed, *(v for v, code in query.codes.items() if code != "-1")} - set(names)):
            raise ConfigError(f"{truths[query.number]}: query {query.number} names video {odd[0]}, which is not listed")
    return CcWebVideo(names, topics, queries)


def open_cc_web_video(root: str | os.PathLike[str], *, seeds: bool = False, probe: bool = True) -> MediaFiles:
    """The videos of the data set that are on disk, wherever below the folder they lie, by its own ground truth.

    An item's key is its file name, its source itself. The label of a query's seed and of its near-duplicates is
    `query-N`. Those that a query found and that are dissimilar (X) or have no code have none: they are positives of
    none in training, and right for none in an evaluation by labels, where they may only be in the way. Videos that are
    listed and not there (many went from the web) are left out.

    Args:
      root: the folder.
      seeds: only the videos of the queries, `cc-web-video,seeds=yes:FOLDER`: the queries of the published figures
        (`jaxret evaluate INDEX --queries cc-web-video,seeds=yes:FOLDER`), with their `ground_truth`.
      probe: see `MediaFiles`.

    Raises:
      ConfigError: as `read_cc_web_video`; or no video that it lists is there.
    """
    lists = read_cc_web_video(root)
    found = {
        path.name: os.path.join(root, path) for path in walk_folder(root).files if media_kind(path.name) == "video"
    }
    label_of = {video: f"query-{query.number}" for query in lists.queries for video in (query.seed, *query.relevant())}
    wanted = {query.seed for query in lists.queries} if seeds else set(lists.names)
    items = [
        MediaItem(lists.names[video], "video", label_of.get(video), path=found[lists.names[video]])
        for video in sorted(wanted)
        if lists.names[video] in found
    ]
    if not items:
        raise ConfigError(f"{os.fspath(root)} holds none of the {len(wanted)} videos that it lists")
    files = MediaFiles(items, probe=probe)
    if seeds:
        files.ground_truth = lists.ground_truth()
    return files


def _truth_files(base: Path) -> list[Path]:
    return sorted({path for folder in (base, base / "GT") if folder.is_dir() for path in folder.glob("GT*.rst")})


def _ground_truth(path: Path) -> dict[int, str]:
    codes: dict[int, str] = {}
    for place, cells in _lines(path):
        if len(cells) != 2 or cells[1] not in CODES:
            raise ConfigError(f"{place}: expected VideoID and one of {', '.join(CODES)}, got {' '.join(cells)!r}")
        codes[_number(cells[0], place)] = cells[1]
    return codes


def _lines(path: Path, separator: str | None = None) -> list[tuple[str, list[str]]]:
    """Cells of the lines that are not empty, each with its place; the titles of web videos are in Latin-1."""
    try:
        text = read_text(path, encoding="latin-1")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    lines = enumerate(text.split("\n"), start=1)
    return [
        (f"{path}, line {number}", [cell.strip().strip('"') for cell in line.split(separator)])
        for number, line in lines
        if line.strip()
    ]


def _number(text: str, place: str) -> int:
    if not text.isdigit():
        raise ConfigError(f"{place}: expected a number, got {text!r}")
    return int(text)
