"""The image that a region is marked on: as an encoder sees it, larger and smaller, as its thing may be elsewhere."""

from __future__ import annotations

import numpy as np
from PIL import Image

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Pixels
from jaxret.data.sampling.frames import frames_on_display
from jaxret.data.sampling.reading import open_item, read_images
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.region import Box

__all__ = ["seen_image", "zoom_factors", "zoomed"]


def seen_image(dataset: MediaDataset, at: float | None, preprocessing: Preprocessing) -> tuple[Pixels, tuple[int, int]]:
    """The first item of a data set, of a video the frame on display at `at` seconds, as an encoder sees it.

    Returns:
      uint8 (H, W, C), and the (height, width) that it had.

    Raises:
      MediaError: it cannot be read.
      ValueError: `at` is missing for a video, given for an image, or beyond the video's end.
    """
    item = dataset.items[0]
    if (at is None) == (item.kind == "video"):
        name = item.path or item.key
        raise ValueError(
            f"{name} is a video: name the second of the frame to search with (at)"
            if at is None
            else f"{name} is an image, and has no frame at {at:g} s"
        )
    with open_item(dataset, 0, preprocessing) as reader:
        info = reader.info
        if at is not None and not 0 <= at < info.duration:
            raise ValueError(f"at must lie in the video's 0 to {info.duration:g} seconds, got {at:g}")
        geometry = centre_geometry(info.height, info.width, preprocessing)
        moments = frames_on_display(reader.times, np.array([at or 0.0]))
        (image,) = read_images(reader, moments, geometry, preprocessing)
        return image, (info.height, info.width)


def zoom_factors(count: int) -> list[float]:
    """So many sizes, evenly from half to twice the size by ratio; of one the size as it is.

    Example:
      >>> zoom_factors(1), zoom_factors(3)
      ([1.0], [0.5, 1.0, 2.0])
    """
    return [1.0] if count == 1 else np.exp2(np.linspace(-1, 1, count)).tolist()


def zoomed(image: Pixels, box: Box, factor: float, preprocessing: Preprocessing) -> tuple[Pixels, Box]:
    """An image at another size, cut to what an encoder sees of it around a box.

    Args:
      image: uint8 (H, W, C), as the preprocessing makes it.
      box: in its pixels.
      factor: of the size; less where the box would not fit.
      preprocessing: of the encoder, `limit` or `fit`: its limits are not exceeded, and sides are multiples of its step.

    Returns:
      The part, uint8 (H', W', C), and the box in its pixels.

    Example:
      >>> part, box = zoomed(np.zeros((64, 64, 3), np.uint8), (16.0, 32.0, 32.0, 48.0), 2.0,
      ...                    Preprocessing(height=64, width=64, resize="fit"))
      >>> part.shape, box
      ((64, 64, 3), (16.0, 16.0, 48.0, 48.0))
    """
    left, top, right, bottom = box
    limits, step = (preprocessing.height, preprocessing.width), preprocessing.side_step
    factor = min(factor, limits[0] / (bottom - top), limits[1] / (right - left))
    if factor == 1:
        return image, box
    rows = _around(top, bottom, image.shape[0], limits[0] / factor)
    columns = _around(left, right, image.shape[1], limits[1] / factor)
    height, width = (
        min(limit, max(step, round((end - begin) * factor / step) * step))
        for (begin, end), limit in zip((rows, columns), limits, strict=True)
    )
    part = (columns[0], rows[0], columns[1], rows[1])

    def resized(channel: Pixels) -> Pixels:
        one = Image.fromarray(np.ascontiguousarray(channel))
        return np.asarray(one.resize((width, height), Image.Resampling.BILINEAR, part))

    down, across = height / (rows[1] - rows[0]), width / (columns[1] - columns[0])
    first, last = ((x - columns[0]) * across for x in (left, right))
    upper, lower = ((y - rows[0]) * down for y in (top, bottom))
    return np.stack([resized(channel) for channel in np.moveaxis(image, -1, 0)], axis=-1), (first, upper, last, lower)


def _around(begin: float, end: float, side: int, length: float) -> tuple[float, float]:
    """A part of at most `length` of a side, around begin .. end as far as the side reaches."""
    length = min(length, side)
    first = min(max((begin + end - length) / 2, 0.0), side - length)
    return first, first + length
