"""Fusion in space and time: 3D convolutions and 3D pooling over the feature maps of a clip's frames."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import (
    Encoding,
    SequenceEncoder,
    check_dropout,
    check_sizes,
    compute_dtype,
    counted_steps,
    valid_steps,
)
from jaxret.models.layers.conv import ConvBias
from jaxret.models.layers.init import he_normal
from jaxret.models.layers.max_pooling import max_pool
from jaxret.models.registry import register_sequence_encoder

__all__ = ["Convolution3dFusion"]


@register_sequence_encoder
class Convolution3dFusion(SequenceEncoder):
    """Convolutions over (T, h, w), each with a rectifier and max pooling by 2 along all three axes, then the mean.

    The frame vectors are feature maps of grid x grid places, as `MapGrid` gives them. A dense layer first brings the
    channels of each place to few, since a 3D convolution of the maps as they are would be most of the work. Padding is
    zero ("same"); a last single place or step stands alone in its pooling window.

    Args:
      input_size: D = grid * grid * C, length of a frame vector.
      units: channels of the last convolution, and length of the embedding.
      grid: places along a side of the maps.
      channels: of each place before the first convolution, and of all convolutions but the last.
      window: steps and places under a kernel along each axis, an odd number.
      layers: convolutions.
      dropout: share of the channels set to zero in training, the same ones for all steps and places of a clip.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights and of dropout.

    Attributes:
      stage_names: `places`, (B, T, grid, grid, channels), and `convolution_1` ...: (B, T', h, w, C'), where each
        layer's pooling halves T', h and w, rounded up.

    Raises:
      ConfigError: a setting is out of range, or D is no multiple of grid * grid.

    Example:
      >>> fusion = Convolution3dFusion(4 * 4 * 32, 64, grid=4, rngs=nnx.Rngs(0))
      >>> encoding = jax.eval_shape(fusion, jnp.zeros((2, 16, 512)))
      >>> encoding.embedding.shape, encoding.stages["convolution_2"].shape
      ((2, 64), (2, 4, 1, 1, 64))
    """

    kind: ClassVar[str] = "convolution-3d"

    def __init__(
        self,
        input_size: int,
        units: int = 256,
        *,
        grid: int = 4,
        channels: int = 64,
        window: int = 3,
        layers: int = 2,
        dropout: float = 0.25,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        check_sizes(input_size=input_size, units=units, grid=grid, channels=channels, layers=layers, window=window)
        if window % 2 == 0:
            raise ConfigError(f"window must be odd, got {window}")
        if input_size % grid**2:
            raise ConfigError(f"input_size must be a multiple of grid * grid = {grid**2}, got {input_size}")
        check_dropout(dropout)
        self.input_size, self.embedding_size = input_size, units
        self.grid, self.channels, self.window, self.dropout_rate = grid, channels, window, dropout
        self.dtype = compute_dtype(dtype)
        self.reduce = nnx.Linear(input_size // grid**2, channels, kernel_init=he_normal, dtype=self.dtype, rngs=rngs)
        outs = [channels] * (layers - 1) + [units]
        self.convolutions = nnx.List(
            ConvBias(channels, out, window=(window,) * 3, dtype=self.dtype, rngs=rngs) for out in outs
        )
        self.dropout = nnx.Dropout(dropout, broadcast_dims=(1, 2, 3), deterministic=True, rngs=rngs)
        self.stage_names = ("places", *(f"convolution_{layer + 1}" for layer in range(layers)))

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {
            "kind": self.kind,
            "input_size": self.input_size,
            "units": self.embedding_size,
            "grid": self.grid,
            "channels": self.channels,
            "window": self.window,
            "layers": len(self.convolutions),
            "dropout": self.dropout_rate,
            "dtype": self.dtype.name,
        }

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{len(self.convolutions)} convolutions over time and {self.grid} x {self.grid} places"

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, grid * grid * C) to (B, units); see `SequenceEncoder`."""
        valid = valid_steps(self, vectors, lengths)  # (B, T)
        maps = vectors.reshape(*vectors.shape[:2], self.grid, self.grid, -1)
        places = nnx.relu(self.reduce(self.dropout(maps).astype(self.dtype)))
        hidden = _of_valid(places, valid)
        stages = {"places": hidden}
        for stage, convolution in zip(self.stage_names[1:], self.convolutions, strict=True):
            # Rectified values are at least 0, so zero at padding changes no maximum of a window with a valid step.
            hidden = max_pool(_of_valid(convolution(hidden), valid), (2, 2, 2))
            valid = max_pool(valid[..., None].astype(jnp.float32), (2,))[..., 0] > 0
            stages[stage] = hidden
        over_places = jnp.mean(hidden.astype(jnp.float32), axis=(2, 3))  # (B, T', units)
        return Encoding(over_places.sum(axis=1) / counted_steps(valid), stages)


def _of_valid(maps: jax.Array, valid: jax.Array) -> jax.Array:
    """Maps (B, T, h, w, C), zero at padding."""
    return jnp.where(valid[..., None, None, None], maps, 0)
