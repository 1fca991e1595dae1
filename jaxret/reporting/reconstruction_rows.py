"""Clips above what a model gives back for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from jaxret.data.sampling.frames import evenly_spaced
from jaxret.plain_text import printable
from jaxret.reporting.pages import save_page

__all__ = ["draw_reconstructions"]

_MARGIN, _NAMES, _CAPTION = 8, 66, 16


def draw_reconstructions(
    path: Path,
    shown: npt.NDArray[np.uint8],
    given_back: npt.NDArray[np.uint8],
    captions: Sequence[str],
    *,
    planes: int = 0,
    frames: int = 6,
    height: int = 80,
) -> None:
    """Write a PNG: of every clip a strip of frames, and below it the same frames as they came back.

    Args:
      path: the file to write.
      shown, given_back: uint8 (N, T, H, W, C) of one shape, C 1 or 3, or 4 with the number of the depth plane last.
      captions: of the N clips.
      planes: Z, where there are depth planes: they are drawn as strips of their own, near ones bright.
      frames: of each clip, at most, evenly spaced.
      height: of a frame in the image.
    """
    times = evenly_spaced(shown.shape[1], frames)
    width = max(1, round(height * shown.shape[3] / shown.shape[2]))
    names = ["shown", "came back"] + (["its depth", "came back"] if planes else [])
    step = len(names) * (height + 2) + _CAPTION + _MARGIN
    page = Image.new("RGB", (_NAMES + len(times) * (width + 2) + _MARGIN, len(shown) * step + _MARGIN), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    for number, caption in enumerate(captions):
        top = _MARGIN + number * step
        draw.text((_MARGIN, top), printable(caption), fill="black", font=font)
        strips = [_colours(shown[number]), _colours(given_back[number])]
        if planes:
            strips += [_depths(shown[number], planes), _depths(given_back[number], planes)]
        for row, (name, strip) in enumerate(zip(names, strips, strict=True)):
            y = top + _CAPTION + row * (height + 2)
            draw.text((_MARGIN, y + height // 2 - 6), name, fill="black", font=font)
            for column, time in enumerate(times.tolist()):
                image = Image.fromarray(strip[time]).resize((width, height), Image.Resampling.NEAREST)
                page.paste(image, (_NAMES + column * (width + 2), y))
    save_page(page, path)


def _colours(clip: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.repeat(clip, 3, axis=-1) if clip.shape[-1] == 1 else clip[..., :3]


def _depths(clip: npt.NDArray[np.uint8], planes: int) -> npt.NDArray[np.uint8]:
    numbers = clip[..., 3].astype(np.float64)
    bright = np.where(numbers > 0, 255 - (numbers - 1) * (200 / planes), 0)  # no reading is black
    return np.repeat(bright.round().astype(np.uint8)[..., None], 3, axis=-1)
