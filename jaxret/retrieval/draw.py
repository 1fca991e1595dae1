"""A figure of a query with its box, beside what was found, each with the box of the place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.decode.previews import whole_frame
from jaxret.data.readers import Pixels
from jaxret.errors import MediaError
from jaxret.reporting import GalleryRow, Tile, boxed_image, draw_result_gallery
from jaxret.retrieval.hit import Hit
from jaxret.retrieval.options import RegionSearch
from jaxret.retrieval.query_file import single_file
from jaxret.retrieval.region import Box, scaled_box

__all__ = ["draw_hits", "hit_row"]

_HEIGHT = 192


def hit_row(query: MediaDataset, hits: Sequence[Hit], options: RegionSearch, *, height: int = _HEIGHT) -> GalleryRow:
    """The query and its results as a row of `jaxret.reporting.draw_result_gallery`.

    A result whose file cannot be read any more is an empty tile that says so.

    Args:
      query: its first item was the query.
      hits: what was found.
      options: the region that was marked, and of a video the second of the frame.
      height: of the images.

    Raises:
      MediaError: the query cannot be read.
    """
    image, size = _frame(query, options.at or 0.0, height)
    box = None if options.region is None else options.region.box(size)
    name = Path(query.items[0].key).name
    caption = name if options.at is None else f"{name}\n{options.at:.1f} s"
    own = Tile(_boxed(image, size, box, height), caption)
    return GalleryRow(own, [_tile(hit, height) for hit in hits])


def draw_hits(path: Path, query: MediaDataset, hits: Sequence[Hit], options: RegionSearch) -> None:
    """Write such a row as PNG.

    Raises:
      MediaError: the query cannot be read.
      OSError: the file cannot be written.
    """
    draw_result_gallery(path, [hit_row(query, hits, options)], tile_height=_HEIGHT)


def _tile(hit: Hit, height: int) -> Tile:
    moment = f"  {hit.start:.1f} s" if hit.item.kind == "video" else ""
    caption = f"{Path(hit.item.key).name}\n{hit.distance:.3f}{moment}"
    try:
        if hit.item.path is None:
            raise MediaError(hit.item.key, "not a file")
        image, size = _frame(single_file(hit.item.path), hit.start, height)
    except MediaError:
        empty = np.full((height, height, 3), 230, np.uint8)
        return Tile(empty, f"{Path(hit.item.key).name}\ncannot be read now")
    return Tile(_boxed(image, size, hit.box, height), caption)


def _frame(dataset: MediaDataset, second: float, height: int) -> tuple[Pixels, tuple[int, int]]:
    """A frame, at most so high, and the height and width that it has in its file."""
    with dataset.open(0) as reader:
        size = reader.info.height, reader.info.width
        geometry = whole_frame(*size, math.ceil(size[1] * height / size[0]))
        return reader.read_at([second], geometry)[0], size


def _boxed(image: Pixels, size: tuple[int, int], box: Box | None, height: int) -> Pixels:
    """An image with a box in pixels of the size that it had."""
    boxes = [] if box is None else [scaled_box(box, size, image.shape[:2])]
    return boxed_image(image, boxes, height=height)
