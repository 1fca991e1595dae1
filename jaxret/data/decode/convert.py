"""From a decoded frame to pixels as a player shows them: scaled, RGB or luma, square, upright."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Interpolation, VideoReformatter

from jaxret.data.sampling.transforms import FrameGeometry, cut_window

__all__ = ["FrameConverter"]

# Numbers of ITU-T H.273, table 4.
_BT709, _YCGCO, _BT2020 = 1, 8, 9
_CONVERTED = {0, 1, 2, 4, 5, 6, 7, _BT2020}  # the matrices that swscale knows
_NAMES = {
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "derived from its primaries",
    13: "derived from its primaries, with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_WIDE = {10, 11, 14, 15}  # of wide-gamut video, whose plain matrix is BT.2020's


class FrameConverter:
    """Converts the frames of one video.

    Args:
      first: a decoded frame (`av.VideoFrame`), which carries the display matrix.
      sample_aspect_ratio: width of a stored pixel over its height; None for square.

    Attributes:
      displayed_size: height and width with square pixels, upright, never smaller than stored.
      note: one line on a colour matrix that FFmpeg does not convert, or None: YCgCo is converted here, others are taken
        for the nearest one that it does, so that colours are near to what is stored.
    """

    def __init__(self, first: Any, sample_aspect_ratio: Fraction | None):
        self._scaler, self._converter = VideoReformatter(), VideoReformatter()
        self._transposed, self._flip_rows, self._flip_columns = _orientation(first)
        height, width = first.height, first.width
        if sample_aspect_ratio and sample_aspect_ratio > 1:
            width = round(width * sample_aspect_ratio)
        elif sample_aspect_ratio and sample_aspect_ratio > 0:
            height = round(height / sample_aspect_ratio)
        self.displayed_size = (width, height) if self._transposed else (height, width)
        matrix = int(first.colorspace)
        self.note = None
        if matrix == _YCGCO:
            self.note = "colour matrix YCgCo, which FFmpeg does not convert, is converted here"
        elif matrix not in _CONVERTED:
            nearest = "BT.2020" if matrix in _WIDE else "BT.709"
            self.note = f"colours are near, not exact: matrix {_NAMES.get(matrix, matrix)} is converted as {nearest}"

    def convert(self, frame: Any, geometry: FrameGeometry | None, channels: int) -> npt.NDArray[np.uint8]:
        """Apply `geometry` (None: keep the displayed size) to one frame: uint8 (H, W, channels).

        Scaling is FFmpeg's, bilinear or bicubic, over the footprint of an output pixel; 1 channel is the luma in full
        range. A frame whose size differs from the first's is brought to the same size.
        """
        plan = geometry or FrameGeometry(*self.displayed_size, 0, 0, *self.displayed_size)
        height, width = plan.scaled_height, plan.scaled_width
        if self._transposed:
            height, width = width, height
        cubic = Interpolation.BICUBIC if plan.resampling == "bicubic" else None  # None: bilinear
        matrix = int(frame.colorspace)
        if matrix not in _CONVERTED:
            frame.colorspace = _BT2020 if matrix in _WIDE else _BT709
        if matrix == _YCGCO and channels == 3:
            return cut_window(self._upright(self._from_ycgco(frame, height, width, cubic)), plan)
        target = "rgb24" if channels == 3 else "gray"
        if target == "rgb24" and (height, width) != (frame.height, frame.width) and frame.format.name.startswith("yuv"):
            # Scaled planes converted by FFmpeg's fast unscaled path: half the time of doing both in one call,
            # and closer to conversion with full chroma. Planes of colours hold whole pairs of columns: those of an odd
            # width would be stretched, by up to a pixel at the right edge.
            size, planes = {"width": width, "height": height}, "gbrp" if width % 2 else "yuv420p"
            frame = self._scaler.reformat(frame, **size, format=planes, interpolation=cubic, threads=1)
        converted = self._converter.reformat(
            frame, width=width, height=height, format=target, interpolation=cubic, threads=1
        )
        pixels: npt.NDArray[np.uint8] = np.asarray(converted.to_ndarray(), np.uint8).reshape(height, width, channels)
        return cut_window(self._upright(pixels), plan)

    def _upright(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(H, W, C) as stored to (H, W, C) as shown."""
        if self._transposed:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self._flip_rows else 1, :: -1 if self._flip_columns else 1]

    def _from_ycgco(self, frame: Any, height: int, width: int, cubic: Interpolation | None) -> npt.NDArray[np.uint8]:
        """(H, W, 3) of a frame in luma, green and orange differences, which swscale leaves as they are."""
        full = int(frame.color_range) == 2
        size = {"width": width, "height": height}
        planes = self._converter.reformat(frame, **size, format="yuv444p", interpolation=cubic, threads=1)
        luma, green, orange = planes.to_ndarray().reshape(3, height, width).astype(np.float32)
        luma = luma if full else (luma - 16) * (255 / 219)
        green, orange = ((plane - 128) * (1 if full else 255 / 224) for plane in (green, orange))
        rest = luma - green
        rgb = np.stack([rest + orange, luma + green, rest - orange], axis=-1)
        return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _unnamed(cls: Any, value: object) -> Any:
    """A member for side data that PyAV has no name for, such as EXIF: without one it gives nothing of a frame's."""
    if not isinstance(value, int):
        return None
    member = object.__new__(cls)
    member._name_, member._value_ = f"UNNAMED_{value}", value
    return cls._value2member_map_.setdefault(value, member)


SideDataType._missing_ = classmethod(_unnamed)  # type: ignore[assignment, method-assign]


def _orientation(frame: Any) -> tuple[bool, bool, bool]:
    """What the display matrix prescribes: (swap rows and columns, then flip rows, flip columns).

    Angles that are not quarter turns go to the nearest one.
    """
    data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(np.int64)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, bool(d < 0), bool(a < 0)
    return True, bool(b < 0), bool(c < 0)
