"""A small convolutional network for clips of 32 to 64 pixels, trained from scratch on a CPU in minutes.

It is a plain stack of 3x3 convolutions. A frame encoder for motion must say *where* things are, so the last
feature map is averaged into a coarse grid of places, not into one vector, before the dense layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone, Encoding, check_backbone_settings, compute_dtype
from jaxret.models.layers.conv import ConvBatchNorm
from jaxret.models.layers.init import he_normal
from jaxret.models.layers.padded import Inside
from jaxret.models.registry import register_backbone

__all__ = ["SmallConvNet", "grid_average"]


@register_backbone(
    image_size=64, stages={"rmac": "conv_3", "words": "conv_3", "detector": "conv_3", "convolutions": "conv_*"}
)
class SmallConvNet(Backbone):
    """Convolutions (every one but the last halves the image), grid average, dense layer.

    Args:
      widths: channels of the convolutions.
      grid: side of the grid of places that the last map is averaged into.
      embedding_size: length of the embedding.
      channels: 3 for RGB, 1 for grey.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Raises:
      ConfigError: a size is below 1, or the dtype is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> net = SmallConvNet(rngs=nnx.Rngs(0))
      >>> encoding = net(jnp.zeros((2, 32, 32, 3), jnp.uint8))
      >>> encoding.embedding.shape, encoding.stages["grid"].shape
      ((2, 128), (2, 4, 4, 32))
    """

    name: ClassVar[str] = "small-convnet"
    normalisation: ClassVar[dict[str, Any]] = {"mean": 127.5, "scale": 1 / 64}
    takes_sizes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        widths: Sequence[int] = (16, 32, 32),
        grid: int = 4,
        embedding_size: int = 128,
        channels: int = 3,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        for setting, value in (("grid", grid), ("embedding_size", embedding_size), ("widths", min(widths, default=0))):
            if value < 1:
                raise ConfigError(f"{setting} must be at least 1, got {value!r}")
        check_backbone_settings(channels=channels, classes=0)
        self.widths = tuple(widths)
        self.grid = grid
        self.embedding_size = embedding_size
        self.channels = channels
        self.dtype = compute_dtype(dtype)
        self.stage_names = (*(f"conv_{number + 1}" for number in range(len(widths))), "grid")
        ins = (channels, *self.widths[:-1])
        self.convolutions = nnx.List(
            ConvBatchNorm(
                into,
                out,
                window=(3, 3),
                strides=(1, 1) if number and number == len(widths) - 1 else (2, 2),
                momentum=0.95,  # trainings are short, so the running statistics must follow quickly
                dtype=self.dtype,
                rngs=rngs,
            )
            for number, (into, out) in enumerate(zip(ins, self.widths, strict=True))
        )
        self.dense = nnx.Linear(
            grid * grid * self.widths[-1],
            embedding_size,
            kernel_init=he_normal,
            dtype=self.dtype,
            rngs=rngs,
        )

    @property
    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {
            "name": self.name,
            "widths": list(self.widths),
            "grid": self.grid,
            "embedding_size": self.embedding_size,
            "channels": self.channels,
            "dtype": self.dtype.name,
        }

    def __call__(self, images: jax.Array) -> Encoding:
        """See `Backbone.__call__`; images of any size."""
        stages = self._maps(images, None)
        x = stages[self.stage_names[-2]]
        x = stages["grid"] = grid_average(x, self.grid)  # (B, G, G, C)
        x = nnx.relu(self.dense(x.reshape(x.shape[0], -1)))
        return Encoding(x.astype(jnp.float32), stages)

    def padded_maps(self, images: jax.Array, sizes: jax.Array) -> dict[str, jax.Array]:
        """See `Backbone.padded_maps`; without the grid."""
        return self._maps(images, Inside(sizes, images.shape[1:3]))

    def _maps(self, images: jax.Array, inside: Inside | None) -> dict[str, jax.Array]:
        self._check_images(images)
        x = self._normalise(images)
        stages = {}
        for stage, convolution in zip(self.stage_names, self.convolutions, strict=False):
            x = stages[stage] = convolution(x, inside)
        return stages


def grid_average(maps: jax.Array, grid: int) -> jax.Array:
    """Average a feature map into grid x grid cells of equal area; (B, H, W, C) to (B, grid, grid, C).

    A row that two cells share counts for each by its share, so any H and W do, also below `grid`.

    Example:
      >>> import jax.numpy as jnp
      >>> grid_average(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
      Array([[ 2.5,  4.5],
             [10.5, 12.5]], dtype=float32)
    """
    down, across = (jnp.asarray(_cell_shares(size, grid), maps.dtype) for size in maps.shape[1:3])
    return jnp.einsum("gh,bhwc,fw->bgfc", down, maps, across)


def _cell_shares(size: int, grid: int) -> np.ndarray:
    """How much each of `size` samples counts in each of `grid` cells, float64 (grid, size); rows sum to 1."""
    edges = np.arange(grid + 1) * size / grid
    samples = np.arange(size)
    overlap = np.minimum(edges[1:, None], samples + 1) - np.maximum(edges[:-1, None], samples)
    shares = np.maximum(overlap, 0)
    return shares / shares.sum(axis=1, keepdims=True)
