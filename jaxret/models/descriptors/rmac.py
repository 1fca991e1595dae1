"""R-MAC for instance search: a vector of the whole image, and one of each of its squares, from one feature map."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxret.errors import ConfigError
from jaxret.models.backbones.pooled import PooledBackbone
from jaxret.models.base import check_sizes
from jaxret.models.descriptors.spatial_pooling import Region, regional_grid
from jaxret.models.descriptors.stage_maps import stage_maps, unit_rows
from jaxret.models.layers.feature_map import feature_map_stride
from jaxret.models.on_backbone import config_on_backbone, parts_on_backbone
from jaxret.models.origin import WeightsOrigin
from jaxret.models.registry import register_encoder
from jaxret.preprocessing import Preprocessing

__all__ = ["RegionalEncoder", "Regions"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Regions:
    """What instance search keeps of a batch of images; a JAX pytree.

    Attributes:
      image_vector: (B, C) float32 of length 1: the map max-pooled.
      boxes: (B, P, 4) left, top, right, bottom in pixels of the encoded image; of a detector its proposals, likeliest
        first.
      scores: (B, P), the probability that the region is an object; 1 where nothing estimates it.
      vectors: (B, P, C) float32 of length 1: the map max-pooled in each region.
      valid: bool (B, P); where an image has fewer than P regions, box, score and vector of the rest are zeros.
    """

    image_vector: jax.Array
    boxes: jax.Array
    scores: jax.Array
    vectors: jax.Array
    valid: jax.Array


@register_encoder
class RegionalEncoder(nnx.Module):
    """R-MAC (Tolias, Sicre and Jegou 2016, arXiv:1511.05879) with its squares as the places where a query may lie.

    An image's vector is the R-MAC of the pooled backbone. For re-ranking the max-pooled squares of a finer grid are
    kept, l2 -> whitening -> l2 like R-MAC's own. (The paper slides windows of any size with approximate integral
    max-pooling; decision: squares of fixed grids, which an index can keep.) A user's box is the maximum over the
    places inside it.

    Args:
      backbone: with the pooling "rmac".
      levels: of the grid of squares that are kept; the deeper, the smaller.
      preprocessing: `limit` or `fit`, without shots.
      origin: of the backbone's weights, where it is known.

    Attributes:
      stride: pixels of the image to a place of the map.
      vector_size: C, numbers of a vector.
      region_count: P, squares of an image at most.

    Raises:
      ConfigError: another pooling, a level below 1, or images that are not seen whole.

    Example:
      >>> from jaxret.models.registry import create_backbone
      >>> net = create_backbone("small-convnet", widths=[4, 8], rngs=nnx.Rngs(0))
      >>> pooled = PooledBackbone(net, "conv_2", whitened_size=6)
      >>> encoder = RegionalEncoder(pooled, Preprocessing(height=64, width=64, resize="fit"), levels=2)
      >>> found = encoder.regions(jnp.zeros((1, 64, 32, 3), jnp.uint8))
      >>> found.image_vector.shape, found.vectors.shape, int(found.valid.sum())
      ((1, 6), (1, 80, 6), 11)
    """

    kind: ClassVar[str] = "regional-maxima"

    def __init__(
        self,
        backbone: PooledBackbone,
        preprocessing: Preprocessing,
        *,
        levels: int = 4,
        origin: WeightsOrigin | None = None,
    ):
        check_sizes(levels=levels)
        if backbone.pooling != "rmac":
            raise ConfigError(f"squares are R-MAC's: the pooling must be rmac, got {backbone.pooling!r}")
        if preprocessing.resize not in ("limit", "fit") or preprocessing.shots is not None:
            raise ConfigError(
                f"regions lie in whole images: resize must be limit or fit, and without shots, "
                f"got {preprocessing.resize!r}"
            )
        self.backbone, self.origin = backbone, origin
        self.preprocessing = preprocessing
        self.levels = levels
        self.stride = feature_map_stride(backbone.backbone, backbone.stage)
        self.vector_size = backbone.embedding_size
        self.region_count = _most_squares(
            preprocessing.height // self.stride, preprocessing.width // self.stride, levels
        )

    @property
    def summary(self) -> str:
        """One line for people."""
        size = self.preprocessing
        return f"{self.backbone.summary} on images of at most {size.height} x {size.width} pixels"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_encoder(config)` makes an encoder of the same shape."""
        return config_on_backbone(self, levels=self.levels)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """An encoder of the shape that `config` describes, with random weights."""
        parts = parts_on_backbone(config, rngs)
        if not isinstance(parts["backbone"], PooledBackbone):
            raise ConfigError(f"a {cls.kind} encoder needs a pooled backbone, got {parts['backbone'].name}")
        return cls(**parts, levels=config["levels"])

    def maps(self, images: ArrayLike, sizes: ArrayLike | None = None) -> jax.Array:
        """Images (B, H, W, C) to maps (B, H', W', C'); jitted, see `jaxret.models.descriptors.stage_maps`."""
        return stage_maps(self.backbone.backbone, self.backbone.stage, images, sizes)

    def squares(self, rows: int, columns: int) -> tuple[Region, ...]:
        """The squares that are kept of a map of this size, and R-MAC's own, if they go deeper: level by level."""
        return _squares(rows, columns, max(self.levels, self.backbone.levels))

    def largest_in_squares(self, one: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map (H', W', C') of one image to the largest activations in its squares, (S, C')."""
        squares = self.squares(*one.shape[:2])
        return np.stack([one[top : top + size, left : left + size].max(axis=(0, 1)) for top, left, size in squares])

    def whitened(self, largest: NDArray[np.float32]) -> NDArray[np.float32]:
        """Largest activations (..., C') to vectors of length 1, (..., C) float32."""
        whitening, unit = self.backbone.whitening, unit_rows(largest)
        return unit if whitening is None else unit_rows(whitening.on_host(unit))

    def vectors_of(self, largest: NDArray[np.float32], rows: int, columns: int) -> tuple[NDArray, NDArray, NDArray]:
        """What `largest_in_squares` gives to what is kept of an image.

        Returns:
          its vector (C,), the boxes (P, 4) of its squares in pixels and their vectors (P, C).
        """
        vectors = self.whitened(largest)
        own = len(_squares(rows, columns, self.backbone.levels))
        kept = np.array(_squares(rows, columns, self.levels), np.float32)
        top, left, size = kept.T
        boxes = np.stack([left, top, left + size, top + size], axis=1) * self.stride
        return unit_rows(vectors[:own].sum(axis=0)), boxes, vectors[: len(kept)]

    def box_vector(self, one: NDArray[np.float32], box: Sequence[float]) -> NDArray[np.float32]:
        """The vector (C,) of a box (4,) in pixels of an image with this map (H', W', C').

        Of a box that holds the centre of no place it is that of the place nearest to its own centre.
        """
        left, top, right, bottom = np.asarray(box, np.float64)
        rows, columns = (
            _held(low, high, count, self.stride)
            for low, high, count in ((top, bottom, one.shape[0]), (left, right, one.shape[1]))
        )
        return self.whitened(one[rows][:, columns].max(axis=(0, 1)))

    def regions(self, images: ArrayLike) -> Regions:
        """Images (B, H, W, C), uint8, to what is kept of them. Scores are 1: nothing is proposed."""
        maps = np.asarray(self.maps(images))
        found = [self.vectors_of(self.largest_in_squares(one), *one.shape[:2]) for one in maps]
        room = self.region_count - len(found[0][1])
        boxes, vectors = (np.stack([np.pad(one[part], [(0, room), (0, 0)]) for one in found]) for part in (1, 2))
        valid = np.broadcast_to(np.arange(self.region_count) < len(found[0][1]), boxes.shape[:2])
        images_own = np.stack([one[0] for one in found])
        return Regions(*map(jnp.asarray, (images_own, boxes, valid.astype(np.float32), vectors, valid)))

    def region_vectors(self, images: ArrayLike, boxes: ArrayLike) -> jax.Array:
        """The vectors (B, R, C) of boxes (B, R, 4) in pixels of images (B, H, W, C), see `box_vector`."""
        maps = np.asarray(self.maps(images))
        of_images = zip(maps, np.asarray(boxes), strict=True)
        return jnp.asarray(np.stack([[self.box_vector(one, box) for box in some] for one, some in of_images]))


@functools.lru_cache(maxsize=256)
def _squares(rows: int, columns: int, levels: int) -> tuple[Region, ...]:
    return regional_grid(rows, columns, levels)


@functools.lru_cache(maxsize=64)
def _most_squares(rows: int, columns: int, levels: int) -> int:
    """The most squares that a map of up to this size has."""
    return max(len(_squares(r, c, levels)) for r in range(1, rows + 1) for c in range(1, columns + 1))


def _held(low: float, high: float, cells: int, stride: int) -> NDArray[np.intp]:
    """Which cells along one axis have their centres in low .. high, or else the one nearest to the middle."""
    centres = (np.arange(cells) + 0.5) * stride
    held = np.flatnonzero((centres >= low) & (centres < high))
    return held if len(held) else np.abs(centres - (low + high) / 2).argmin(keepdims=True)
