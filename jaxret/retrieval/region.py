"""A box marked on an image, and the errors that it can be."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import ClassVar, Self

from jaxret.metrics.localisation.boxes import check_boxes

__all__ = ["Box", "Region", "TooFewWordsError", "scaled_box"]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


class TooFewWordsError(ValueError):
    """A region or an image holds fewer visual words than a search needs."""


@dataclasses.dataclass(frozen=True)
class Region:
    """A box marked on an image: its upper left corner, width and height.

    Four numbers of which none is above 1 are taken as shares of the image's width and height, others as pixels,
    unless `shares` says which.

    Attributes:
      x, y: of the upper left corner, from the image's, at least 0.
      width, height: above 0.
      shares: whether the numbers are shares of the image's sides; None: told by the numbers.

    Raises:
      ValueError: a number is not finite, the box is empty, or it begins left of or above the image.

    Example:
      >>> Region.parse("40,30,100,80").box((240, 320))
      (40.0, 30.0, 140.0, 110.0)
      >>> Region(0.5, 0.25, 0.5, 0.75).box((240, 320))
      (160.0, 60.0, 320.0, 240.0)
    """

    metavar: ClassVar[str] = "X,Y,WIDTH,HEIGHT"

    x: float
    y: float
    width: float
    height: float
    shares: bool | None = None

    def __post_init__(self) -> None:
        sides = self._sides
        if not all(isinstance(n, numbers.Real) and not isinstance(n, bool) and math.isfinite(n) for n in sides):
            raise ValueError(f"a region must be four finite numbers X,Y,WIDTH,HEIGHT, got {sides}")
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"the region {self} is empty: its width and height must be above 0")
        if self.x < 0 or self.y < 0:
            raise ValueError(f"the region {self} begins outside the image: x and y must be at least 0")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "X,Y,WIDTH,HEIGHT".

        Raises:
          ValueError: it is not four numbers, or as for the class.
        """
        try:
            x, y, width, height = (float(part) for part in text.split(","))
        except ValueError:
            raise ValueError(
                f"a region must be X,Y,WIDTH,HEIGHT, in pixels or in shares of the image, got {text!r}"
            ) from None
        return cls(x, y, width, height)

    def __str__(self) -> str:
        return ",".join(f"{n:g}" for n in self._sides)

    @property
    def _sides(self) -> tuple[float, float, float, float]:
        return self.x, self.y, self.width, self.height

    @property
    def in_shares(self) -> bool:
        """Whether the numbers are shares of the image's sides."""
        return max(self._sides) <= 1 if self.shares is None else self.shares

    def box(self, size: tuple[int, int]) -> Box:
        """The box in an image of `size` (height, width), in pixels; what reaches over its border is cut off.

        Raises:
          ValueError: it lies outside the image, or is too small to be told from nothing.
        """
        height, width = size
        across, down = (width, height) if self.in_shares else (1, 1)
        left, top = self.x * across, self.y * down
        if left >= width or top >= height:
            raise ValueError(f"the region {self} lies outside the image of {width} x {height} pixels")
        right, bottom = min(left + self.width * across, width), min(top + self.height * down, height)
        if left >= right or top >= bottom:
            raise ValueError(f"the region {self} is empty on an image of {width} x {height} pixels")
        return float(left), float(top), float(right), float(bottom)


def scaled_box(box: Box, before: tuple[int, int], after: tuple[int, int]) -> Box:
    """A box of an image of one (height, width) in the same image at another.

    Example:
      >>> scaled_box((10.0, 10.0, 20.0, 40.0), (100, 50), (50, 100))
      (20.0, 5.0, 40.0, 20.0)
    """
    down, across = after[0] / before[0], after[1] / before[1]
    left, top, right, bottom = check_boxes(box, "box").tolist()
    return left * across, top * down, right * across, bottom * down
