"""A figure of queries beside their top results, right ones framed green and wrong ones red."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from jaxret.data.readers import MediaReader
from jaxret.plain_text import printable
from jaxret.reporting.pages import save_page

__all__ = ["GalleryRow", "Tile", "boxed_image", "draw_result_gallery", "filmstrip"]

_TILE_HEIGHT = 96
_MARGIN = 8
_FRAME = 3
_LETTERS = 11  # pixels of the letters, and of a report's page, which shows wider figures smaller
_PAGE = 1000
_WIDEST = 4  # times the height
_BOX = (255, 221, 0)
_COLOURS = {True: (34, 139, 60), False: (196, 48, 48), None: (90, 90, 90)}


@dataclasses.dataclass(frozen=True)
class Tile:
    """One image with a caption of one or two lines.

    Attributes:
      pixels: uint8 (H, W, 3).
      caption: text below it.
      relevant: True frames it green, False red, None (a query, or not known) grey.
    """

    pixels: npt.NDArray[np.uint8]
    caption: str
    relevant: bool | None = None


@dataclasses.dataclass(frozen=True)
class GalleryRow:
    """A query and its results, best first."""

    query: Tile
    results: Sequence[Tile]


def filmstrip(
    reader: MediaReader, *, start: float = 0.0, end: float | None = None, frames: int = 3
) -> npt.NDArray[np.uint8]:
    """A few frames of a span side by side: uint8 (96, W, 3); an image gives one."""
    if reader.info.frame_count == 1:
        images = reader.read([0])
    else:
        stop = reader.info.duration if end is None else end
        times = start + (np.arange(frames) + 0.5) * (stop - start) / frames
        images = reader.read_at(times)
    width = max(1, round(images.shape[2] * _TILE_HEIGHT / images.shape[1]))
    scaled = [Image.fromarray(image).resize((width, _TILE_HEIGHT), Image.Resampling.BILINEAR) for image in images]
    return np.concatenate([np.asarray(image) for image in scaled], axis=1)


def boxed_image(
    pixels: npt.NDArray[np.uint8],
    boxes: Sequence[tuple[float, float, float, float]],
    *,
    height: int = _TILE_HEIGHT,
    colour: tuple[int, int, int] = _BOX,
) -> npt.NDArray[np.uint8]:
    """An image scaled to a height, or less where it would be more than four times as wide, with boxes drawn on it.

    Args:
      pixels: uint8 (H, W, 3).
      boxes: left, top, right, bottom in its pixels.
      height: of the result at most, at least 1.
      colour: of the lines; a dark line runs along them, so that they show on any ground.

    Returns:
      uint8 (H', W', 3), H' at most `height` and W' at most 4 `height`.
    """
    scale = min(height / pixels.shape[0], _WIDEST * height / pixels.shape[1])
    sides = (max(1, round(side * scale)) for side in pixels.shape[1::-1])
    image = Image.fromarray(pixels).resize((next(sides), next(sides)), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for box in boxes:
        left, top, right, bottom = (scale * side for side in box)
        right, bottom = max(left + 2, right - 1), max(top + 2, bottom - 1)
        draw.rectangle((left, top, right, bottom), outline=(0, 0, 0), width=4)
        draw.rectangle((left + 1, top + 1, max(left + 1, right - 1), max(top + 1, bottom - 1)), outline=colour, width=2)
    return np.asarray(image)


def draw_result_gallery(path: Path, rows: Sequence[GalleryRow], *, tile_height: int = _TILE_HEIGHT) -> None:
    """Write the figure as PNG: a row a query, the query left of a line, its results right of it.

    Args:
      path: of the PNG file.
      rows: at least one.
      tile_height: of the images in the tiles.
    """
    if not rows:
        raise ValueError("rows must hold at least one query, got none")
    columns = 1 + max(len(row.results) for row in rows)
    tiles = [[row.query, *row.results] for row in rows]
    widths = [max((t[c].pixels.shape[1] for t in tiles if c < len(t)), default=0) + 2 * _FRAME for c in range(columns)]
    across = sum(widths) + (columns + 2) * _MARGIN
    letters = round(_LETTERS * max(1.0, across / _PAGE))
    font = ImageFont.load_default(size=letters)
    head = letters + 5
    step = tile_height + 2 * _FRAME + 2 * (letters + 4) + _MARGIN
    page = Image.new("RGB", (across, len(rows) * step + _MARGIN + head), "white")
    draw = ImageDraw.Draw(page)
    line = widths[0] + int(1.75 * _MARGIN)
    draw.text((_MARGIN, 2), "query", fill="black", font=font)
    draw.text((line + _MARGIN, 2), "results, nearest first", fill="black", font=font)
    draw.line([(line, 0), (line, page.height)], fill=(160, 160, 160), width=1)
    for number, row in enumerate(tiles):
        top = head + _MARGIN + number * step
        left = _MARGIN
        for column, tile in enumerate(row):
            height, width = tile.pixels.shape[:2]
            box = [left, top, left + width + 2 * _FRAME - 1, top + height + 2 * _FRAME - 1]
            draw.rectangle(box, outline=_COLOURS[tile.relevant], width=_FRAME)
            page.paste(Image.fromarray(tile.pixels), (left + _FRAME, top + _FRAME))
            caption = _shortened(tile.caption, widths[column], font)
            draw.multiline_text((left, top + height + 2 * _FRAME + 1), caption, fill="black", font=font, spacing=2)
            left += widths[column] + _MARGIN + (_MARGIN if column == 0 else 0)
    save_page(page, path)


def _shortened(caption: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Each line cut to `width` pixels, with an ellipsis where something is missing."""
    lines = []
    for text in caption.split("\n"):
        short = printable(text)
        while len(short) > 1 and font.getlength(short) > width:
            short = short[:-2] + "…"
        lines.append(short)
    return "\n".join(lines)
