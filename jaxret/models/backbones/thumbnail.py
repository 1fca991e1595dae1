"""Another backbone of clips, and beside its vectors a thumbnail of the clip."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxret.errors import ConfigError
from jaxret.models.backbones.small_convnet import grid_average
from jaxret.models.backbones.wrapping import WrappingBackbone
from jaxret.models.base import Backbone, Encoding, check_sizes
from jaxret.models.layers.clip_pixels import clip_scale
from jaxret.models.layers.frozen import FixedArray
from jaxret.models.registry import register_backbone

__all__ = ["ThumbnailBackbone"]


@register_backbone()
class ThumbnailBackbone(WrappingBackbone):
    """A backbone of chunks that was trained to tell classes, beside what tells copies: cells of the clip's mean frame.

    The cells are of the pixels less the clip's mean, over its deviation. Of the squared distance of two clips a share
    is that of their thumbnails, each part in the unit of its own mean squared distance.

    Args:
      backbone: what comes before, with three colours or one first among its channels.
      share: of the squared distance, 0 to 1.
      grid: cells along each side.

    Attributes:
      stage_names: the backbone's, its embedding as "vector", and "thumbnail", (B, grid * grid * C).

    Raises:
      ConfigError: a number is out of range, or the backbone takes single frames.
    """

    name: ClassVar[str] = "beside-thumbnail"

    def __init__(self, backbone: Backbone, share: float, grid: int = 8):
        check_sizes(grid=grid)
        if not 0 <= share <= 1:
            raise ConfigError(f"share must lie in 0..1, got {share!r}")
        if backbone.unit != "chunk":
            raise ConfigError(f"a thumbnail is of a chunk, and {backbone.name} takes single frames")
        self.backbone, self.share, self.grid = backbone, float(share), grid
        self._begin_as(backbone)
        self.depth_planes = getattr(backbone, "depth_planes", 0)
        self.colours = 3 if self.depth_planes else backbone.channels
        self.embedding_size = backbone.embedding_size + grid * grid * self.colours
        self.stage_names = (*backbone.stage_names, "vector", "thumbnail")
        self.units = FixedArray(jnp.ones(2))

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.backbone.summary}, beside it {self.grid} x {self.grid} cells"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {"name": self.name, "backbone": self.backbone.config, "share": self.share, "grid": self.grid}

    def assign(self, vector: float, thumbnail: float) -> None:
        """Take as units the mean squared distances of clips' vectors and of their thumbnails.

        Raises:
          ValueError: one of them is not above 0, or not finite.
        """
        for name, unit in (("vector", vector), ("thumbnail", thumbnail)):
            if not 0 < unit < math.inf:
                raise ValueError(f"{name} must be a squared distance above 0, got {unit!r}")
        self.units[...] = jnp.array([vector, thumbnail], jnp.float32)

    @property
    def scales(self) -> jax.Array:
        """What vectors and thumbnails are multiplied by, (2,) float32."""
        return jnp.sqrt(jnp.array([1 - self.share, self.share], jnp.float32) / self.units[...])

    def __call__(self, clips: jax.Array) -> Encoding:
        """Clips (B, T, H, W, C), uint8 or 0..255, to both beside each other (B, D), and the stages."""
        encoding = self.backbone(clips)
        colours = clips[..., : self.colours].astype(jnp.float32)
        mean, deviation = clip_scale(colours)
        cells = grid_average(((colours - mean) / deviation).mean(axis=1), self.grid)
        thumbnail = cells.reshape(len(clips), -1)
        joined = jnp.concatenate([encoding.embedding * self.scales[0], thumbnail * self.scales[1]], axis=-1)
        return Encoding(joined, {**encoding.stages, "vector": encoding.embedding, "thumbnail": thumbnail})
