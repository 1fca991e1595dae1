"""R-MAC for instance search: a vector of the whole image, and one of each of its squares, from one feature map."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from jaxret.errors import ConfigError
from jaxret.models.backbones.pooled import PooledBackbone
from jaxret.models.base import Backbone, check_sizes
from jaxret.models.descriptors.spatial_pooling import regional_grid, regional_maxima
from jaxret.models.layers.feature_map import feature_map_stride, per_channel
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.registry import create_backbone, register_encoder
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

    Attributes:
      stride: pixels of the image to a place of the map.
      vector_size: C, numbers of a vector.
      region_count: P, squares of an image at most.

    Raises:
      ConfigError: another pooling, a level below 1, or images that are not seen whole.

    Example:
      >>> net = create_backbone("small-convnet", widths=[4, 8], rngs=nnx.Rngs(0))
      >>> pooled = PooledBackbone(net, "conv_2", whitened_size=6)
      >>> encoder = RegionalEncoder(pooled, Preprocessing(height=64, width=64, resize="fit"), levels=2)
      >>> found = encoder.regions(jnp.zeros((1, 64, 32, 3), jnp.uint8))
      >>> found.image_vector.shape, found.vectors.shape, int(found.valid.sum())
      ((1, 6), (1, 80, 6), 11)
    """

    kind: ClassVar[str] = "regional-maxima"

    def __init__(self, backbone: PooledBackbone, preprocessing: Preprocessing, *, levels: int = 4):
        check_sizes(levels=levels)
        if backbone.pooling != "rmac":
            raise ConfigError(f"squares are R-MAC's: the pooling must be rmac, got {backbone.pooling!r}")
        if preprocessing.resize not in ("limit", "fit") or preprocessing.shots is not None:
            raise ConfigError(
                f"regions lie in whole images: resize must be limit or fit, and without shots, "
                f"got {preprocessing.resize!r}"
            )
        self.backbone = backbone
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
        return {
            "kind": self.kind,
            "backbone": self.backbone.config,
            "levels": self.levels,
            "preprocessing": self.preprocessing.to_json(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """An encoder of the shape that `config` describes, with random weights."""
        backbone: Backbone = create_backbone(**config["backbone"], rngs=rngs)
        if not isinstance(backbone, PooledBackbone):
            raise ConfigError(f"a {cls.kind} encoder needs a pooled backbone, got {backbone.name}")
        return cls(backbone, Preprocessing.from_json(config["preprocessing"]), levels=config["levels"])

    def regions(self, images: ArrayLike) -> Regions:
        """Images (B, H, W, C), uint8, to what is kept of them; jitted. Scores are 1: nothing is proposed."""
        return _regions(self, jnp.asarray(images))

    def region_vectors(self, images: ArrayLike, boxes: ArrayLike) -> jax.Array:
        """The vectors (B, R, C) of boxes (B, R, 4) in pixels of images (B, H, W, C); jitted.

        Of a box that holds the centre of no place it is that of the place nearest to its own centre.
        """
        return _region_vectors(self, jnp.asarray(images), jnp.asarray(boxes, jnp.float32))


@functools.lru_cache(maxsize=64)
def _most_squares(rows: int, columns: int, levels: int) -> int:
    """The most squares that a map of up to this size has."""
    return max(len(regional_grid(r, c, levels)) for r in range(1, rows + 1) for c in range(1, columns + 1))


def _whitened(encoder: RegionalEncoder, vectors: jax.Array) -> jax.Array:
    unit = l2_normalise(vectors)
    whitening = encoder.backbone.whitening
    return unit if whitening is None else l2_normalise(whitening(unit))


@jax.jit
def _regions(encoder: RegionalEncoder, images: jax.Array) -> Regions:
    encoding = encoder.backbone(images)
    maps = encoding.stages[encoder.backbone.stage]
    squares = np.array(regional_grid(maps.shape[1], maps.shape[2], encoder.levels), np.float32)
    top, left, size = squares.T
    boxes = np.stack([left, top, left + size, top + size], axis=1) * encoder.stride
    batch, room = len(images), encoder.region_count - len(squares)
    padded = np.pad(boxes, [(0, room), (0, 0)])
    vectors = jnp.pad(_whitened(encoder, regional_maxima(maps, encoder.levels)), [(0, 0), (0, room), (0, 0)])
    valid = jnp.broadcast_to(jnp.arange(encoder.region_count) < len(squares), (batch, encoder.region_count))
    return Regions(
        encoding.embedding,
        jnp.broadcast_to(jnp.asarray(padded), (batch, *padded.shape)),
        valid.astype(jnp.float32),
        vectors,
        valid,
    )


@jax.jit
def _region_vectors(encoder: RegionalEncoder, images: jax.Array, boxes: jax.Array) -> jax.Array:
    maps = encoder.backbone(images).stages[encoder.backbone.stage].astype(jnp.float32)
    inside = [_inside(boxes[..., axis], boxes[..., axis + 2], maps.shape[2 - axis], encoder.stride) for axis in (1, 0)]
    places = inside[0][..., :, None] & inside[1][..., None, :]  # (B, R, H, W)
    largest = jnp.where(places[..., None], maps[:, None], -jnp.inf).max(axis=(2, 3))
    return _whitened(encoder, largest)


def _inside(low: jax.Array, high: jax.Array, cells: int, stride: int) -> jax.Array:
    """Which cells along one axis have their centres in low .. high, or else the one nearest to the middle; (..., N)."""
    low, high = low[..., None], high[..., None]  # (..., 1)
    centres = per_channel((jnp.arange(cells, dtype=jnp.float32) + 0.5) * stride, low)
    held = (centres >= low) & (centres < high)
    nearest = jnp.abs(centres - (low + high) / 2).argmin(axis=-1, keepdims=True)
    return jnp.where(held.any(axis=-1, keepdims=True), held, per_channel(jnp.arange(cells), nearest) == nearest)
