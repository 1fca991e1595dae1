"""VideoPrism (Zhao et al. 2024, arXiv:2402.13217): every frame through a transformer over its patches, then every place
through one over the frames; for words also all of them through one over everything, and a query that looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import (
    Backbone,
    Encoding,
    Unit,
    check_backbone_settings,
    check_sizes,
    compute_dtype,
    stored_settings,
)
from jaxret.models.layers.init import glorot_uniform, normal
from jaxret.models.layers.transformer import LayerNorm
from jaxret.models.registry import register_backbone
from jaxret.models.transformer import Block, NormedPooling, resized_grid, run_blocks
from jaxret.models.transformer.packed import patches_of

__all__ = ["VideoPrism"]

Pooling = Literal["mean", "attention"]

_LATER: dict[str, Any] = {"pooling": "mean", "auxiliary_depth": 0}


@register_backbone(image_size=288)
class VideoPrism(Backbone):
    """Chunks of video to one vector, the mean of all patches of all frames or what a learned query sees in them.

    Frames of other sizes, and chunks of other lengths, are seen with interpolated positions.

    Args:
      patch_size: p, side of a patch in pixels.
      image_size: side of the frames that the positions were made for, at least p.
      frames: of the chunks that the positions were made for.
      units: D, width of the tokens.
      spatial_depth: blocks over the patches of a frame.
      temporal_depth: blocks over the frames at a place.
      heads: of the attention.
      wide: units of the MLPs between; None: 4 D.
      pooling: the vector of a chunk: "mean", of all patches; "attention", a head that looks at all patches.
      auxiliary_depth: blocks over all patches of all frames, before the head; with "attention" only.
      softcap: c, logits l of the attention become c tanh(l / c).
      epsilon: added to the variance by the norms.
      channels: 3 for RGB; 1 for grey, which is repeated as R, G and B.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Attributes:
      stage_names: `spatial_1` ... (B, T, h * w, D), `temporal_1` ... (B, h * w, T, D), and `patch_grid`
        (B, T, h, w, D), after the last norm; of a head `auxiliary_1` ... (B, T * h * w, D) and `pooled` (B, D).

    Raises:
      ConfigError: a setting is unknown or out of range.

    Example:
      >>> net = VideoPrism(units=8, heads=2, spatial_depth=1, temporal_depth=1, rngs=nnx.Rngs(0))
      >>> encoding = jax.eval_shape(net, jnp.zeros((2, 4, 36, 54, 3), jnp.uint8))
      >>> encoding.embedding.shape, encoding.stages["patch_grid"].shape
      ((2, 8), (2, 4, 2, 3, 8))
    """

    name: ClassVar[str] = "video-prism"
    unit: Unit = "chunk"
    normalisation: ClassVar[dict[str, Any]] = {"mean": 0.0, "scale": 1 / 255}

    def __init__(
        self,
        *,
        patch_size: int = 18,
        image_size: int = 288,
        frames: int = 16,
        units: int = 768,
        spatial_depth: int = 12,
        temporal_depth: int = 4,
        heads: int = 12,
        wide: int | None = None,
        pooling: Pooling = "mean",
        auxiliary_depth: int = 0,
        softcap: float = 50.0,
        epsilon: float = 1e-6,
        channels: int = 3,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        wide = 4 * units if wide is None else wide
        check_backbone_settings(channels=channels, classes=0)
        check_sizes(patch_size=patch_size, frames=frames, spatial_depth=spatial_depth, temporal_depth=temporal_depth)
        check_sizes(units=units, heads=heads, wide=wide)
        if image_size < patch_size:
            raise ConfigError(f"image_size must be at least patch_size {patch_size}, got {image_size}")
        if units % heads:
            raise ConfigError(f"units must be a multiple of the {heads} heads, got {units}")
        if pooling not in get_args(Pooling):
            raise ConfigError(f"pooling must be one of {', '.join(get_args(Pooling))}, got {pooling!r}")
        if auxiliary_depth < 0 or (auxiliary_depth and pooling == "mean"):
            raise ConfigError(
                f"auxiliary_depth must be at least 0, and 0 where the mean is pooled, got {auxiliary_depth} with "
                f"pooling {pooling!r}"
            )
        if not softcap >= 0:
            raise ConfigError(f"softcap must be at least 0, got {softcap}")
        settings: dict[str, Any] = {
            "patch_size": patch_size,
            "image_size": image_size,
            "frames": frames,
            "units": units,
            "spatial_depth": spatial_depth,
            "temporal_depth": temporal_depth,
            "heads": heads,
            "wide": wide,
            "pooling": pooling,
            "auxiliary_depth": auxiliary_depth,
            "softcap": softcap,
            "epsilon": epsilon,
            "channels": channels,
            "dtype": dtype,
        }
        self.settings = tuple(settings.items())  # hashable, as what a compiled function depends on must be
        self.patch_size, self.frames, self.channels = patch_size, frames, channels
        self.embedding_size, self.dtype = units, compute_dtype(dtype)
        self.depths = (spatial_depth, temporal_depth)

        grid, small = image_size // patch_size, normal(0.02)
        pixels = patch_size * patch_size * 3
        self.patches = nnx.Linear(pixels, units, kernel_init=glorot_uniform, dtype=self.dtype, rngs=rngs)
        self.spatial_positions = nnx.Param(small(rngs.params(), (grid * grid, units)))
        self.temporal_positions = nnx.Param(small(rngs.params(), (frames, units)))

        def blocks(depth: int) -> nnx.List[Block]:
            return nnx.List(
                Block(units, heads, wide, softcap=softcap, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
                for _ in range(depth)
            )

        self.spatial_blocks, self.temporal_blocks = blocks(spatial_depth), blocks(temporal_depth)
        self.auxiliary_blocks = blocks(auxiliary_depth)
        self.spatial_norm = LayerNorm(units, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
        self.temporal_norm = LayerNorm(units, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
        self.pool = (
            NormedPooling(units, heads, wide // heads, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
            if pooling == "attention"
            else None
        )
        spatial, temporal, auxiliary = (
            tuple(f"{part}_{number + 1}" for number in range(depth))
            for part, depth in (
                ("spatial", spatial_depth),
                ("temporal", temporal_depth),
                ("auxiliary", auxiliary_depth),
            )
        )
        self.stage_names = (*spatial, *temporal, "patch_grid", *auxiliary, *(("pooled",) if self.pool else ()))

    @property
    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        return {"name": self.name, **stored_settings(self.settings, _LATER)}

    @property
    def summary(self) -> str:
        """A few words for people."""
        return (
            f"VideoPrism of {self.depths[0]} spatial and {self.depths[1]} temporal blocks, {self.embedding_size} wide"
        )

    def __call__(self, images: jax.Array) -> Encoding:
        """Chunks (B, T, H, W, C), uint8 or in 0..255, to vectors (B, D) float32 and the stages.

        Raises:
          ValueError: the array is not five-dimensional, has another number of channels, or frames smaller than a patch.
        """
        if images.ndim != 5 or images.shape[-1] != self.channels:
            raise ValueError(
                f"chunks must have shape (B, T, H, W, {self.channels}) for this {self.name}, got {images.shape}"
            )
        batch, time = images.shape[:2]
        frames = jnp.repeat(images, 3, axis=-1) if self.channels == 1 else images
        patches = patches_of(self._normalise(frames.reshape(batch * time, *frames.shape[2:])), self.patch_size)
        _, height, width, _ = patches.shape
        places = height * width
        stages: dict[str, jax.Array] = {}

        x = self.patches(patches).reshape(batch * time, places, -1) + self._places(height, width)  # (B * T, h * w, D)
        x = self._run("spatial", self.spatial_blocks, x, stages, lambda x: x.reshape(batch, time, places, -1))
        x = self.spatial_norm(x).reshape(batch, time, places, -1)
        x = x.transpose(0, 2, 1, 3).reshape(batch * places, time, -1) + self._times(time)  # (B * h * w, T, D)
        x = self._run("temporal", self.temporal_blocks, x, stages, lambda x: x.reshape(batch, places, time, -1))
        x = self.temporal_norm(x).reshape(batch, height, width, time, -1).transpose(0, 3, 1, 2, 4)
        stages["patch_grid"] = x  # (B, T, h, w, D)
        if self.pool is None:
            return Encoding(jnp.mean(x, axis=(1, 2, 3), dtype=jnp.float32), stages)
        x = x.reshape(batch, time * places, -1)
        x = self._run("auxiliary", self.auxiliary_blocks, x, stages, lambda x: x)
        stages["pooled"] = self.pool(x)
        return Encoding(stages["pooled"].astype(jnp.float32), stages)

    def _run(
        self,
        name: str,
        blocks: nnx.List[Block],
        x: jax.Array,
        stages: dict[str, jax.Array],
        shown: Callable[[jax.Array], jax.Array],
    ) -> jax.Array:
        after = run_blocks(blocks, x)
        stages.update((f"{name}_{number}", shown(x)) for number, x in enumerate(after, start=1))
        return after[-1] if after else x

    def _places(self, height: int, width: int) -> jax.Array:
        """Positions of patches, (1, h * w, D)."""
        side = round(len(self.spatial_positions[...]) ** 0.5)
        grid = self.spatial_positions[...].reshape(side, side, -1)
        return self._as_tokens(resized_grid(grid, height, width, method="bilinear-antialias"))

    def _times(self, time: int) -> jax.Array:
        """Positions of frames, (1, T, D)."""
        return self._as_tokens(
            resized_grid(self.temporal_positions[...][:, None], time, 1, method="bilinear-antialias")
        )

    def _as_tokens(self, grid: jax.Array) -> jax.Array:
        return grid.reshape(1, -1, grid.shape[-1]).astype(self.dtype)
