"""Videos shown in other colours, sizes, windows and qualities; see `jaxret.data.ground_truth.changes`."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

from jaxret.data.dataset import MediaDataset
from jaxret.data.decode.write import encoded_again
from jaxret.data.ground_truth.changes import CHANGES, Change
from jaxret.data.readers import Indices, MediaReader, Pixels, check_indices
from jaxret.data.sampling.transforms import FrameGeometry, resize_frame

__all__ = ["ChangedVideos"]

_BEST, _WORST = 2, 31  # quantisers of MPEG-4
_SHORTEST = 16  # sides that a frame is left with, at least
_AT_ONCE = 32  # frames that are encoded again together


class ChangedVideos(MediaDataset):
    """The videos of a data set, each changed as it is read; items and times stay.

    Args:
      dataset: the videos.
      changes: which changes, of `CHANGES`.
      strength: how much, 0 to 1; 0 changes nothing but `encode`, which encodes again with hardly a loss.
      seed: signs and windows follow from it and the number of the video.

    Raises:
      ValueError: a change is unknown or named twice, or the strength is out of range.

    Example:
      >>> from jaxret.data.datasets.moving_digits import MovingDigits
      >>> half = ChangedVideos(MovingDigits(size=64), ("crop",), 1.0)
      >>> half.info(0).width, half.info(0).frame_count
      (32, 12)
    """

    def __init__(self, dataset: MediaDataset, changes: Sequence[Change], strength: float, *, seed: int = 0):
        for name in changes:
            if name not in CHANGES:
                raise ValueError(f"changes must be of {', '.join(CHANGES)}, got {name!r}")
        if not changes or len(set(changes)) != len(changes):
            raise ValueError(f"changes must name each once, and one at least, got {list(changes)}")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must lie in 0..1, got {strength!r}")
        self._dataset, self._changes, self._strength, self._seed = dataset, tuple(changes), strength, seed
        self.items = dataset.items

    def open(self, index: int) -> MediaReader:
        """A reader of item `index`, changed."""
        reader = self._dataset.open(index)
        return _ChangedReader(reader, _drawn(self._changes, self._strength, np.random.default_rng([self._seed, index])))

    def content_hash(self, index: int) -> str:
        """A hash of the video's content and of how it is changed."""
        made_of = (self._dataset.content_hash(index), self._changes, self._strength, self._seed, index)
        return hashlib.blake2b(repr(made_of).encode(), digest_size=16).hexdigest()


@dataclasses.dataclass(frozen=True)
class _VideoChange:
    """How one video is changed; what is None is left as it is.

    Attributes:
      window: top, left and side, as shares of the frame's height and width.
      scale: of both sides.
      colour: factors of brightness, contrast and saturation.
      blur: standard deviation, as a share of the shorter side.
      quantiser: of MPEG-4.
    """

    window: tuple[float, float, float] | None
    scale: float | None
    colour: tuple[float, ...] | None
    blur: float | None
    quantiser: int | None

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the window in a frame."""
        top, left, side = self.window or (0.0, 0.0, 1.0)
        x, y = round(left * width), round(top * height)
        return x, y, x + _shortened(width, side), y + _shortened(height, side)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a frame when it is changed; even where it is encoded, as codecs want it."""
        left, top, right, bottom = self.box(width, height)
        sides = [_shortened(side, self.scale or 1.0) for side in (right - left, bottom - top)]
        if self.quantiser is not None:
            sides = [side + side % 2 for side in sides]
        return sides[0], sides[1]

    def frame(self, pixels: Pixels) -> Pixels:
        """One frame, uint8 (H, W, 3), before it is encoded again."""
        height, width = pixels.shape[:2]
        image = Image.fromarray(np.ascontiguousarray(pixels)).crop(self.box(width, height))
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


def _shortened(side: int, share: float) -> int:
    return min(side, max(_SHORTEST, round(side * share)))


def _drawn(changes: Sequence[Change], strength: float, rng: np.random.Generator) -> _VideoChange:
    # All is drawn, used or not, so that a change is the same whichever others go with it.
    signs, (top, left) = rng.choice([-1.0, 1.0], 3), rng.random(2)
    side = 1 - strength / 2
    return _VideoChange(
        window=(top * (1 - side), left * (1 - side), side) if "crop" in changes else None,
        scale=2.0 ** (-3 * strength) if "scale" in changes else None,
        colour=tuple((2.0 ** (signs * strength)).tolist()) if "colour" in changes else None,
        blur=strength / 25 if "blur" in changes else None,
        quantiser=round(_BEST + (_WORST - _BEST) * strength) if "encode" in changes else None,
    )


class _ChangedReader(MediaReader):
    """The frames of an opened video, changed."""

    def __init__(self, reader: MediaReader, change: _VideoChange):
        self._reader, self._change = reader, change
        self.path = str(getattr(reader, "path", "the query's video"))
        self.times, self.damage = reader.times, reader.damage
        width, height = change.size(reader.info.width, reader.info.height)
        self.info = dataclasses.replace(reader.info, width=width, height=height)

    def frames(self, indices: Indices, geometry: FrameGeometry | None = None, channels: int = 3) -> Iterator[Pixels]:
        wanted = check_indices(indices, self.info.frame_count)
        read = self._wanted if self._change.quantiser is None else self._encoded
        for frame in read(wanted):
            yield resize_frame(frame, geometry, channels)

    def _wanted(self, wanted: npt.NDArray[np.int64]) -> Iterator[Pixels]:
        return map(self._change.frame, self._reader.frames(wanted))

    def _encoded(self, wanted: npt.NDArray[np.int64]) -> Iterator[Pixels]:
        """What is encoded again is whole stretches of frames, as a codec sees them, those without a wanted one left
        out."""
        assert self._change.quantiser is not None
        for stretch in np.unique(wanted // _AT_ONCE).tolist():
            first = stretch * _AT_ONCE
            shown = np.arange(first, min(first + _AT_ONCE, self.info.frame_count))
            frames = encoded_again(np.stack(list(self._wanted(shown))), self._change.quantiser)
            for number in wanted[wanted // _AT_ONCE == stretch].tolist():
                yield frames[number - first]

    def close(self) -> None:
        self._reader.close()
