"""The frames of an opened video in other colours, sizes, windows and qualities; see `jaxret.data.sampling.changes`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

from jaxret.data.decode.write import encoded_again
from jaxret.data.readers import Indices, MediaReader, Pixels, check_indices
from jaxret.data.sampling.changes import CHANGES, Change
from jaxret.data.sampling.transforms import FrameGeometry, resize_frame

__all__ = ["ChangedReader", "FrameChange", "drawn_change", "random_change"]

_BEST, _WORST = 2, 31  # quantisers of MPEG-4
_SHORTEST = 16  # sides that a frame is left with, at least
_AT_ONCE = 32  # frames that are encoded again together


@dataclasses.dataclass(frozen=True)
class FrameChange:
    """How the frames of a video are changed, all alike; what is None is left as it is.

    Attributes:
      window: top, left and side, as shares of the frame's height and width.
      scale: of both sides.
      colour: factors of brightness, contrast and saturation.
      blur: standard deviation, as a share of the shorter side.
      quantiser: of MPEG-4.
    """

    window: tuple[float, float, float] | None = None
    scale: float | None = None
    colour: tuple[float, ...] | None = None
    blur: float | None = None
    quantiser: int | None = None

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a frame when it is changed; even where it is encoded, as codecs want it."""
        left, top, right, bottom = self._box(width, height)
        sides = [_shortened(side, self.scale or 1.0) for side in (right - left, bottom - top)]
        if self.quantiser is not None:
            sides = [side + side % 2 for side in sides]
        return sides[0], sides[1]

    def frame(self, pixels: Pixels) -> Pixels:
        """One frame, uint8 (H, W, 3), before it is encoded again."""
        height, width = pixels.shape[:2]
        image = Image.fromarray(np.ascontiguousarray(pixels)).crop(self._box(width, height))
        if image.size != (size := self.size(width, height)):
            image = image.resize(size, Image.Resampling.BILINEAR)
        if self.colour is not None:
            for enhance, factor in zip(
                (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), self.colour, strict=True
            ):
                image = enhance(image).enhance(factor)
        if self.blur:
            image = image.filter(ImageFilter.GaussianBlur(self.blur * min(size)))
        return np.asarray(image)

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the window in a frame."""
        top, left, side = self.window or (0.0, 0.0, 1.0)
        x, y = round(left * width), round(top * height)
        return x, y, x + _shortened(width, side), y + _shortened(height, side)


def _shortened(side: int, share: float) -> int:
    return min(side, max(_SHORTEST, round(side * share)))


def drawn_change(strengths: Mapping[Change, float], rng: np.random.Generator) -> FrameChange:
    """A change with signs and a window of its own.

    Args:
      strengths: 0 to 1, of each change that is made.
      rng: everything random comes from here, as much whichever changes are made: a change is the same whichever others
        go with it.
    """
    signs, (top, left) = rng.choice([-1.0, 1.0], 3), rng.random(2).tolist()
    window = scale = colour = blur = quantiser = None
    if "crop" in strengths:
        side = 1 - strengths["crop"] / 2
        window = (top * (1 - side), left * (1 - side), side)
    if "scale" in strengths:
        scale = 2.0 ** (-3 * strengths["scale"])
    if "colour" in strengths:
        colour = tuple((2.0 ** (signs * strengths["colour"])).tolist())
    if "blur" in strengths:
        blur = strengths["blur"] / 25
    if "encode" in strengths:
        quantiser = round(_BEST + (_WORST - _BEST) * strengths["encode"])
    return FrameChange(window, scale, colour, blur, quantiser)


def random_change(most: float, rng: np.random.Generator) -> FrameChange:
    """All changes together, the strength of each drawn uniformly from 0 to `most`: copies of a clip that trains.

    Example:
      >>> random_change(0.5, np.random.default_rng(0)).quantiser <= 17
      True
    """
    return drawn_change(dict(zip(CHANGES, rng.uniform(0.0, most, len(CHANGES)).tolist(), strict=True)), rng)


class ChangedReader(MediaReader):
    """The frames of an opened video, changed. Depth is left out: it has no colours.

    What is encoded again is a few frames together, as a codec sees them.

    Args:
      reader: the video; it is closed with this one.
      change: how its frames are changed.
      shortest: frames are first made smaller until their shorter side is at most so many pixels; None: they are taken
        as they are, and encoded in whole stretches of the video, so that they look the same whichever are read. With
        `shortest`, which is for training, the frames that are read together are encoded, and no others.
    """

    def __init__(self, reader: MediaReader, change: FrameChange, *, shortest: int | None = None):
        self._reader, self._change = reader, change
        self.path = str(getattr(reader, "path", "the query's video"))
        self.times, self.damage = reader.times, reader.damage
        width, height = reader.info.width, reader.info.height
        self._smaller: FrameGeometry | None = None
        self._alone = shortest is not None
        if shortest is not None and (ratio := shortest / min(width, height)) < 1:
            width, height = round(width * ratio), round(height * ratio)
            self._smaller = FrameGeometry(height, width, 0, 0, height, width)
            if change.scale is not None:  # of the video's own size
                self._change = dataclasses.replace(change, scale=min(1.0, change.scale / ratio))
        width, height = self._change.size(width, height)
        self.info = dataclasses.replace(reader.info, width=width, height=height)

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        """See `MediaReader.frames`; the geometry is of the changed frame."""
        wanted = check_indices(indices, self.info.frame_count)
        read = self._wanted if self._change.quantiser is None else self._encoded
        for frame in read(wanted):
            yield resize_frame(frame, geometry, channels)

    def _wanted(self, wanted: npt.NDArray[np.int64]) -> Iterator[Pixels]:
        return map(self._change.frame, self._reader.frames(wanted, self._smaller))

    def _encoded(self, wanted: npt.NDArray[np.int64]) -> Iterator[Pixels]:
        assert self._change.quantiser is not None
        for shown in self._stretches(wanted):
            frames = encoded_again(np.stack(list(self._wanted(shown))), self._change.quantiser)
            for place in np.searchsorted(shown, wanted[np.isin(wanted, shown)]).tolist():
                yield frames[place]

    def _stretches(self, wanted: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        """The frames that are encoded together: some of the wanted ones, or stretches of the video that hold any."""
        numbers = np.unique(wanted)
        if self._alone:
            for first in range(0, len(numbers), _AT_ONCE):
                yield numbers[first : first + _AT_ONCE]
            return
        for first in (_AT_ONCE * np.unique(numbers // _AT_ONCE)).tolist():
            yield np.arange(first, min(first + _AT_ONCE, self.info.frame_count))

    def close(self) -> None:
        """Close the video."""
        self._reader.close()
