"""Stanford I2V, news videos searched by image (Araujo, Chaves, Chen, Angst and Girod, MMSys 2015): its text files.

Ground truth: a line a query, `NUMBER VIDEO START END VIDEO START END ...`, times as m:ss. Results of scene retrieval:
a line `Query NUMBER`, then a video a line, best first. Results of temporal refinement: a line `Query NUMBER`, then
lines `VIDEO,START END,START END,...`, or `VIDEO,KEYFRAME,KEYFRAME,...` of keyframes one a second, which are numbered
so that keyframe n is at max(n - 4, 0) seconds.
`jaxret.metrics.stanford_i2v` scores them; files written here can be given to the data set's own scorer.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from jaxret.data.datasets.folders import MediaFiles, media_kind
from jaxret.data.ground_truth.clock_times import format_clock, parse_clock
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError
from jaxret.files import read_text

__all__ = [
    "I2VQueries",
    "I2VQuery",
    "Spans",
    "read_ground_truth",
    "read_i2v_queries",
    "read_refinement_results",
    "read_scene_results",
    "write_refinement_results",
    "write_scene_results",
]

Spans = tuple[tuple[float, float], ...]
"""Start and end in seconds, both inside the span."""

_KEYFRAME_DELAY = 4  # the extraction that the data set was annotated with gives the first second four times more

Line = TypeVar("Line")


@dataclasses.dataclass(frozen=True)
class I2VQuery:
    """One query image and where it is seen.

    Attributes:
      number: of the query; its image is named by it.
      spans: for each video that shows it, where, in the order of the file.
    """

    number: int
    spans: Mapping[str, Spans]


@dataclasses.dataclass(frozen=True)
class I2VQueries:
    """The queries of a ground-truth file with their images.

    Attributes:
      truth: where each query is seen, in the order of the file.
      images: the query images, in the same order.
    """

    truth: tuple[I2VQuery, ...]
    images: MediaFiles


def read_i2v_queries(path: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> I2VQueries:
    """The queries of a ground-truth file, and their images, which are named by their numbers: `7.jpg`, `007.png`.

    Args:
      path: the ground-truth file.
      folder: of the images; None: the file's own.

    Raises:
      ConfigError: as `read_ground_truth`; or a query has no image or several.
      MediaError: an image cannot be read.
    """
    truth = read_ground_truth(path)
    place = Path(path).parent if folder is None else Path(folder)
    if not place.is_dir():
        raise ConfigError(f"{place} is no folder of query images: name it with --query-folder")
    named: dict[int, list[Path]] = {}
    for file in sorted(place.iterdir()):
        if file.stem.isdecimal() and file.is_file() and media_kind(file) == "image":
            named.setdefault(int(file.stem), []).append(file)
    files = []
    for query in truth:
        found = named.get(query.number, [])
        if len(found) != 1:
            listed = ", ".join(file.name for file in found) or "none"
            raise ConfigError(f"query {query.number} must have one image in {place}, named by its number, got {listed}")
        files.append(found[0])
    images = MediaFiles([MediaItem(file.name, "image", path=str(file)) for file in files])
    for broken in images.skipped:
        raise broken
    return I2VQueries(truth, images)


def read_ground_truth(path: str | os.PathLike[str]) -> tuple[I2VQuery, ...]:
    """The queries of a ground-truth file (`light_dataset_public.txt`, `full_dataset_public.txt`), in its order.

    Raises:
      ConfigError: the file cannot be read, or a line is malformed, repeats a query or shows it nowhere; the message
        names file and line.
    """
    queries: dict[int, I2VQuery] = {}
    for place, line in _lines(path):
        number, *rest = line.split()
        query = _number(number, place)
        if query in queries:
            raise ConfigError(f"{place}: query {query} is there twice")
        if not rest or len(rest) % 3:
            raise ConfigError(f"{place}: after the query's number come video, start and end, got {len(rest)} words")
        spans: dict[str, Spans] = {}
        for video, start, end in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
            spans[video] = (*spans.get(video, ()), _span(start, end, place))
        queries[query] = I2VQuery(query, spans)
    if not queries:
        raise ConfigError(f"{os.fspath(path)} lists no queries")
    return tuple(queries.values())


def read_scene_results(path: str | os.PathLike[str]) -> dict[int, tuple[str, ...]]:
    """Videos by query number, best first.

    Raises:
      ConfigError: as `read_ground_truth`; or a video is ranked twice.
    """
    return _read_blocks(path, lambda line, place: (line, line))


def read_refinement_results(
    path: str | os.PathLike[str], *, keyframes: int | None = None
) -> dict[int, dict[str, Spans]]:
    """Spans by query number and video.

    Args:
      path: the file.
      keyframes: of a line of keyframes, best first, take this many; None takes all. The data set's paper takes 50.

    Raises:
      ConfigError: as `read_ground_truth`; or a video is there twice.
    """

    def parse(line: str, place: str) -> tuple[str, tuple[str, Spans]]:
        video, *parts = line.split(",")
        if parts and all(len(part.split()) == 1 for part in parts):
            seconds = [max(_number(part, place) - _KEYFRAME_DELAY, 0) for part in parts[:keyframes]]
            return video, (video, tuple((float(second), float(second)) for second in seconds))
        spans = []
        for part in parts:
            words = part.split()
            if len(words) != 2:
                raise ConfigError(f"{place}: a span is a start and an end, got {part!r}")
            spans.append(_span(words[0], words[1], place))
        return video, (video, tuple(spans))

    if keyframes is not None and keyframes < 1:
        raise ConfigError(f"keyframes must be at least 1, got {keyframes!r}")
    return {query: dict(entries) for query, entries in _read_blocks(path, parse).items()}


def write_scene_results(path: str | os.PathLike[str], results: Mapping[int, Sequence[str]]) -> None:
    """Write ranked videos by query number; see `read_scene_results`."""
    lines = [line for query, videos in results.items() for line in (f"Query {query}", *videos)]
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_refinement_results(
    path: str | os.PathLike[str], results: Mapping[int, Mapping[str, Sequence[tuple[float, float]]]]
) -> None:
    """Write spans by query number and video, in whole seconds, cut off; see `read_refinement_results`."""
    lines = []
    for query, videos in results.items():
        lines.append(f"Query {query}")
        for video, spans in videos.items():
            lines.append(",".join([video, *(f"{format_clock(start)} {format_clock(end)}" for start, end in spans)]))
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Lines that are not empty, each with its place for messages."""
    source = os.fspath(path)
    try:
        text = read_text(source)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: {getattr(error, 'strerror', None) or error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{source}, line {number}", line.strip()


def _read_blocks(
    path: str | os.PathLike[str], parse: Callable[[str, str], tuple[str, Line]]
) -> dict[int, tuple[Line, ...]]:
    """What stands below each `Query NUMBER`; `parse(line, place)` gives the video and what to keep."""
    blocks: dict[int, dict[str, Line]] = {}
    current: dict[str, Line] | None = None
    for place, line in _lines(path):
        if line.split()[0] == "Query":
            query = _number(line.removeprefix("Query"), place)
            if query in blocks:
                raise ConfigError(f"{place}: query {query} is there twice")
            current = blocks[query] = {}
            continue
        if current is None:
            raise ConfigError(f"{place}: the first line must be `Query NUMBER`, got {line!r}")
        video, kept = parse(line, place)
        if video in current:
            raise ConfigError(f"{place}: {video} is there twice for one query")
        current[video] = kept
    return {query: tuple(block.values()) for query, block in blocks.items()}


def _number(text: str, place: str) -> int:
    if not text.strip().isdecimal():
        raise ConfigError(f"{place}: expected a whole number, got {text.strip()!r}")
    return int(text)


def _span(start: str, end: str, place: str) -> tuple[float, float]:
    try:
        first, last = parse_clock(start), parse_clock(end)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error
    if last < first:
        raise ConfigError(f"{place}: a span ends before it starts: {start} {end}")
    return first, last
