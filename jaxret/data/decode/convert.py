"""From a decoded frame to pixels as a player shows them: scaled, RGB or luma, square, upright."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter

from jaxret.data.sampling.transforms import FrameGeometry, cut_window

__all__ = ["FrameConverter"]


class FrameConverter:
    """Converts the frames of one video.

    Args:
      first: a decoded frame (`av.VideoFrame`), which carries the display matrix.
      sample_aspect_ratio: width of a stored pixel over its height; None for square.

    Attributes:
      displayed_size: height and width with square pixels, upright, never smaller than stored.
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

    def convert(self, frame: Any, geometry: FrameGeometry | None, channels: int) -> npt.NDArray[np.uint8]:
        """Apply `geometry` (None: keep the displayed size) to one frame: uint8 (H, W, channels).

        Scaling is FFmpeg's bilinear over the footprint of an output pixel; 1 channel is the video's luma in
        full range. A frame whose size differs from the first's is brought to the same size.
        """
        plan = geometry or FrameGeometry(*self.displayed_size, 0, 0, *self.displayed_size)
        height, width = plan.scaled_height, plan.scaled_width
        if self._transposed:
            height, width = width, height
        target = "rgb24" if channels == 3 else "gray"
        if target == "rgb24" and (height, width) != (frame.height, frame.width) and frame.format.name.startswith("yuv"):
            # Scaled planes converted by FFmpeg's fast unscaled path: half the time of doing both in one call,
            # and closer to conversion with full chroma.
            frame = self._scaler.reformat(frame, width=width, height=height, format="yuv420p", threads=1)
        converted = self._converter.reformat(frame, width=width, height=height, format=target, threads=1)
        pixels: npt.NDArray[np.uint8] = np.asarray(converted.to_ndarray(), np.uint8).reshape(height, width, channels)
        if self._transposed:
            pixels = pixels.swapaxes(0, 1)
        pixels = pixels[:: -1 if self._flip_rows else 1, :: -1 if self._flip_columns else 1]
        return cut_window(pixels, plan)


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
