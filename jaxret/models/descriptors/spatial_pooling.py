"""Feature maps to global descriptors for instance retrieval: MAC, SPoC, GeM and R-MAC.

All are pure functions of maps (B, H, W, C) of any size, computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.layers.largest import largest

__all__ = ["Region", "gem", "mac", "regional_grid", "regional_maxima", "rmac", "spoc"]

_OVERLAP = Fraction(2, 5)


class Region(NamedTuple):
    """A square of a feature map: rows top .. top + size - 1, columns left .. left + size - 1."""

    top: int
    left: int
    size: int


def mac(maps: jax.Array) -> jax.Array:
    """Maximum activations of convolutions: the largest value of each channel (Razavian et al. 2014, arXiv:1412.6574).

    Args:
      maps: (B, H, W, C) floating.

    Returns:
      (B, C) float32, not normalised.

    Raises:
      ValueError: the maps have another number of axes, or no place.

    Example:
      >>> mac(jnp.arange(8.0).reshape(1, 2, 2, 2)).tolist()
      [[6.0, 7.0]]
    """
    maps = _checked(maps)
    return largest(maps.reshape(len(maps), -1, maps.shape[-1]), 1)


def spoc(maps: jax.Array) -> jax.Array:
    """Sum-pooled convolutional features as the average of each channel (Babenko and Lempitsky 2015, arXiv:1510.07493).

    Sum and average are the same descriptor once it is scaled to length 1. The paper's optional prior for the centre
    of the image is not applied.

    Args, returns and errors are those of `mac`.

    Example:
      >>> spoc(jnp.arange(8.0).reshape(1, 2, 2, 2)).tolist()
      [[3.0, 4.0]]
    """
    return jnp.mean(_checked(maps), axis=(1, 2))


def gem(maps: jax.Array, p: float = 3.0, eps: float = 1e-6) -> jax.Array:
    """Generalised mean: (mean over places of max(x, eps)^p)^(1/p) (Radenovic et al. 2019, arXiv:1711.02512).

    p = 1 is the average of rectified maps, and p towards infinity their maximum. No power overflows, whatever p.

    Args:
      maps: (B, H, W, C) floating.
      p: above 0.
      eps: what smaller activations are raised to, above 0: a root of 0 has no gradient.

    Returns:
      (B, C) float32, not normalised.

    Raises:
      ValueError: p or eps is not above 0, or as `mac`.

    Example:
      >>> round(float(gem(jnp.array([0.0, 2.0]).reshape(1, 2, 1, 1), p=2.0)[0, 0]), 4)  # sqrt(4 / 2)
      1.4142
    """
    if not (p > 0 and math.isfinite(p)):
        raise ValueError(f"p must be a finite number above 0, got {p!r}")
    if not eps > 0:
        raise ValueError(f"eps must be above 0, got {eps!r}")
    raised = jnp.maximum(_checked(maps), eps)
    largest = jax.lax.stop_gradient(jnp.max(raised, axis=(1, 2), keepdims=True))
    # The result does not depend on what is divided out, so neither does its gradient.
    return largest[:, 0, 0] * jnp.mean((raised / largest) ** p, axis=(1, 2)) ** (1 / p)


def regional_grid(height: int, width: int, levels: int = 3) -> tuple[Region, ...]:
    """The squares of R-MAC on a map (Tolias, Sicre and Jegou 2016, arXiv:1511.05879, section 4.2).

    The squares of level l = 1, 2, ... have sides of floor(2 min(H, W) / (l + 1)). Along the shorter side there are l
    of them; along the longer one l + m - 1, where m is the number of squares of the first level whose neighbours
    overlap by as near to 40 % as whole numbers allow (1 on a square map). They are spread evenly from edge to edge,
    positions rounded down. On a small map squares can coincide, and then count as often; a level whose squares would
    have no place is left out.

    Args:
      height, width: of the map, at least 1.
      levels: L, at least 1; the paper's is 3.

    Returns:
      The squares, level by level, row by row.

    Raises:
      ValueError: a number is below 1.

    Example:
      >>> regional_grid(2, 3, levels=1)  # two squares that share half their width: nearer to 40 % than three
      (Region(top=0, left=0, size=2), Region(top=0, left=1, size=2))
      >>> [len(regional_grid(36, 64, levels)) for levels in (1, 2, 3)]
      [2, 8, 20]
    """
    for name, value in (("height", height), ("width", width), ("levels", levels)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    short, long = sorted((height, width))
    extra = _squares_along(short, long) - 1
    regions = []
    for level in range(1, levels + 1):
        size = 2 * short // (level + 1)
        if not size:
            break
        tops, lefts = (_spread(side - size, level + (extra if side == long else 0)) for side in (height, width))
        regions += [Region(top, left, size) for top in tops for left in lefts]
    return tuple(regions)


def _squares_along(short: int, long: int) -> int:
    """m: how many squares of side `short` along `long` overlap by as near to 40 % as can be; the fewer of equals."""
    if short == long:
        return 1
    most = long // short * 2 + 2  # by then they overlap by half or more
    return min(range(2, most + 1), key=lambda count: abs(1 - Fraction(long - short, (count - 1) * short) - _OVERLAP))


def _spread(room: int, count: int) -> list[int]:
    """`count` whole positions evenly from 0 to `room`; one alone stands at 0."""
    return [place * room // max(count - 1, 1) for place in range(count)]


def regional_maxima(maps: jax.Array, levels: int = 3) -> jax.Array:
    """The largest value of each channel in each square of `regional_grid`.

    Args:
      maps: (B, H, W, C) floating.
      levels: L.

    Returns:
      (B, R, C) float32, not normalised.

    Raises:
      ValueError: as `mac` and `regional_grid`.

    Example:
      >>> regional_maxima(jnp.arange(6.0).reshape(1, 2, 3, 1), levels=1)[0, :, 0].tolist()
      [4.0, 5.0]
    """
    maps = _checked(maps)
    squares = regional_grid(maps.shape[1], maps.shape[2], levels)
    return jnp.stack([mac(maps[:, top : top + size, left : left + size]) for top, left, size in squares], axis=1)


def rmac(maps: jax.Array, levels: int = 3, whiten: Callable[[jax.Array], jax.Array] | None = None) -> jax.Array:
    """Regional maximum activations: each square max-pooled -> l2 -> whitening -> l2, summed, l2 (arXiv:1511.05879).

    Args:
      maps: (B, H, W, C) floating.
      levels: of the grid of squares, see `regional_grid`.
      whiten: regional vectors (B, R, C) to (B, R, E), such as a fitted `LinearProjection`; None: they stay as they
        are.

    Returns:
      (B, E) float32 of length 1, or zeros where the map is zero.

    Raises:
      ValueError: as `regional_maxima`.

    Example:
      >>> maps = jnp.arange(24.0).reshape(1, 3, 4, 2)
      >>> descriptor = rmac(maps)
      >>> descriptor.shape, round(float(jnp.linalg.norm(descriptor)), 4)
      ((1, 2), 1.0)
    """
    vectors = l2_normalise(regional_maxima(maps, levels))
    if whiten is not None:
        vectors = l2_normalise(whiten(vectors))
    return l2_normalise(jnp.sum(vectors, axis=1))


def _checked(maps: jax.Array) -> jax.Array:
    """The maps in float32."""
    if maps.ndim != 4 or 0 in maps.shape[1:3]:
        raise ValueError(f"maps must have shape (B, H, W, C) with at least one place, got {maps.shape}")
    return maps.astype(jnp.float32)
