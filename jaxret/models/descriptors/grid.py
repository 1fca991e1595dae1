"""Patches of grids for instance search: a frozen map averaged in the cells of grids of 1 x 1 to 4 x 4."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from flax import nnx
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone
from jaxret.models.descriptors.stage_maps import sizes_within, stage_means, unit_rows
from jaxret.models.layers.feature_map import feature_map_shape, feature_map_stride
from jaxret.models.on_backbone import config_on_backbone, parts_on_backbone
from jaxret.models.origin import WeightsOrigin
from jaxret.models.projection import LinearProjection
from jaxret.models.registry import register_encoder
from jaxret.preprocessing import Preprocessing

__all__ = ["PLACES", "GridEncoder", "cell_means", "grid_cells", "window_cosines", "window_means"]

PLACES = 12
"""Places along a side that a map is averaged into: every cell of 1 x 1 to 4 x 4 grids, and many windows more, are made
of them."""

_NOTHING = 1e-6  # of the length of all places together: a sum that is no longer is 0 but for rounding

Array = NDArray[np.float32]
Windows = NDArray[np.int64]


@functools.cache
def grid_cells(levels: int) -> Windows:
    """The cells of grids of 1 x 1 to levels x levels, int64 (P, 4): top, left, bottom, right in places.

    Example:
      >>> grid_cells(2).tolist()
      [[0, 0, 12, 12], [0, 0, 6, 6], [0, 6, 6, 12], [6, 0, 12, 6], [6, 6, 12, 12]]
    """
    steps = [(PLACES // n, row, column) for n in range(1, levels + 1) for row in range(n) for column in range(n)]
    return np.array([(row * s, column * s, (row + 1) * s, (column + 1) * s) for s, row, column in steps], np.int64)


def window_means(places: Array, windows: Windows) -> Array:
    """The means (..., W, C) of places (..., 12, 12, C) in windows (W, 4): top, left, bottom, right."""
    table = np.zeros((*places.shape[:-3], PLACES + 1, PLACES + 1, places.shape[-1]), np.float32)
    np.cumsum(np.cumsum(places, axis=-3, dtype=np.float32), axis=-2, out=table[..., 1:, 1:, :])
    top, left, bottom, right = windows.T
    sums = table[..., bottom, right, :] - table[..., top, right, :] - table[..., bottom, left, :]
    return np.asarray((sums + table[..., top, left, :]) / ((bottom - top) * (right - left))[:, None], np.float32)


def cell_means(places: Array, levels: int) -> Array:
    """The means (P, C) of places (12, 12, C) in the cells of `grid_cells`, each grid by sums along rows and columns."""
    found = []
    for n in range(1, levels + 1):
        rows = places.reshape(n, PLACES // n, PLACES, -1).sum(axis=1)
        cells = rows.reshape(n, n, PLACES // n, -1).sum(axis=2)
        found.append(cells.reshape(n * n, -1) * np.float32((n / PLACES) ** 2))
    return np.concatenate(found)


def window_cosines(places: Array, windows: Windows, vectors: Array) -> NDArray[np.float64]:
    """The cosines (S, W) of vectors (S, C) of length 1 with the means of places (12, 12, C) in windows (W, 4), see
    `window_means`; 0 where a mean is 0.

    No mean is made: what a vector shares with a window is a sum over its places, and the square of the length of their
    sum is one over all pairs of its places, both by tables of sums up to each place.
    """
    flat = places.reshape(PLACES**2, -1)
    # By `einsum`: NumPy's products wake threads, which wait busily after each for longer than these take.
    shared = _sums_up_to(np.einsum("sc,pc->sp", vectors, flat).reshape(-1, PLACES, PLACES), axes=(1, 2))
    pairs = _sums_up_to(np.einsum("pc,qc->pq", flat, flat).reshape((PLACES,) * 4), axes=(0, 1, 2, 3))
    top, left, bottom, right = windows.T
    corners = [(bottom, right, 1), (top, right, -1), (bottom, left, -1), (top, left, 1)]
    dots = sum(sign * shared[:, row, column] for row, column, sign in corners)
    squares = sum(
        sign * other_sign * pairs[row, column, other_row, other_column]
        for row, column, sign in corners
        for other_row, other_column, other_sign in corners
    )
    lengths = np.broadcast_to(np.sqrt(np.maximum(squares, 0)), np.shape(dots))
    some = lengths > _NOTHING * np.linalg.norm(flat)
    return np.asarray(np.divide(dots, lengths, out=np.zeros(lengths.shape), where=some))


def _sums_up_to(values: Array, axes: tuple[int, ...]) -> NDArray[np.float64]:
    """Sums of what lies before each place along these axes, which begin with a line of zeros."""
    table = np.zeros([size + (axis in axes) for axis, size in enumerate(values.shape)])
    inner = table[tuple(slice(int(axis in axes), None) for axis in range(values.ndim))]
    inner[...] = values
    for axis in axes:
        np.cumsum(inner, axis=axis, out=inner)
    return table


@register_encoder
class GridEncoder(nnx.Module):
    """Patchify: an image is the cells of grids, and the one that agrees best with a query is where it was found.

    W. Choi et al., "Patch-wise retrieval: a bag of practical techniques for instance-level matching", 2025,
    arXiv:2512.12610.

    The map of an image -> its mean over each cell -> PCA-whitening, if any -> length 1. (The paper encodes each cell's
    pixels by themselves; decision: cells of one map, for one pass of the network.) The whitening is linear and comes
    before the length, so that the mean of whitened places is the whitened mean: 12 x 12 places that an index keeps
    give every cell, and windows that lie closer around a thing.

    Args:
      backbone: of frames; one whose layers up to the map take images of any size.
      stage: the map's name, such as "conv_pw_11" of mobilenet-v1.
      preprocessing: `limit` or `fit`, without shots.
      levels: the finest grid is levels x levels, 1 to 4.
      whitened_size: numbers that the whitening keeps, 1 .. C; None: no whitening.
      origin: of the backbone's weights, where it is known.

    Attributes:
      whitening: a `LinearProjection` whose `assign` gives it its numbers, or None.
      stride: pixels of the image to a place of the map.
      vector_size: D, numbers of a patch.

    Raises:
      ConfigError: the stage is unknown or no map, a size is out of range, or images are not seen whole.

    Example:
      >>> from jaxret.models.registry import create_backbone
      >>> net = create_backbone("small-convnet", widths=[4, 8], rngs=nnx.Rngs(0))
      >>> encoder = GridEncoder(net, "conv_2", Preprocessing(height=64, width=64, resize="fit"), levels=2)
      >>> places = encoder.places(np.zeros((3, 32, 64, 3), np.uint8))
      >>> places.shape, encoder.vectors(window_means(places, grid_cells(2))).shape
      ((3, 12, 12, 8), (3, 5, 8))
    """

    kind: ClassVar[str] = "grid-patches"

    def __init__(
        self,
        backbone: Backbone,
        stage: str,
        preprocessing: Preprocessing,
        *,
        levels: int = 4,
        whitened_size: int | None = None,
        origin: WeightsOrigin | None = None,
    ):
        _, _, channels = feature_map_shape(backbone, stage)
        if not 1 <= levels <= 4:
            raise ConfigError(f"levels must be 1..4, the finest grid of patches is 4 x 4, got {levels!r}")
        if whitened_size is not None and not 1 <= whitened_size <= channels:
            raise ConfigError(
                f"whitened_size must be 1..{channels}, the channels of {stage} of {backbone.name}, got {whitened_size}"
            )
        if preprocessing.resize not in ("limit", "fit") or preprocessing.shots is not None:
            raise ConfigError(
                f"patches lie in whole images: resize must be limit or fit, and without shots, "
                f"got {preprocessing.resize!r}"
            )
        self.backbone, self.stage, self.origin = backbone, stage, origin
        self.preprocessing = preprocessing
        self.levels = levels
        self.map_channels = channels
        self.stride = feature_map_stride(backbone, stage)
        self.whitening = None if whitened_size is None else LinearProjection(channels, whitened_size)
        self.vector_size = channels if whitened_size is None else whitened_size

    @property
    def summary(self) -> str:
        """One line for people."""
        whitened = "" if self.whitening is None else f", whitened to {self.whitening.size},"
        size = self.preprocessing
        return (
            f"patches of grids up to {self.levels} x {self.levels} of {self.stage} of {self.backbone.summary}"
            f"{whitened} on images of at most {size.height} x {size.width} pixels"
        )

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_encoder(config)` makes an encoder of the same shape."""
        whitened_size = None if self.whitening is None else self.whitening.size
        return config_on_backbone(self, stage=self.stage, levels=self.levels, whitened_size=whitened_size)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """An encoder of the shape that `config` describes, with random weights."""
        return cls(
            **parts_on_backbone(config, rngs),
            stage=config["stage"],
            levels=config["levels"],
            whitened_size=config["whitened_size"],
        )

    def places(self, images: ArrayLike, sizes: ArrayLike | None = None) -> Array:
        """The maps of images averaged into 12 x 12 places of equal area.

        Args:
          images: (B, H, W, C), uint8 or 0..255.
          sizes: (B, 2), of each image within the batch, see `jaxret.models.descriptors.stage_maps`.

        Returns:
          (B, 12, 12, C').

        Raises:
          ValueError: a side is no multiple of the stride of the map.
        """
        edges = [[side * np.arange(PLACES + 1) / PLACES for side in size] for size in self._map_sizes(images, sizes)]
        return self._means(images, sizes, edges)

    def box_mean(self, image: ArrayLike, box: Sequence[float], size: ArrayLike | None = None) -> Array:
        """The mean (C',) of the map of an image over a box, by the program of `places`.

        Args:
          image: (1, H, W, C).
          box: (4,), left, top, right, bottom in its pixels.
          size: (1, 2), of the image within the batch, as `sizes` of `places`.
        """
        left, top, right, bottom = (edge / self.stride for edge in box)
        return np.asarray(self._means(image, size, [[np.array([top, bottom]), np.array([left, right])]])[0, 0, 0])

    def _map_sizes(self, images: ArrayLike, sizes: ArrayLike | None) -> NDArray[np.int64]:
        """Height and width (B, 2) of the map of each image."""
        canvas = np.shape(images)[1:3]
        if any(side % self.stride for side in canvas):
            raise ValueError(
                f"the sides of images must be multiples of {self.stride} pixels, the stride of {self.stage}, "
                f"got {canvas[0]} x {canvas[1]}"
            )
        return np.array(sizes_within(images, sizes), np.int64).reshape(-1, 2) // self.stride

    def _means(
        self, images: ArrayLike, sizes: ArrayLike | None, edges: Sequence[Sequence[NDArray[np.float64]]]
    ) -> Array:
        """Means (B, 12, 12, C') between at most 13 edges of rows and of columns of each map; zeros for fewer edges."""
        shares = [np.zeros((len(edges), PLACES, side // self.stride), np.float32) for side in np.shape(images)[1:3]]
        for number, (of_image, size) in enumerate(zip(edges, self._map_sizes(images, sizes).tolist(), strict=True)):
            for side, of_side, length in zip(shares, of_image, size, strict=True):
                side[number, : len(of_side) - 1, :length] = _shares(length, of_side)
        return np.asarray(stage_means(self.backbone, self.stage, images, sizes, *shares))

    def projected(self, places: Array) -> Array:
        """Places (12 * 12, C') of an image to what patches are compared by before they have length 1, (12 * 12, D)."""
        return places if self.whitening is None else self.whitening.compiled(places)

    def cells(self, places: Array) -> Array:
        """Places (12 * 12, C) of an image to the means (P, C) in the cells of its grids, see `grid_cells`."""
        return cell_means(places.reshape(PLACES, PLACES, -1), self.levels)

    def vectors(self, means: Array) -> Array:
        """Means of a map (..., C') to vectors (..., D) of length 1."""
        return unit_rows(means if self.whitening is None else self.whitening.on_host(means))


def _shares(size: int, edges: NDArray[np.float64]) -> Array:
    """How much each of `size` samples counts between one edge and the next, (edges - 1, size); rows sum to 1."""
    samples = np.arange(size)
    overlap = np.minimum(edges[1:, None], samples + 1) - np.maximum(edges[:-1, None], samples)
    shares = np.maximum(overlap, 0)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)
