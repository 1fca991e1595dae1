"""The encoders of `jaxret.models.conv_lstm.autoencoder`, as backbones of chunks of video."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone, Encoding, Unit, check_sizes, compute_dtype, stored_settings
from jaxret.models.conv_lstm.blocks import EncoderBlock, SequenceLayer
from jaxret.models.conv_lstm.volumes import scatter_to_planes
from jaxret.models.layers.clip_pixels import clip_scale
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.registry import register_backbone

__all__ = ["ConvLstmEncoder", "StandardiseBy", "run_block"]

StandardiseBy = Literal["data", "clip"]
"""Whose mean and deviation pixels are standardised by."""


def run_block(block: nnx.Module, maps: jax.Array, *, remat: bool) -> jax.Array:
    """`block(maps)`; with `remat`, what it computes inside is not kept for the gradient but computed again."""
    run: Any = nnx.remat(_call) if remat else _call
    return run(block, maps)


def _call(block: Any, maps: jax.Array) -> jax.Array:
    return block(maps)


@register_backbone(image_size=256)
class ConvLstmEncoder(Backbone):
    """Clips (B, T, H, W, C) to one vector a frame, and their mean: blocks LRBP, then a dense layer.

    With `depth_planes` Z, images are RGB and, as the fourth channel, the number of the depth plane of each pixel, 1
    to Z, anything else meaning that there is no reading. Colours are scattered to their planes, beside a channel that
    marks the places that are taken, and the blocks act on (H, W, Z).

    Decisions: the paper gives a vector a frame and ranks a vector a clip; a clip's is the mean of its frames'.
    Pixels are standardised by one mean and one deviation over all videos and channels, or over each clip and its
    channels: then brightness and contrast of a clip tell nothing, as they change from copy to copy.

    Args:
      height, width: pixels of a frame.
      embedding_size: E, length of the vector of a frame and of the clip.
      blocks: how many; each halves every spatial axis.
      map_channels: of the maps that a block gives.
      recurrent_channels: of the bidirectional ConvLSTMs, both directions together; even.
      residual_channels: of the blocks R.
      layer: what blocks are built from.
      depth_planes: Z, 0 for images without depth.
      channels: 3 for RGB, 1 for grey; with depth planes 4.
      pixel_mean, pixel_deviation: of the pixels 0..255 of the training videos.
      standardise_by: "data": pixels are standardised by these; "clip": by the clip's own mean and deviation.
      remat: blocks keep their inputs alone for the gradient and compute the rest again, ConvLSTMs inside them their
        gates as well: less memory, more time.
      dtype: compute dtype, "float32" or "bfloat16"; parameters are float32.
      rngs: source of the initial weights.

    Attributes:
      map_shape: (H', W', C') or (H', W', Z', C') of the last block's maps.
      stage_names: "block_1" ..., (B, T, *spatial, C'), and "frame_embeddings", (B, T, E).

    Raises:
      ConfigError: a setting is out of range, or the blocks do not halve an axis evenly.

    Example:
      >>> net = ConvLstmEncoder(height=32, width=24, embedding_size=10, recurrent_channels=4, rngs=nnx.Rngs(0))
      >>> encoding = jax.eval_shape(net, jnp.zeros((2, 5, 32, 24, 3), jnp.uint8))
      >>> encoding.embedding.shape, encoding.stages["frame_embeddings"].shape, encoding.stages["block_3"].shape
      ((2, 10), (2, 5, 10), (2, 5, 4, 3, 16))
    """

    name: ClassVar[str] = "conv-lstm"
    unit: Unit = "chunk"

    def __init__(
        self,
        *,
        height: int = 256,
        width: int = 256,
        embedding_size: int = 4000,
        blocks: int = 3,
        map_channels: int = 16,
        recurrent_channels: int = 64,
        residual_channels: int = 32,
        layer: SequenceLayer = "conv-lstm",
        depth_planes: int = 0,
        channels: int | None = None,
        pixel_mean: float = 127.5,
        pixel_deviation: float = 64.0,
        standardise_by: StandardiseBy = "data",
        remat: bool = False,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        check_sizes(height=height, width=width, embedding_size=embedding_size, blocks=blocks, map_channels=map_channels)
        check_sizes(recurrent_channels=recurrent_channels, residual_channels=residual_channels)
        if layer == "conv-lstm" and recurrent_channels % 2:
            raise ConfigError(f"recurrent_channels must be even, half a direction, got {recurrent_channels}")
        if not pixel_deviation > 0:
            raise ConfigError(f"pixel_deviation must be above 0, got {pixel_deviation!r}")
        if standardise_by not in get_args(StandardiseBy):
            allowed = ", ".join(get_args(StandardiseBy))
            raise ConfigError(f"standardise_by must be one of {allowed}, got {standardise_by!r}")
        self.channels = _checked_channels(channels, depth_planes)
        self.spatial = _checked_spatial(height, width, depth_planes, blocks)
        self.embedding_size = embedding_size
        self.map_channels = map_channels
        self.recurrent_channels, self.residual_channels = recurrent_channels, residual_channels
        self.layer: SequenceLayer = layer
        self.depth_planes = depth_planes
        self.pixel_mean, self.pixel_deviation = float(pixel_mean), float(pixel_deviation)
        self.standardise_by: StandardiseBy = standardise_by
        self.remat = remat
        self.dtype = compute_dtype(dtype)
        self.blocks = nnx.List(
            EncoderBlock(
                self.image_channels if block == 0 else map_channels,
                map_channels,
                recurrent_channels=recurrent_channels,
                residual_channels=residual_channels,
                layer=layer,
                spatial_axes=len(self.spatial),
                keep_gates=not remat,
                dtype=self.dtype,
                rngs=rngs,
            )
            for block in range(blocks)
        )
        self.map_shape = (*(size // 2**blocks for size in self.spatial), map_channels)
        self.dense = nnx.Linear(
            math.prod(self.map_shape), embedding_size, kernel_init=glorot_uniform, dtype=self.dtype, rngs=rngs
        )
        self.stage_names = (*(f"block_{block + 1}" for block in range(blocks)), "frame_embeddings")

    @property
    def normalisation(self) -> dict[str, Any]:  # type: ignore[override]
        """How pixels in 0..255 become the first layer's input, if not by the clip's own: (pixel - mean) * scale."""
        return {"mean": self.pixel_mean, "scale": 1 / self.pixel_deviation}

    @property
    def image_channels(self) -> int:
        """Channels of the standardised images or volumes: those of colour and, with depth, one of occupancy."""
        return 4 if self.depth_planes else self.channels

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_backbone(**config, rngs=...)` makes a network of the same shape."""
        settings = {
            "height": self.spatial[0],
            "width": self.spatial[1],
            "embedding_size": self.embedding_size,
            "blocks": len(self.blocks),
            "map_channels": self.map_channels,
            "recurrent_channels": self.recurrent_channels,
            "residual_channels": self.residual_channels,
            "layer": self.layer,
            "depth_planes": self.depth_planes,
            "channels": self.channels,
            "pixel_mean": self.pixel_mean,
            "pixel_deviation": self.pixel_deviation,
            "standardise_by": self.standardise_by,
            "remat": self.remat,
            "dtype": self.dtype.name,
        }
        return {"name": self.name, **stored_settings(settings.items(), later={"standardise_by": "data"})}

    def __call__(self, clips: jax.Array) -> Encoding:
        """Encode clips.

        Args:
          clips: (B, T, H, W, C), uint8, or floating in 0..255; RGB order, and with depth planes the plane's number.

        Returns:
          The mean over time of the frames' vectors, (B, E) float32, and the stages.

        Raises:
          ValueError: the clips have another shape, or no frames.
        """
        maps = self.standardise(clips).astype(self.dtype)  # (B, T, *spatial, C)
        stages = {}
        for stage, block in zip(self.stage_names, self.blocks, strict=False):
            maps = stages[stage] = run_block(block, maps, remat=self.remat)
        vectors = self.dense(maps.reshape(*maps.shape[:2], -1)).astype(jnp.float32)
        stages["frame_embeddings"] = vectors  # (B, T, E)
        return Encoding(vectors.mean(axis=1), stages)

    def standardise(self, clips: jax.Array) -> jax.Array:
        """Pixels (B, T, H, W, C) to what the blocks see and a decoder gives back, (B, T, *spatial, C') float32.

        Raises:
          ValueError: the clips have another shape, or no frames.
        """
        expected = (*self.spatial[:2], self.channels)
        if clips.ndim != 5 or clips.shape[2:] != expected or clips.shape[1] == 0:
            sizes = ", ".join(map(str, expected))
            raise ValueError(f"clips must have shape (B, T, {sizes}) for this {self.name}, got {clips.shape}")
        colours = clips[..., : self.channels - bool(self.depth_planes)].astype(jnp.float32)
        mean, deviation = self.pixel_scale(colours)
        colours = (colours - mean) / deviation
        if not self.depth_planes:
            return colours
        return scatter_to_planes(colours, clips[..., 3], self.depth_planes)

    def pixel_scale(self, colours: jax.Array) -> tuple[jax.Array | float, jax.Array | float]:
        """Mean and deviation that the colours (B, T, H, W, C) of clips are standardised by: numbers, or one a clip
        (B, 1, 1, 1, 1)."""
        if self.standardise_by == "data":
            return self.pixel_mean, self.pixel_deviation
        return clip_scale(colours)


def _checked_channels(channels: int | None, depth_planes: int) -> int:
    if depth_planes < 0:
        raise ConfigError(f"depth_planes must be at least 0, got {depth_planes}")
    if depth_planes > 255:
        raise ConfigError(f"depth_planes must be at most 255, what a byte can tell, got {depth_planes}")
    if depth_planes:
        if channels not in (None, 4):
            raise ConfigError(f"with depth_planes channels must be 4 (RGB and the plane's number), got {channels!r}")
        return 4
    if channels not in (None, 1, 3):
        raise ConfigError(f"channels must be 1 (grey) or 3 (RGB), got {channels!r}")
    return channels or 3


def _checked_spatial(height: int, width: int, depth_planes: int, blocks: int) -> tuple[int, ...]:
    sizes = {"height": height, "width": width, **({"depth_planes": depth_planes} if depth_planes else {})}
    for name, size in sizes.items():
        if size % 2**blocks:
            raise ConfigError(f"{blocks} blocks halve {name}: it must be a multiple of {2**blocks}, got {size}")
    return tuple(sizes.values())
