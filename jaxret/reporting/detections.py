"""A figure of what a detector found: detections and proposals on held-out images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from jaxret.plain_text import printable
from jaxret.reporting.pages import save_page

__all__ = ["DetectedImage", "DrawnBox", "draw_detections"]

_HEIGHT = 240
_MARGIN = 8
_LINE = 16
_TRUE, _RIGHT, _WRONG, _PROPOSAL = (255, 255, 255), (40, 190, 80), (225, 60, 60), (70, 130, 250)


@dataclasses.dataclass(frozen=True)
class DrawnBox:
    """A box with its caption.

    Attributes:
      box: left, top, right, bottom in pixels.
      caption: at its upper left corner; empty: none.
      right: whether it fits a true box.
    """

    box: Sequence[float]
    caption: str = ""
    right: bool = False


@dataclasses.dataclass(frozen=True)
class DetectedImage:
    """An image and the boxes on it.

    Attributes:
      pixels: uint8 (H, W, 3).
      name: below it.
      true: true boxes, (left, top, right, bottom) in pixels.
      detections: with class and score as captions.
      proposals: boxes.
    """

    pixels: npt.NDArray[np.uint8]
    name: str
    true: Sequence[Sequence[float]]
    detections: Sequence[DrawnBox]
    proposals: Sequence[Sequence[float]]


def draw_detections(path: Path, images: Sequence[DetectedImage], *, columns: int = 2) -> None:
    """Write a PNG: of each image its detections on the left, and on the right its proposals.

    True boxes are white, detections green where they are right and red where not, proposals blue.

    Raises:
      ValueError: there is no image.
    """
    if not images:
        raise ValueError("images must hold at least one image, got none")
    font = ImageFont.load_default(size=11)
    pairs = [(_with_detections(one, font), _with_proposals(one)) for one in images]
    width = max(left.width + right.width for left, right in pairs) + 3 * _MARGIN
    rows = -(-len(pairs) // columns)
    step = _HEIGHT + _LINE + _MARGIN
    page = Image.new("RGB", (width * min(columns, len(pairs)) + _MARGIN, rows * step + _LINE + _MARGIN), "white")
    draw = ImageDraw.Draw(page)
    for number, (image, (left, right)) in enumerate(zip(images, pairs, strict=True)):
        row, column = divmod(number, columns)
        x, y = _MARGIN + column * width, _LINE + row * step
        page.paste(left, (x, y))
        page.paste(right, (x + left.width + _MARGIN, y))
        draw.text((x, y + _HEIGHT + 1), image.name, fill="black", font=font)
        if not row:
            draw.text((x, 2), "detections", fill="black", font=font)
            draw.text((x + left.width + _MARGIN, 2), "proposals", fill="black", font=font)
    save_page(page, path)


def _scaled(image: DetectedImage) -> tuple[Image.Image, float]:
    scale = _HEIGHT / image.pixels.shape[0]
    size = (max(1, round(image.pixels.shape[1] * scale)), _HEIGHT)
    return Image.fromarray(image.pixels).resize(size, Image.Resampling.BILINEAR), scale


def _with_detections(image: DetectedImage, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    scaled, scale = _scaled(image)
    draw = ImageDraw.Draw(scaled)
    for box in image.true:
        draw.rectangle(_corners(box, scale, scaled), outline=_TRUE, width=4)
    for one in reversed(image.detections):  # the best one on top
        colour = _RIGHT if one.right else _WRONG
        corners = _corners(one.box, scale, scaled)
        draw.rectangle(corners, outline=colour, width=2)
        if caption := printable(one.caption):
            # Above the box where there is room, else inside.
            place = (corners[0], corners[1] - 13 if corners[1] >= 13 else corners[1] + 2)
            draw.rectangle(draw.textbbox(place, caption, font=font), fill=colour)
            draw.text(place, caption, fill="white", font=font)
    return scaled


def _with_proposals(image: DetectedImage) -> Image.Image:
    scaled, scale = _scaled(image)
    draw = ImageDraw.Draw(scaled)
    for box in image.true:
        draw.rectangle(_corners(box, scale, scaled), outline=_TRUE, width=4)
    for box in reversed(image.proposals):
        draw.rectangle(_corners(box, scale, scaled), outline=_PROPOSAL, width=1)
    return scaled


def _corners(box: Sequence[float], scale: float, image: Image.Image) -> list[float]:
    """The pixels that the frame of a box is drawn on, inside the image."""
    left, top, right, bottom = (side * scale for side in box)
    right, bottom = min(right - 1, image.width - 1), min(bottom - 1, image.height - 1)
    return [min(left, right), min(top, bottom), right, bottom]
