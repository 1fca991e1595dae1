"""Resizing and cropping as arithmetic on sizes, then applied to a clip: one choice a clip, not a frame.

A `FrameGeometry` says everything: scale the whole frame to (scaled_height, scaled_width), lay the output
window over it, fill with black where the window hangs over the edge, mirror if wanted. A decoder that can
scale while it converts (see `video_decoding`) uses the same numbers, so all media take one road.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from jaxret.preprocessing import FreeResize, Preprocessing, Resampling

__all__ = [
    "Augmentation",
    "FrameGeometry",
    "centre_geometry",
    "cut_window",
    "random_geometry",
    "resize_frame",
    "resize_image",
    "resize_nearest",
    "to_grey",
]


@dataclasses.dataclass(frozen=True, slots=True)
class FrameGeometry:
    """How a frame becomes the encoder's input.

    Attributes:
      scaled_height, scaled_width: size the whole frame is scaled to.
      top, left: corner of the output window in the scaled frame; negative where the window hangs over.
      height, width: size of the output window.
      mirror: whether the result is flipped left to right.
      resampling: how it is scaled.
    """

    scaled_height: int
    scaled_width: int
    top: int
    left: int
    height: int
    width: int
    mirror: bool = False
    resampling: Resampling = "fast"


@dataclasses.dataclass(frozen=True, slots=True)
class Augmentation:
    """Random choices of training, each made once a clip.

    Attributes:
      zoom: the frame is scaled up by a factor drawn log-uniformly from 1 to this before the window is
        cut, so the window shows down to 1/zoom of each side. 1 leaves only the shift of the crop.
      mirror: probability of flipping left to right. Keep it 0 where left and right are classes.
      changes: strength up to which colour, scale, window, sharpness and encoding are changed before that
        (`jaxret.data.sampling.changes`); 0: not at all.

    Raises:
      ValueError: zoom below 1, or mirror or changes outside 0..1.
    """

    zoom: float = 1.25
    mirror: float = 0.5
    changes: float = 0.0

    def __post_init__(self) -> None:
        if not self.zoom >= 1:
            raise ValueError(f"zoom must be at least 1, got {self.zoom!r}")
        if not 0 <= self.mirror <= 1:
            raise ValueError(f"mirror must lie in 0..1, got {self.mirror!r}")
        if not 0 <= self.changes <= 1:
            raise ValueError(f"changes must lie in 0..1, got {self.changes!r}")


def _window_size(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Size of the output window, which only `limit`, `fit` and `patches` let depend on the source."""
    if preprocessing.resize not in get_args(FreeResize):
        return preprocessing.height, preprocessing.width
    if preprocessing.resize == "patches":
        return _most_patches(height, width, preprocessing)
    ratio = min(Fraction(preprocessing.height, height), Fraction(preprocessing.width, width))
    if preprocessing.resize == "limit":
        ratio = min(ratio, Fraction(1))
    step = preprocessing.side_step
    # The limits are multiples themselves, so that rounding goes above neither.
    steps = (max(1, math.floor(side * ratio / step + Fraction(1, 2))) for side in (height, width))
    down, across = (step * count for count in steps)
    return down, across


def _most_patches(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """The largest whole patches that the scaled source touches, of as many as there may be (Tschannen et al. 2025,
    arXiv:2502.14786).

    The scale is found by halving, between the same bounds and as finely as the program that those encoders come with,
    so that both agree on the last row of patches.
    """
    step = preprocessing.side_step
    most = preprocessing.height * preprocessing.width // step**2

    def patches(scale: float) -> tuple[int, int]:
        down, across = (max(1, math.ceil(side * scale / step)) for side in (height, width))
        return down, across

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if math.prod(patches(middle)) <= most else (low, middle)
    down, across = patches(low)
    return step * down, step * across


def _scaled_size(height: int, width: int, preprocessing: Preprocessing, zoom: float) -> tuple[int, int]:
    """Size the whole frame is scaled to, never zero, and never below the window where it must cover it."""
    target = _window_size(height, width, preprocessing)
    if preprocessing.resize in ("squash", *get_args(FreeResize)):
        return round(target[0] * zoom), round(target[1] * zoom)
    if preprocessing.shortest is not None:
        # Downwards, as in the programs that the published encoders were trained with.
        wanted = preprocessing.shortest * Fraction(zoom)
        down, across = (math.floor(side * wanted / min(height, width)) for side in (height, width))
        return max(down, target[0]), max(across, target[1])
    # In whole numbers: in floating point the side that fits exactly could come out one pixel off, and fractions take a
    # tenth of a millisecond, a quarter of what reading a small image does.
    covers = preprocessing.resize == "crop"
    by_height = (target[0] * width > target[1] * height) == covers  # the side that decides
    numerator, denominator = (target[0], height) if by_height else (target[1], width)
    times, parts = zoom.as_integer_ratio()
    numerator, denominator = numerator * times, denominator * parts
    scaled = tuple(max(1, (2 * side * numerator + denominator) // (2 * denominator)) for side in (height, width))
    if covers:
        scaled = (max(scaled[0], target[0]), max(scaled[1], target[1]))
    return scaled[0], scaled[1]


def centre_geometry(height: int, width: int, preprocessing: Preprocessing) -> FrameGeometry:
    """The fixed road of evaluation and indexing: scale as `preprocessing.resize` says, window in the middle.

    Args:
      height, width: size of the source frame as displayed.
      preprocessing: target size and resize mode.

    Example:
      >>> covering = centre_geometry(100, 300, Preprocessing(height=50, width=50))
      >>> covering == FrameGeometry(scaled_height=50, scaled_width=150, top=0, left=50, height=50, width=50)
      True
      >>> limited = centre_geometry(1080, 1920, Preprocessing(height=1024, width=1024, resize="limit"))
      >>> limited.height, limited.width
      (576, 1024)
    """
    scaled = _scaled_size(height, width, preprocessing, 1.0)
    target = _window_size(height, width, preprocessing)
    top, left = ((have - want) // 2 for have, want in zip(scaled, target, strict=True))
    return FrameGeometry(*scaled, top, left, *target, resampling=preprocessing.resampling)


def random_geometry(
    height: int,
    width: int,
    preprocessing: Preprocessing,
    rng: np.random.Generator,
    augmentation: Augmentation = Augmentation(),
) -> FrameGeometry:
    """A random zoom, window and mirroring for one training clip.

    The window lies anywhere inside the scaled frame; along a side where the frame is smaller than the
    window (`pad`), the frame lies anywhere inside the window.
    """
    zoom = math.exp(rng.uniform(0.0, math.log(augmentation.zoom))) if augmentation.zoom > 1 else 1.0
    scaled = _scaled_size(height, width, preprocessing, zoom)
    target = _window_size(height, width, preprocessing)
    top, left = (
        int(rng.integers(min(have - want, 0), max(have - want, 0), endpoint=True))
        for have, want in zip(scaled, target, strict=True)
    )
    mirror = bool(rng.random() < augmentation.mirror)
    return FrameGeometry(*scaled, top, left, *target, mirror, preprocessing.resampling)


def cut_window(scaled: npt.NDArray[np.uint8], geometry: FrameGeometry) -> npt.NDArray[np.uint8]:
    """The output window of frames already scaled: (..., scaled_height, scaled_width, C) -> (..., H, W, C)."""
    top, left = geometry.top, geometry.left
    bottom, right = top + geometry.height, left + geometry.width
    inside = scaled[..., max(top, 0) : bottom, max(left, 0) : right, :]
    if inside.shape[-3] != geometry.height or inside.shape[-2] != geometry.width:
        window = np.zeros((*scaled.shape[:-3], geometry.height, geometry.width, scaled.shape[-1]), scaled.dtype)
        first_row, first_column = max(-top, 0), max(-left, 0)
        window[
            ...,
            first_row : first_row + inside.shape[-3],
            first_column : first_column + inside.shape[-2],
            :,
        ] = inside
        inside = window
    return inside[..., ::-1, :] if geometry.mirror else inside


def to_grey(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """ITU-R BT.601 luma, rounded: uint8 (..., 3) -> uint8 (..., 1).

    Example:
      >>> int(to_grey(np.array([[[0, 255, 0]]], np.uint8))[0, 0, 0])
      150
    """
    # Integer weights that sum to 65536: white stays 255, and the result does not depend on the CPU.
    weighted = pixels.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 32768) >> 16).astype(np.uint8)[..., None]


def resize_frame(
    frame: npt.NDArray[np.uint8], geometry: FrameGeometry | None, channels: int = 3
) -> npt.NDArray[np.uint8]:
    """Apply `geometry` (None: leave the size) to one RGB frame: uint8 (H0, W0, 3) -> uint8 (H, W, channels).

    Scaling is over the whole footprint of an output pixel, so that reducing does not alias.
    """
    if geometry is not None and frame.shape[:2] == (geometry.scaled_height, geometry.scaled_width):
        return _finished(cut_window(frame, geometry), channels)
    if geometry is not None:
        return resize_image(Image.fromarray(np.ascontiguousarray(frame)), geometry, channels)
    return _finished(frame, channels)


def resize_image(image: Image.Image, geometry: FrameGeometry | None, channels: int = 3) -> npt.NDArray[np.uint8]:
    """As `resize_frame`, of an RGB image as Pillow holds it: what is reduced is reduced before it becomes an array."""
    if geometry is None:
        return _finished(np.asarray(image), channels)
    size = (geometry.scaled_width, geometry.scaled_height)
    if image.size != size:
        cubic = geometry.resampling == "bicubic"
        image = image.resize(size, Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR)
    return _finished(cut_window(np.asarray(image), geometry), channels)


def _finished(frame: npt.NDArray[np.uint8], channels: int) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(frame if channels == 3 else to_grey(frame))


def resize_nearest(values: npt.NDArray[Any], geometry: FrameGeometry) -> npt.NDArray[Any]:
    """Apply `geometry` to a map whose values must not be averaged, such as depth: (H0, W0) -> (H, W), any type.

    An output pixel takes the value of the pixel that its centre falls into; 0 where the window hangs over the edge. The
    map may be of another size than the frame that the geometry was made for, as long as it shows the same view.

    Example:
      >>> depth = np.array([[1, 2], [3, 4]])
      >>> resize_nearest(depth, FrameGeometry(4, 4, top=1, left=-1, height=2, width=4)).tolist()
      [[0, 1, 1, 2], [0, 3, 3, 4]]
    """
    rows = _nearest_rows(values.shape[0], geometry.scaled_height, geometry.top, geometry.height)
    columns = _nearest_rows(values.shape[1], geometry.scaled_width, geometry.left, geometry.width)
    inside = (rows >= 0)[:, None] & (columns >= 0)
    window = np.where(inside, values[rows[:, None], columns], 0).astype(values.dtype)
    return np.ascontiguousarray(window[:, ::-1]) if geometry.mirror else window


def _nearest_rows(stored: int, scaled: int, first: int, count: int) -> npt.NDArray[np.int64]:
    """For `count` lines of the scaled frame from `first` on, the stored line under the centre of each; -1 outside."""
    lines = first + np.arange(count)
    sources = (2 * lines + 1) * stored // (2 * scaled)
    return np.where((lines >= 0) & (lines < scaled), sources, -1)
