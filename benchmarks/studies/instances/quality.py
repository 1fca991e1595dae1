"""Queries of low quality: blurred, stored small as JPEG, dark, and shrunk."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

__all__ = ["QUALITIES", "worse"]


def _stored(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def _shrunk(image: Image.Image, share: float) -> Image.Image:
    small = image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.BILINEAR)
    return small.resize(image.size, Image.Resampling.BILINEAR)


QUALITIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "blurred, 3 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "JPEG of quality 10": lambda image: _stored(image, 10),
    "a quarter of the light": lambda image: ImageEnhance.Brightness(image).enhance(0.25),
    "shrunk to a quarter": lambda image: _shrunk(image, 0.25),
}
"""What is done to a query, by name."""


def worse(path: Path, quality: str) -> np.ndarray:
    """The image in a file made worse, uint8 (H, W, 3) of its size."""
    with Image.open(path) as image:
        return np.asarray(QUALITIES[quality](image.convert("RGB")).convert("RGB"))
