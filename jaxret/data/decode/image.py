"""Image files to RGB pixels through Pillow, whatever their mode, with errors in one line."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Literal

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from jaxret.data.decode.errors import MAX_PIXELS, OneLineErrors
from jaxret.data.decode.still import open_still
from jaxret.data.readers import Indices, MediaInfo, MediaReader, Pixels, check_indices
from jaxret.data.sampling.transforms import FrameGeometry, resize_image
from jaxret.errors import MediaError
from jaxret.files import require_regular
from jaxret.remote import open_binary, url_of

__all__ = ["BACKGROUND", "MAX_PIXELS", "ImageReader", "read_image"]

BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, the page most such images are made for."""

_TURNED = {5, 6, 7, 8}  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_SAMPLE_FORMAT = 339  # of TIFF: 1 without sign, 2 with


class ImageReader(MediaReader):
    """An image as a video of one frame at time 0, read by Pillow, or by FFmpeg what Pillow does not know.

    EXIF orientation is applied; grey, palette, CMYK, YCbCr and LAB become RGB; 16-bit grey keeps its upper 8 bits, as
    do the 32 bits of a TIFF whose values need more than 8; transparent pixels are laid over `BACKGROUND`; of an
    animation the first frame is taken.

    Args:
      path: a file that Pillow or FFmpeg can read, or its URL.
      data: the file's content, where it is in memory already; `path` is then only a name for messages.

    Raises:
      MediaError: not an image, or above `MAX_PIXELS`. A truncated image opens and fails when it is read.
    """

    def __init__(self, path: str | os.PathLike[str], data: bytes | None = None):
        self.path = os.fspath(path)
        with OneLineErrors(self.path):
            if data is None and url_of(self.path) is not None:
                with open_binary(self.path) as file:
                    data = file.read()
            elif data is None:
                require_regular(self.path)
            image = _opened(self.path, data)
            try:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise MediaError(self.path, f"{width}x{height} is above {MAX_PIXELS} pixels")
                if image.getexif().get(_ORIENTATION) in _TURNED:
                    width, height = height, width
            except BaseException:
                image.close()
                raise
        self._image = image
        self.info = MediaInfo(1, 0.0, width=width, height=height)
        self.times = np.zeros(1)

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        """Yield the image once for each index, all of which must be 0; see `MediaReader.frames`."""
        count = len(check_indices(indices, 1))
        if not count:
            return
        with OneLineErrors(self.path):
            if geometry is not None and geometry.resampling == "fast":
                # JPEG decodes at 1/2, 1/4 or 1/8 almost for free; stay at twice the size or above, so that
                # the last reduction still averages.
                size = 2 * max(geometry.scaled_width, geometry.scaled_height)
                self._image.draft(None, (size, size))
            self._image.load()
            frame = resize_image(_to_rgb(_upright(self._image), _integer_tiff(self._image)), geometry, channels)
        for _ in range(count):
            yield frame.copy()


def read_image(path: str | os.PathLike[str]) -> Pixels:
    """The whole image as uint8 (H, W, 3); see `ImageReader` for modes and errors."""
    with ImageReader(path) as reader:
        return reader.read()[0]


def check_image(path: str | os.PathLike[str]) -> MediaInfo:
    """Decode an image as cheaply as its format allows, to find out whether it is whole.

    Raises:
      MediaError: it cannot be opened or is truncated.
    """
    with ImageReader(path) as reader, OneLineErrors(reader.path):
        reader._image.draft(None, (1, 1))
        reader._image.load()
        return reader.info


def _opened(path: str, data: bytes | None) -> Image.Image:
    try:
        return Image.open(path if data is None else io.BytesIO(data))
    except Image.UnidentifiedImageError:
        if (still := open_still(path, data)) is None:
            raise
        return still


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; the image itself where that is as it lies."""
    return image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)


def _integer_tiff(image: Image.Image) -> Literal["signed", "unsigned"] | None:
    """Whether the pixels are 32-bit integers of a TIFF, and of which kind."""
    if not isinstance(image, TiffImageFile) or image.mode != "I":
        return None
    return "signed" if image.tag_v2.get(_SAMPLE_FORMAT, 1) in (2, (2,)) else "unsigned"


def _to_rgb(image: Image.Image, wide: Literal["signed", "unsigned"] | None) -> Image.Image:
    """Any mode to RGB, as `ImageReader` describes; `wide` is that of 32-bit integers."""
    if image.mode.startswith("I"):
        # 16-bit grey opens as I;16 or, from some formats, as 32-bit I holding the same values.
        stored = np.asarray(image)
        if wide is not None:
            values = _eight_of_wide(stored, signed=wide == "signed")
        else:
            values = np.clip(stored.astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        if isinstance(clear := image.info.get("transparency"), int):
            values = np.where(stored == clear, BACKGROUND[0], values).astype(np.uint8)
        return Image.fromarray(values).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range; convert the image to 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return Image.alpha_composite(page, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_of_wide(stored: Pixels, *, signed: bool) -> Pixels:
    """8 bits of 32: as they are where no value needs more, else the upper 8 of the 16 or 32 that they do need."""
    values = np.maximum(stored, 0).astype(np.int64) if signed else stored.astype(np.int32).view(np.uint32)
    highest = int(values.max(initial=0))
    shift = 0 if highest < 1 << 8 else 8 if highest < 1 << 16 else 23 if signed else 24
    return (values >> shift).astype(np.uint8)
