"""Frame vectors that keep places: a feature map of another backbone, averaged into a coarse grid."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxret.models.backbones.small_convnet import grid_average
from jaxret.models.backbones.wrapping import WrappingBackbone
from jaxret.models.base import Backbone, Encoding, check_sizes
from jaxret.models.layers.feature_map import feature_map_shape
from jaxret.models.registry import register_backbone

__all__ = ["MapGrid"]


@register_backbone()
class MapGrid(WrappingBackbone):
    """One feature map of a backbone, averaged into grid x grid places, as one long vector; images of any size.

    Under `jax.jit` the layers after the map cost nothing. `Convolution3dFusion` makes maps of the vectors again.

    Args:
      network: a backbone of frames whose layers up to the map take images of any size.
      stage: the name of the map, such as "conv_pw_13" of mobilenet-v1.
      grid: places along a side.

    Attributes:
      embedding_size: grid * grid * C, row by row, the channels of a place side by side.
      stage_names: the backbone's own, and "grid", (B, grid, grid, C).

    Raises:
      ConfigError: the stage is unknown or no map, the backbone takes chunks, or the grid is below 1.

    Example:
      >>> from flax import nnx
      >>> from jaxret.models.backbones.small_convnet import SmallConvNet
      >>> maps = MapGrid(SmallConvNet(rngs=nnx.Rngs(0)), "conv_3", grid=4)
      >>> jax.eval_shape(maps, jnp.zeros((2, 32, 48, 3), jnp.uint8)).embedding.shape
      (2, 512)
    """

    name: ClassVar[str] = "map-grid"
    wrapped: ClassVar[str] = "network"

    def __init__(self, network: Backbone, stage: str, *, grid: int = 4):
        check_sizes(grid=grid)
        _, _, map_channels = feature_map_shape(network, stage)
        self.network, self.stage, self.grid = network, stage, grid
        self._begin_as(network)
        self.embedding_size = grid * grid * map_channels
        self.stage_names = tuple(dict.fromkeys((*network.stage_names, "grid")))

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self.stage} of {self.network.summary} at {self.grid} x {self.grid} places"

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, see `create_backbone`."""
        return {"name": self.name, "network": self.network.config, "stage": self.stage, "grid": self.grid}

    def __call__(self, images: jax.Array) -> Encoding:
        """Images (B, H, W, C) to vectors (B, grid * grid * C), and the stages."""
        stages = self.network(images).stages
        places = grid_average(stages[self.stage].astype(jnp.float32), self.grid)
        return Encoding(places.reshape(len(places), -1), {**stages, "grid": places})
