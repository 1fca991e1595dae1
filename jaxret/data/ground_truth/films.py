"""Films, and photographs of moments in them: image-to-video queries whose answer is a time."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jaxret.data.datasets.csv_lines import read_csv_lines
from jaxret.data.datasets.folders import MediaFiles, media_kind
from jaxret.data.ground_truth.clock_times import parse_clock
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError, MediaError

__all__ = ["FilmQueries", "read_film_queries"]

_REQUIRED, _OPTIONAL = ("path", "start"), ("end", "film")


@dataclasses.dataclass(frozen=True)
class FilmQueries:
    """Photographs and the films that they were taken of.

    Attributes:
      films: the videos that are searched.
      photographs: the queries, images; `source` of each is its film's key.
      film_of: int64 (Q,), each query's film, its number in `films`.
      spans: float64 (Q, 2), seconds at which the film shows what the photograph shows; equal for a single moment.
    """

    films: MediaFiles
    photographs: MediaFiles
    film_of: npt.NDArray[np.int64]
    spans: npt.NDArray[np.float64]


def read_film_queries(table: str | os.PathLike[str]) -> FilmQueries:
    """The photographs that a CSV lists, with the film and the moment of each (as in MoviesDB, which has one film).

    The CSV has a header and a line a photograph, with the columns
    - `path`: the image, relative to the CSV;
    - `start`: the moment, in seconds, m:ss or h:mm:ss;
    - `end`, if what is seen lasts: until then (an empty cell: a single moment);
    - `film`: the video, relative to the CSV. Without this column the film is the only video in the CSV's folder.

    Files that cannot be read are an error, not left out: figures over other queries would not compare.

    Args:
      table: the CSV (UTF-8).

    Raises:
      ConfigError: the CSV cannot be read or is malformed (the message names the line), a file is not what it should
        be, or there is not exactly one video and no column says which.
      MediaError: a film or image cannot be read; the message names the line, too.
    """
    source = Path(table)
    header, rows = _read_table(source)
    only_film = None if "film" in header else _only_video(source)
    films: dict[str, int] = {}
    photographs: list[MediaItem] = []
    film_of, spans = [], []
    place_of: dict[str, str] = {}  # the first line that names a file
    seen: set[str] = set()
    for place, cells in rows:
        film = Path(cells.get("film", "")).as_posix() if only_film is None else only_film
        image = Path(cells["path"]).as_posix()
        if image in seen:
            raise ConfigError(f"{place}: path {image!r} is listed twice")
        seen.add(image)
        for name, kind in ((image, "image"), (film, "video")):
            if media_kind(source.parent / name) != kind:
                raise ConfigError(f"{place}: {name!r} is no {kind} by its extension")
        film_of.append(films.setdefault(film, len(films)))
        photographs.append(MediaItem(image, "image", source=film, path=str(source.parent / image)))
        spans.append(_span(cells, place))
        for name in (image, film):
            place_of.setdefault(str(source.parent / name), place)
    videos = MediaFiles([MediaItem(film, "video", path=str(source.parent / film)) for film in films])
    images = MediaFiles(photographs)
    for broken in (*videos.skipped, *images.skipped):
        raise MediaError(broken.path, f"{broken.reason} ({place_of[broken.path]})")
    return FilmQueries(videos, images, np.array(film_of, np.int64), np.array(spans, np.float64))


def _read_table(source: Path) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    lines = read_csv_lines(source)
    header = [name.strip() for name in lines[0][1]] if lines else []
    known = (*_REQUIRED, *_OPTIONAL)
    odd = [name for name in _REQUIRED if name not in header] or [name for name in header if name not in known]
    if odd or len(set(header)) < len(header):
        raise ConfigError(
            f"{source}: the header must name {' and '.join(_REQUIRED)}, and may name {' and '.join(_OPTIONAL)}, each "
            f"once; got {', '.join(header) or 'nothing'}"
        )
    rows = []
    for number, line in lines[1:]:
        if line:
            place = f"{source}, line {number}"
            if len(line) != len(header):
                raise ConfigError(f"{place}: {len(line)} cells, but the header names {len(header)}")
            rows.append((place, {name: cell.strip() for name, cell in zip(header, line, strict=True)}))
    if not rows:
        raise ConfigError(f"{source} lists no photographs")
    return header, rows


def _only_video(source: Path) -> str:
    videos = sorted(path.name for path in source.parent.iterdir() if path.is_file() and media_kind(path) == "video")
    if len(videos) != 1:
        found = ", ".join(videos[:5]) or "none"
        raise ConfigError(f"{source} has no column `film`, so its folder must hold exactly one video, got {found}")
    return videos[0]


def _span(cells: dict[str, str], place: str) -> tuple[float, float]:
    try:
        start = parse_clock(cells["start"])
        end = parse_clock(cells["end"]) if cells.get("end") else start
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error
    if end < start:
        raise ConfigError(f"{place}: the span ends before it starts: {cells['start']} .. {cells['end']}")
    return start, end
