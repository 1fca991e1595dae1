"""Backbones whose vectors are pooled from feature maps of another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.models.backbones.wrapping import WrappingBackbone
from jaxret.models.base import Backbone, Encoding
from jaxret.models.descriptors.spatial_pooling import gem, mac, regional_maxima, spoc
from jaxret.models.layers.feature_map import feature_map_shape
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.projection import LinearProjection
from jaxret.models.registry import register_backbone

__all__ = ["MaxPooledLayers", "PooledBackbone", "SpatialPooling"]

SpatialPooling = Literal["mac", "spoc", "gem", "rmac"]

_LEVELS, _POWER = 3, 3.0


@register_backbone()
class PooledBackbone(WrappingBackbone):
    """One feature map of a backbone, pooled to a vector of length 1; images of any size and shape.

    Regional vectors (one an image but for R-MAC) -> l2 -> PCA-whitening, if any -> l2, summed -> l2. The
    whitening is a dense layer that is fitted from outside (`jaxret.training.pca.fit_whitening`), stored with
    the encoder, and left alone by training. Under `jax.jit` the layers after the stage cost nothing.

    Args:
      backbone: of frames; one whose layers after the map take images of any size (a vgg16 without dense layers).
      stage: the name of the map, such as "block5_conv3" of vgg16 or "conv_pw_13" of mobilenet-v1.
      pooling: "rmac", "mac", "spoc" or "gem", see `jaxret.models.descriptors.spatial_pooling`.
      levels: of R-MAC's grid of squares; None is 3. With R-MAC only.
      p: the power of GeM; None is 3. With GeM only.
      whitened_size: E, the numbers that the whitening keeps, 1 .. C; None: no whitening.

    Attributes:
      whitening: a `LinearProjection` whose `assign` gives it its numbers, or None.
      stage_names: the backbone's own stages and `regional_vectors`, (B, R, C) of length 1 before the whitening.

    Raises:
      ConfigError: the stage is unknown or no map, the backbone takes chunks or one size of images only, or a
        setting is out of range, unknown, or of another pooling.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from jaxret.models.backbones.mobilenet_v1 import MobileNetV1
      >>> net = MobileNetV1(width=0.25, rngs=nnx.Rngs(0))
      >>> pooled = PooledBackbone(net, "conv_pw_13", whitened_size=128)
      >>> jax.eval_shape(pooled, jnp.zeros((2, 96, 160, 3), jnp.uint8)).embedding.shape
      (2, 128)
    """

    name: ClassVar[str] = "pooled"

    def __init__(
        self,
        backbone: Backbone,
        stage: str,
        *,
        pooling: SpatialPooling = "rmac",
        levels: int | None = None,
        p: float | None = None,
        whitened_size: int | None = None,
    ):
        if pooling not in get_args(SpatialPooling):
            raise ConfigError(unknown_name_message("pooling", pooling, get_args(SpatialPooling)))
        for setting, value, owner in (("levels", levels, "rmac"), ("p", p, "gem")):
            if value is not None and pooling != owner:
                raise ConfigError(f"{setting} is a setting of the pooling {owner!r}, got {pooling!r}")
        levels, p = _LEVELS if levels is None else levels, _POWER if p is None else p
        if levels < 1:
            raise ConfigError(f"levels must be at least 1, got {levels!r}")
        if not 0 < p < float("inf"):
            raise ConfigError(f"p must be a finite number above 0, got {p!r}")
        _, _, channels = feature_map_shape(backbone, stage)
        if whitened_size is not None and not 1 <= whitened_size <= channels:
            raise ConfigError(
                f"whitened_size must be 1..{channels}, the channels of {stage} of {backbone.name}, got {whitened_size}"
            )
        self.backbone = backbone
        self._begin_as(backbone)
        self.stage, self.pooling, self.levels, self.p = stage, pooling, levels, p
        self.whitening = None if whitened_size is None else LinearProjection(channels, whitened_size)
        self.map_channels = channels
        self.embedding_size = channels if whitened_size is None else whitened_size
        self.stage_names = (*backbone.stage_names, "regional_vectors")

    @property
    def summary(self) -> str:
        """A few words for people."""
        whitened = "" if self.whitening is None else f", whitened to {self.whitening.size},"
        return f"{self.pooling}{whitened} of {self.stage} of {self.backbone.summary}"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {
            "name": self.name,
            "backbone": self.backbone.config,
            "stage": self.stage,
            "pooling": self.pooling,
            "levels": self.levels if self.pooling == "rmac" else None,
            "p": self.p if self.pooling == "gem" else None,
            "whitened_size": None if self.whitening is None else self.whitening.size,
        }

    def __call__(self, images: jax.Array) -> Encoding:
        """Images (B, H, W, C) to vectors (B, E) of length 1, and the stages."""
        stages = self.backbone(images).stages
        vectors = l2_normalise(self._regional(stages[self.stage]))
        whitened = vectors if self.whitening is None else l2_normalise(self.whitening(vectors))
        return Encoding(l2_normalise(whitened.sum(axis=1)), {**stages, "regional_vectors": vectors})

    def _regional(self, maps: jax.Array) -> jax.Array:
        """Maps (B, H, W, C) to the vectors that are whitened one by one, (B, R, C) float32."""
        if self.pooling == "rmac":
            return regional_maxima(maps, self.levels)
        if self.pooling == "gem":
            return gem(maps, self.p)[:, None]
        return (mac if self.pooling == "mac" else spoc)(maps)[:, None]


@register_backbone()
class MaxPooledLayers(WrappingBackbone):
    """Several feature maps of a backbone: of each the largest value of every channel, scaled to length 1, side by side.

    G. Kordopatis-Zilos and others, "Near-Duplicate Video Retrieval with Deep Metric Learning", ICCV Workshops 2017,
    section 3.1; images of any size and shape. Under `jax.jit` the layers after the last map cost nothing.

    Args:
      backbone: of frames; one whose layers after the maps take images of any size (a vgg16 without dense layers).
      layers: names of the maps, at least one, each once, such as those of all convolutions.

    Attributes:
      embedding_size: channels of all the maps together.
      stage_names: the backbone's own.

    Raises:
      ConfigError: no layer, one that comes twice, is unknown or no map, or a backbone that takes chunks or one size of
        images only.

    Example:
      >>> from flax import nnx
      >>> from jaxret.models.backbones.small_convnet import SmallConvNet
      >>> net = MaxPooledLayers(SmallConvNet(widths=[8, 16], rngs=nnx.Rngs(0)), ["conv_1", "conv_2"])
      >>> jax.eval_shape(net, jnp.zeros((2, 32, 48, 3), jnp.uint8)).embedding.shape
      (2, 24)
    """

    name: ClassVar[str] = "layer-maxima"

    def __init__(self, backbone: Backbone, layers: Sequence[str]):
        self.layers = tuple(layers)
        if not self.layers:
            raise ConfigError(f"layers must name at least one feature map of {backbone.name}, got none")
        if len(set(self.layers)) < len(self.layers):
            raise ConfigError(f"layers must name each feature map once, got {', '.join(self.layers)}")
        self.backbone = backbone
        self._begin_as(backbone)
        self.embedding_size = sum(feature_map_shape(backbone, layer)[2] for layer in self.layers)

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{len(self.layers)} max-pooled layers of {self.backbone.summary}"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {"name": self.name, "backbone": self.backbone.config, "layers": list(self.layers)}

    def __call__(self, images: jax.Array) -> Encoding:
        """Images (B, H, W, C) to vectors (B, D), of which each layer's part has length 1, and the stages."""
        stages = self.backbone(images).stages
        return Encoding(jnp.concatenate([l2_normalise(mac(stages[layer])) for layer in self.layers], axis=-1), stages)
