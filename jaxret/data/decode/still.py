"""Images of formats that Pillow lacks and FFmpeg has (HEIC, JPEG XL, PAM ...), as Pillow images."""

from __future__ import annotations

import io
import os
from pathlib import Path

import av
from PIL import Image

from jaxret.data.decode.convert import FrameConverter
from jaxret.data.decode.errors import MAX_PIXELS
from jaxret.errors import MediaError

__all__ = ["open_still"]

_MAX_BYTES = 1 << 28
_DEPENDENT = 1 << 19  # FFmpeg's disposition of the tiles that an image is made of
_STILL_BRANDS = ("heic", "heix", "heim", "heis", "mif1", "avif")


def open_still(path: str, data: bytes | None) -> Image.Image | None:
    """The image in a file, decoded; None where FFmpeg finds none.

    Args:
      path: the file, or a name for it where `data` is given.
      data: its content.

    Raises:
      MediaError: it is an image of tiles, of which FFmpeg gives single ones, or above `MAX_PIXELS`.
      OSError: the file cannot be read.
    """
    if data is None:
        # By name FFmpeg would take a % for a pattern of many names.
        if os.path.getsize(path) > _MAX_BYTES:
            return None
        data = Path(path).read_bytes()
    # Some formats are known by nothing but the name.
    by_name = f"{Path(path).suffix.lower()[1:]}_pipe"
    for form in (None, *([by_name] if by_name in av.formats_available else [])):
        if (image := _decoded(path, data, form)) is not None:
            return image
    return None


def _decoded(path: str, data: bytes, form: str | None) -> Image.Image | None:
    options = {"protocol_whitelist": ""}  # nothing but these bytes
    try:
        with av.open(io.BytesIO(data), "r", form, options=options, metadata_errors="replace") as container:
            brand = container.metadata.get("major_brand", "")
            if not (container.format.name.endswith("_pipe") or brand in _STILL_BRANDS):
                return None
            streams = [stream for stream in container.streams.video if stream.codec_context is not None]
            whole = [stream for stream in streams if not int(stream.disposition) & _DEPENDENT]
            if streams and (not whole or (len(streams) > 2 and brand in _STILL_BRANDS)):
                raise MediaError(path, "an image of several tiles, which neither Pillow nor FFmpeg puts together here")
            if not whole:
                return None
            context = whole[0].codec_context
            if context.width * context.height > MAX_PIXELS:
                raise MediaError(path, f"{context.width}x{context.height} is above {MAX_PIXELS} pixels")
            frame = next(container.decode(whole[0]))
            return Image.fromarray(FrameConverter(frame, None).convert(frame, None, 3))
    except (av.FFmpegError, OSError, StopIteration):
        return None
