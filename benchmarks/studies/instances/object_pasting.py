"""Pasting cut-out objects over a photograph, with the box and the share of each that stays visible."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from jaxret.data.ground_truth.instances import Box

__all__ = ["Canvas", "Hiding", "resize"]

_PLACES = 30  # tried, until one keeps clear of the other objects
_VISIBLE = 0.5  # opacity from which a pixel counts for the box
Pixels = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Hiding:
    """How an object is hidden in part.

    Attributes:
      share: of the object, above 0 and below 1.
      patch: uint8 (H, W, 3), of the image's size, whose pixels cover that share; None: it lies outside the image.
    """

    share: float
    patch: npt.NDArray[np.uint8] | None = None


def resize(cutout: npt.NDArray[np.uint8], side: float, rng: np.random.Generator) -> Pixels:
    """An object in another size, in another light and a little out of focus, as the enlarged photographs are.

    Brightness changes by up to 30 %, contrast by up to 20 %; the blur has a standard deviation of 0.3 to 0.9 pixels.

    Args:
      cutout: uint8 (h, w, 4), see `object_cutouts.cut_out`.
      side: pixels of the longer side of the object's box.
      rng: everything random comes from here.

    Returns:
      float (h', w', 4), colours 0 to 255 and opacity 0 to 1, trimmed to the object's box and 2 pixels around.
    """
    opaque = cutout[..., 3] > 127
    scale = side / max(np.ptp(np.flatnonzero(opaque.any(axis=axis))) + 1 for axis in (0, 1))
    height, width = (max(1, round(length * scale)) for length in opaque.shape)
    blur = ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.9)))
    # Colours and opacity apart: together, what is transparent would lose its colour.
    parts = [
        np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC).filter(blur), np.float64)
        for part in (np.ascontiguousarray(cutout[..., :3]), np.ascontiguousarray(cutout[..., 3]))
    ]
    colours = (parts[0] * rng.uniform(0.7, 1.3) - 128) * rng.uniform(0.8, 1.2) + 128
    drawn = np.dstack([np.clip(colours, 0, 255), parts[1] / 255])
    left, top, right, bottom = _box(drawn[..., 3])
    return drawn[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2]


class Canvas:
    """A image in the making.

    Args:
      photograph: uint8 (H, W, 3), what lies below.
    """

    def __init__(self, photograph: npt.NDArray[np.uint8]):
        self._pixels = photograph.astype(np.float64)
        self._visible: list[Pixels] = []  # of each object, opacity (H, W) that shows
        self._whole: list[float] = []  # of each object, the sum of its opacity wherever it lies

    def image(self) -> npt.NDArray[np.uint8]:
        """The image, uint8 (H, W, 3)."""
        return np.rint(self._pixels).astype(np.uint8)

    def seen(self) -> list[tuple[Box | None, float]]:
        """For each object the box around what is visible of it and the share that is; no box where nothing is."""
        found: list[tuple[Box | None, float]] = []
        for visible, whole in zip(self._visible, self._whole, strict=True):
            box = tuple(map(float, _box(visible))) if (visible >= _VISIBLE).any() else None
            found.append((box, min(1.0, round(float(visible.sum()) / whole, 4))))
        return found

    def paste(self, drawn: Pixels, rng: np.random.Generator, hiding: Hiding | None = None) -> None:
        """Puts an object at a random place, off the others where one of 30 places is, and hides some of it.

        Args:
          drawn: float (h, w, 4), from `resize`.
          rng: everything random comes from here.
          hiding: how much of it is hidden, from a random side.
        """
        height, width = self._pixels.shape[:2]
        side = int(rng.integers(4))  # hidden: left, top, right or bottom
        cut = _cut(drawn[..., 3], side, hiding.share) if hiding else 0
        taken = np.sum(self._visible, axis=0) if self._visible else np.zeros((height, width))
        best, least = (0, 0), np.inf
        for _ in range(_PLACES):
            top, left = (
                int(rng.integers(min(0, room), max(0, room) + 1))
                for room in (height - drawn.shape[0], width - drawn.shape[1])
            )
            if hiding and hiding.patch is None:
                left = (-cut, left, width - drawn.shape[1] + cut, left)[side]
                top = (top, -cut, top, height - drawn.shape[0] + cut)[side]
            covered = float(_window(taken, top, left, drawn.shape[:2]).sum())
            if covered < least:
                best, least = (top, left), covered
            if not covered:
                break
        top, left = best
        opacity = np.zeros((height, width))
        shown = _window(opacity, top, left, drawn.shape[:2])
        rows, columns = slice(max(0, -top), None), slice(max(0, -left), None)
        part = drawn[rows, columns][: shown.shape[0], : shown.shape[1]]
        shown[:] = part[..., 3]
        self._cover(opacity)
        target = _window(self._pixels, top, left, drawn.shape[:2])
        target += part[..., 3:] * (part[..., :3] - target)
        self._visible.append(opacity)
        self._whole.append(float(drawn[..., 3].sum()))
        if hiding and hiding.patch is not None:
            margins = [int(rng.uniform(0.05, 0.25) * max(drawn.shape[:2])) for _ in range(4)]
            self._lay_patch(hiding.patch, (top, left, *drawn.shape[:2]), side, cut, margins)

    def _lay_patch(
        self, patch: npt.NDArray[np.uint8], place: tuple[int, ...], side: int, cut: int, margins: list[int]
    ) -> None:
        """Covers the first `cut` rows or columns from a side of an object, and some of its surroundings."""
        top, left, height, width = place
        edges = [left - margins[0], top - margins[1], left + width + margins[2], top + height + margins[3]]
        edges[(side + 2) % 4] = (left + cut, top + cut, left + width - cut, top + height - cut)[side]
        box = np.s_[max(edges[1], 0) : max(edges[3], 0), max(edges[0], 0) : max(edges[2], 0)]
        opacity = np.zeros(self._pixels.shape[:2])
        opacity[box] = 1.0
        self._cover(opacity)
        self._pixels[box] = patch[box]

    def _cover(self, opacity: Pixels) -> None:
        for visible in self._visible:
            visible *= 1 - opacity


def _cut(opacity: Pixels, side: int, share: float) -> int:
    """How many rows or columns from a side (left, top, right, bottom) hold that share of the object."""
    amounts = opacity.sum(axis=0 if side in (0, 2) else 1)
    if side >= 2:
        amounts = amounts[::-1]
    return int(np.searchsorted(np.cumsum(amounts), share * amounts.sum()))


def _window(array: npt.NDArray, top: int, left: int, size: tuple[int, ...]) -> npt.NDArray:
    """The view of an array that a rectangle covers, less what lies outside."""
    return array[max(top, 0) : max(top + size[0], 0), max(left, 0) : max(left + size[1], 0)]


def _box(opacity: Pixels) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero((opacity >= _VISIBLE).any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
