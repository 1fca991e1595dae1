"""Bad photographs of a screen, made from frames: queries as a hand-held camera would take them.

Each distortion is a function of its own, of uint8 images (H, W, 3), and changes neither their size nor what it is
given. `photograph` draws all of them from one generator: the same seed gives the same photograph.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

__all__ = ["blur", "compress_jpeg", "expose", "moire", "photograph", "screen_border", "warp_perspective"]

Pixels = npt.NDArray[np.uint8]

_GAMMA = 2.2  # of an ordinary screen: light is (level / 255)^2.2


def photograph(image: Pixels, rng: np.random.Generator, *, strength: float = 1.0) -> Pixels:
    """A photograph of a screen that shows the image.

    In this order: the screen's border, a view from the side (corners off by up to 12 % of a side), lack of focus
    (a standard deviation of up to 0.4 % of the longer side), exposure (up to 1 stop more or less) and a colour cast
    (up to 15 % a channel), moire (up to 12 % of the light, stripes of 4 to 12 pixels), and JPEG (quality 40 to 95).

    Args:
      image: uint8 (H, W, 3).
      rng: everything random comes from here.
      strength: 0 to 1, a factor for all those limits; at 0 only JPEG of quality 95 is left.

    Returns:
      uint8 (H, W, 3).

    Raises:
      ValueError: the image is no uint8 (H, W, 3), or strength lies outside 0..1.

    Example:
      >>> frame = np.full((60, 80, 3), 120, np.uint8)
      >>> photos = [photograph(frame, np.random.default_rng(seed)) for seed in (1, 1, 2)]
      >>> photos[0].shape, bool((photos[0] == photos[1]).all()), bool((photos[0] == photos[2]).all())
      ((60, 80, 3), True, False)
    """
    _check(image)
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must lie in 0..1, got {strength!r}")
    height, width = image.shape[:2]
    if strength:
        image = screen_border(image, strength * rng.uniform(0.02, 0.06), level=int(rng.integers(5, 40)))
        shifts = strength * rng.uniform(-0.04, 0.12, (4, 2)) * (width, height)  # positive: inwards
        inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
        image = warp_perspective(image, _corners(height, width) + inwards * shifts, level=int(rng.integers(0, 90)))
        image = blur(image, strength * rng.uniform(0, 0.004) * max(height, width))
        gains = 1 + strength * rng.uniform(-0.15, 0.15, 3)
        image = expose(image, strength * rng.uniform(-1, 1), gains.tolist())
        image = moire(image, rng.uniform(4, 12), rng.uniform(0, np.pi), strength * rng.uniform(0, 0.12))
    return compress_jpeg(image, round(95 - strength * rng.uniform(0, 55)))


def screen_border(image: Pixels, share: float, *, level: int = 20) -> Pixels:
    """The image smaller, with a dark frame of even width around it.

    Args:
      image: uint8 (H, W, 3).
      share: width of the frame in parts of the shorter side, at least 0 and below 0.5.
      level: grey of the frame, 0 to 255.

    Raises:
      ValueError: an argument is out of range or no image.

    Example:
      >>> screen_border(np.full((8, 10, 3), 200, np.uint8), 0.25, level=7)[3, :, 0].tolist()
      [7, 7, 200, 200, 200, 200, 200, 200, 7, 7]
    """
    _check(image)
    if not 0 <= share < 0.5:
        raise ValueError(f"share must be at least 0 and below 0.5, got {share!r}")
    _check_level(level)
    height, width = image.shape[:2]
    thickness = min(round(share * min(height, width)), (min(height, width) - 1) // 2)
    if not thickness:
        return image.copy()
    framed = np.full_like(image, level)
    inside = (width - 2 * thickness, height - 2 * thickness)
    smaller = Image.fromarray(image).resize(inside, Image.Resampling.BILINEAR)
    framed[thickness:-thickness, thickness:-thickness] = np.asarray(smaller)
    return framed


def warp_perspective(image: Pixels, corners: npt.ArrayLike, *, level: int = 0) -> Pixels:
    """The image seen from the side: its corners come to lie at `corners`.

    Args:
      image: uint8 (H, W, 3).
      corners: (4, 2), x and y of the upper left, upper right, lower right and lower left corner, in pixels from the
        upper left corner of the image; they may lie outside. They must form a convex quadrilateral in this order.
      level: grey of what lies around, 0 to 255.

    Raises:
      ValueError: the corners do not form such a quadrilateral, or an argument is out of range or no image.

    Example:
      >>> image = np.arange(6, dtype=np.uint8).reshape(1, 6, 1).repeat(6, 0).repeat(3, 2)
      >>> moved = warp_perspective(image, [[2, 0], [8, 0], [8, 6], [2, 6]], level=9)
      >>> moved[0, :, 0].tolist()
      [9, 9, 0, 1, 2, 3]
    """
    _check(image)
    _check_level(level)
    height, width = image.shape[:2]
    quadrilateral = np.asarray(corners, np.float64)
    if quadrilateral.shape != (4, 2) or not np.isfinite(quadrilateral).all():
        raise ValueError(f"corners must be four finite points (4, 2), got {corners!r}")
    sides = np.roll(quadrilateral, -1, axis=0) - quadrilateral
    after = np.roll(sides, -1, axis=0)
    if not (sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0] > 0).all():
        raise ValueError(f"corners must go round a convex shape clockwise from the upper left, got {corners!r}")
    # x' = (a x + b y + c) / (g x + h y + 1), y' = (d x + e y + f) / (same), from the photograph to the image.
    rows, values = [], []
    for (x, y), (u, v) in zip(quadrilateral.tolist(), _corners(height, width).tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    coefficients = np.linalg.solve(np.array(rows), np.array(values))
    warped = Image.fromarray(image).transform(
        (width, height),
        Image.Transform.PERSPECTIVE,
        coefficients.tolist(),
        Image.Resampling.BILINEAR,
        fillcolor=(level,) * 3,
    )
    return np.array(warped)


def blur(image: Pixels, deviation: float) -> Pixels:
    """Out of focus: a Gaussian of this standard deviation in pixels, at least 0 (Pillow's approximation by boxes).

    Raises:
      ValueError: the deviation is negative or not finite, or the image is none.

    Example:
      >>> dot = np.zeros((9, 9, 3), np.uint8)
      >>> dot[4, 4] = 255
      >>> int(blur(dot, 1.0)[4, 4, 0]) < 50 < int(dot[4, 4, 0])
      True
    """
    _check(image)
    if not 0 <= deviation < np.inf:
        raise ValueError(f"deviation must be a finite number of pixels of at least 0, got {deviation!r}")
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(deviation)))


def expose(image: Pixels, stops: float, gains: Sequence[float] = (1.0, 1.0, 1.0)) -> Pixels:
    """More or less light, and a colour cast: light times 2^stops times a gain for red, green and blue.

    Light is taken as (level / 255)^2.2; what is above white is cut off, as a sensor does.

    Args:
      image: uint8 (H, W, 3).
      stops: of exposure, 1 doubles the light.
      gains: of the white balance, each at least 0.

    Raises:
      ValueError: a number is out of range, or the image is none.

    Example:
      >>> expose(np.full((1, 1, 3), 100, np.uint8), 1.0, (1.0, 0.5, 0.0))[0, 0].tolist()  # twice, once, no light
      [137, 100, 0]
    """
    _check(image)
    factors = np.asarray(gains, np.float64)
    if factors.shape != (3,) or not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(f"gains must be three finite numbers of at least 0, got {gains!r}")
    if not np.isfinite(stops):
        raise ValueError(f"stops must be finite, got {stops!r}")
    return _scale_light(image, 2.0**stops * factors)


def moire(image: Pixels, period: float, angle: float, strength: float) -> Pixels:
    """Coloured stripes where the grids of screen and sensor meet: light times 1 + strength cos(2 pi d / period).

    d is the distance in pixels along the direction `angle`; red, green and blue are a third of a period apart, for
    their places on the screen are.

    Args:
      image: uint8 (H, W, 3).
      period: pixels from stripe to stripe, above 0.
      angle: of the direction across the stripes, in radians from the x axis towards the y axis (downwards).
      strength: 0 to 1.

    Raises:
      ValueError: a number is out of range, or the image is none.

    Example:
      >>> moire(np.full((1, 4, 3), 100, np.uint8), 4.0, 0.0, 0.5)[0, :, 0].tolist()
      [120, 100, 73, 100]
    """
    _check(image)
    if not 0 < period < np.inf:
        raise ValueError(f"period must be a finite number of pixels above 0, got {period!r}")
    if not 0 <= strength <= 1 or not np.isfinite(angle):
        raise ValueError(f"strength must lie in 0..1 and angle be finite, got {strength!r} and {angle!r}")
    down, across = np.mgrid[: image.shape[0], : image.shape[1]]
    phases = 2 * np.pi * ((across * np.cos(angle) + down * np.sin(angle))[..., None] / period + np.arange(3) / 3)
    return _scale_light(image, 1 + strength * np.cos(phases))


def compress_jpeg(image: Pixels, quality: int) -> Pixels:
    """The image after JPEG compression of this quality, 1 to 95.

    Raises:
      ValueError: the quality is out of range, or the image is none.

    Example:
      >>> compress_jpeg(np.full((8, 8, 3), 77, np.uint8), 90)[0, 0].tolist()
      [77, 77, 77]
    """
    _check(image)
    if not 1 <= quality <= 95:
        raise ValueError(f"quality must lie in 1..95, got {quality!r}")
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=quality)
    with Image.open(stored) as opened:
        return np.array(opened)


def _scale_light(image: Pixels, factors: npt.NDArray[np.float64]) -> Pixels:
    """Levels whose light is `factors`, which broadcast, times that of the image."""
    # (f (l / 255)^2.2)^(1 / 2.2) = f^(1 / 2.2) l / 255
    return np.rint(np.minimum(image * np.asarray(factors) ** (1 / _GAMMA), 255)).astype(np.uint8)


def _corners(height: int, width: int) -> npt.NDArray[np.float64]:
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def _check(image: Pixels) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")


def _check_level(level: int) -> None:
    if not 0 <= level <= 255:
        raise ValueError(f"level must lie in 0..255, got {level!r}")
