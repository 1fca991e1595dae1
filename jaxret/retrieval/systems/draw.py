"""A picture of a query with its box, beside what was found, each with the box of the place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Pixels
from jaxret.errors import MediaError
from jaxret.reporting import GalleryRow, Tile, boxed_picture, draw_result_gallery
from jaxret.retrieval.query_file import single_file
from jaxret.retrieval.systems.region import Region
from jaxret.retrieval.systems.two_pass import InstanceMatch

__all__ = ["draw_matches", "match_row"]

_HEIGHT = 192


def match_row(
    query: MediaDataset,
    region: Region | None,
    at: float | None,
    matches: Sequence[InstanceMatch],
    *,
    height: int = _HEIGHT,
) -> GalleryRow:
    """The query and its results as a row of `jaxret.reporting.draw_result_gallery`.

    A result whose file cannot be read any more is an empty tile that says so.

    Args:
      query: whose first item asked.
      region: that was marked.
      at: of a video, seconds of the frame that asked.
      matches: what was found.
      height: of the pictures.

    Raises:
      MediaError: the query cannot be read.
    """
    picture = _frame(query, at or 0.0)
    box = [] if region is None else [region.box(picture.shape[:2])]
    name = Path(query.items[0].key).name
    asked = Tile(boxed_picture(picture, box, height=height), name if at is None else f"{name}\n{at:.1f} s")
    return GalleryRow(asked, [_tile(match, height) for match in matches])


def draw_matches(
    path: Path, query: MediaDataset, region: Region | None, at: float | None, matches: Sequence[InstanceMatch]
) -> None:
    """Write such a row as PNG.

    Raises:
      MediaError: the query cannot be read.
      OSError: the file cannot be written.
    """
    draw_result_gallery(path, [match_row(query, region, at, matches)], tile_height=_HEIGHT)


def _tile(match: InstanceMatch, height: int) -> Tile:
    moment = f"  {match.start:.1f} s" if match.item.kind == "video" else ""
    caption = f"{Path(match.item.key).name}\n{match.distance:.3f}{moment}"
    try:
        if match.item.path is None:
            raise MediaError(match.item.key, "not a file")
        picture = _frame(single_file(match.item.path), match.start)
    except MediaError:
        empty = np.full((height, height, 3), 230, np.uint8)
        return Tile(empty, f"{Path(match.item.key).name}\ncannot be read now")
    return Tile(boxed_picture(picture, [] if match.box is None else [match.box], height=height), caption)


def _frame(dataset: MediaDataset, second: float) -> Pixels:
    with dataset.open(0) as reader:
        return reader.read_at([second])[0]
