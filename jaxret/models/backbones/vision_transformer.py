"""The Vision Transformer (Dosovitskiy et al. 2021, arXiv:2010.11929) with the switches of its published descendants.

DINOv2 (arXiv:2304.07193) with and without registers (arXiv:2309.16588), DINOv3 (arXiv:2508.10104), SigLIP
(arXiv:2303.15343), SigLIP 2 (arXiv:2502.14786) and CLIP (arXiv:2103.00020) are settings of this one class;
`jaxret.models.foundation` reads them, and their weights, from the published files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import (
    Backbone,
    Encoding,
    check_backbone_settings,
    check_sizes,
    compute_dtype,
    stored_settings,
)
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import glorot_uniform, normal
from jaxret.models.layers.transformer import LayerNorm
from jaxret.models.registry import register_backbone
from jaxret.models.transformer import AttentionPooling, Block, resized_grid, rotary_angles, run_blocks
from jaxret.models.transformer.block import ActivationName
from jaxret.models.transformer.packed import PackedPatches, packed_positions, patches_of
from jaxret.models.transformer.positions import Interpolation
from jaxret.preprocessing import SIDE_STEP

__all__ = ["VisionTransformer", "normalised"]

Pooling = Literal["class", "attention", "mean"]
Positions = Literal["learned", "rotary"]

_LATER: dict[str, Any] = {"most_patches": 0}
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@register_backbone(image_size=224, stages=dict.fromkeys(("rmac", "words", "convolutions", "detector"), "patch_grid"))
class VisionTransformer(Backbone):
    """Patches to tokens, positions, blocks, a norm, and the pooled vector; images of any size from one patch.

    What an image has beyond whole patches, on the right and below, is not seen.

    Args:
      patch_size: p, side of a patch in pixels.
      image_size: side of the images that the learned positions were made for, at least p.
      units: D, width of the tokens.
      depth: blocks.
      heads: of the attention.
      wide: units of the MLPs between; None: 4 D.
      pooling: the vector of the image: "class", the class token after the last norm; "attention", a head that looks at
        all patches; "mean", their mean.
      registers: tokens beside the class token that stand for nothing.
      positions: "learned", added before the blocks and interpolated for images of other sizes, or "rotary".
      interpolation: of learned positions.
      position_offset: see `jaxret.models.transformer.resized_grid`.
      rotary_base: of the periods of rotary positions.
      first_norm: a norm before the blocks, too.
      patch_bias: whether the embedding of patches has a bias.
      layer_scale, key_bias, activation, gated, epsilon: see `jaxret.models.transformer.Block`.
      most_patches: N, of an image that keeps its shape, so that images of all shapes are encoded by one program; for
        learned positions without class token or registers. 0: one program a shape.
      projection: size of the vector after a last linear layer; 0: there is none.
      mean, deviation: of R, G and B, in 0..1, by which pixels are normalised.
      lora_rank: of the adapters of queries and values, see `jaxret.models.lora`; 0: there are none.
      checkpoint: in training keep the tokens between blocks alone, and compute the rest twice.
      channels: 3 for RGB; 1 for grey, which is repeated as R, G and B.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Attributes:
      stage_names: `block_1` ... (B, T, D), tokens in the order class, registers, patches; after the last norm `cls`
        (B, D), where there is one, and `patch_grid` (B, H / p, W / p, D); `pooled` (B, D), before a projection.

    Raises:
      ConfigError: a setting is unknown or out of range.

    Example:
      >>> net = VisionTransformer(patch_size=16, units=24, depth=2, heads=3, rngs=nnx.Rngs(0))
      >>> encoding = jax.eval_shape(net, jnp.zeros((2, 64, 96, 3), jnp.uint8))
      >>> encoding.embedding.shape, encoding.stages["patch_grid"].shape
      ((2, 24), (2, 4, 6, 24))
    """

    name: ClassVar[str] = "vision-transformer"

    def __init__(
        self,
        *,
        patch_size: int = 16,
        image_size: int = 224,
        units: int = 384,
        depth: int = 12,
        heads: int = 6,
        wide: int | None = None,
        pooling: Pooling = "class",
        registers: int = 0,
        positions: Positions = "learned",
        interpolation: Interpolation = "bicubic",
        position_offset: float = 0.0,
        rotary_base: float = 100.0,
        first_norm: bool = False,
        patch_bias: bool = True,
        layer_scale: bool = False,
        key_bias: bool = True,
        activation: ActivationName = "gelu",
        gated: bool = False,
        epsilon: float = 1e-6,
        most_patches: int = 0,
        projection: int = 0,
        mean: Sequence[float] = _IMAGENET_MEAN,
        deviation: Sequence[float] = _IMAGENET_DEVIATION,
        lora_rank: int = 0,
        checkpoint: bool = False,
        channels: int = 3,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        wide = 4 * units if wide is None else wide
        check_backbone_settings(channels=channels, classes=0)
        check_sizes(patch_size=patch_size, units=units, depth=depth, heads=heads, wide=wide)
        for setting, value, known in (
            ("pooling", pooling, get_args(Pooling)),
            ("positions", positions, get_args(Positions)),
            ("interpolation", interpolation, get_args(Interpolation)),
        ):
            if value not in known:
                raise ConfigError(f"{setting} must be one of {', '.join(known)}, got {value!r}")
        if image_size < patch_size:
            raise ConfigError(f"image_size must be at least patch_size {patch_size}, got {image_size}")
        if units % heads or (positions == "rotary" and units // heads % 4):
            times = " of 4 numbers each, or a multiple of them" if positions == "rotary" else ""
            raise ConfigError(f"units must be a multiple of the {heads} heads{times}, got {units}")
        for setting, count in (
            ("registers", registers),
            ("most_patches", most_patches),
            ("projection", projection),
            ("lora_rank", lora_rank),
        ):
            if count < 0:
                raise ConfigError(f"{setting} must be at least 0, got {count}")
        packs = pooling != "class" and positions == "learned" and not registers
        if most_patches and not (packs and interpolation == "bilinear-antialias"):
            raise ConfigError(
                f"most_patches={most_patches} is for learned positions, interpolated by bilinear-antialias, without a "
                f"class token or registers, got {positions} positions, {interpolation}, pooling {pooling!r} and "
                f"{registers} registers"
            )
        if len(mean) != 3 or len(deviation) != 3 or not min(deviation) > 0:
            raise ConfigError(f"mean and deviation must be 3 numbers each, the latter above 0, got {mean}, {deviation}")
        settings: dict[str, Any] = {
            "patch_size": patch_size,
            "image_size": image_size,
            "units": units,
            "depth": depth,
            "heads": heads,
            "wide": wide,
            "pooling": pooling,
            "registers": registers,
            "positions": positions,
            "interpolation": interpolation,
            "position_offset": position_offset,
            "rotary_base": rotary_base,
            "first_norm": first_norm,
            "patch_bias": patch_bias,
            "layer_scale": layer_scale,
            "key_bias": key_bias,
            "activation": activation,
            "gated": gated,
            "epsilon": epsilon,
            "most_patches": most_patches,
            "projection": projection,
            "mean": tuple(mean),
            "deviation": tuple(deviation),
            "lora_rank": lora_rank,
            "checkpoint": checkpoint,
            "channels": channels,
            "dtype": dtype,
        }
        self.settings = tuple(settings.items())  # hashable, as what a compiled function depends on must be
        self.mean, self.deviation = tuple(mean), tuple(deviation)
        self.channels, self.dtype = channels, compute_dtype(dtype)
        self.patch_size, self.heads, self.depth, self.units = patch_size, heads, depth, units
        self.pooling, self.rotary_base, self.checkpoint = pooling, rotary_base, checkpoint
        self.interpolation, self.position_offset, self.most_patches = interpolation, position_offset, most_patches
        self.embedding_size = projection or units
        self.side_step = SIDE_STEP if SIDE_STEP % patch_size == 0 else 2 * patch_size

        grid = image_size // patch_size
        has_class = pooling == "class"
        small = normal(0.02)
        self.patches = nnx.Linear(
            patch_size * patch_size * 3,
            units,
            use_bias=patch_bias,
            kernel_init=glorot_uniform,
            dtype=self.dtype,
            rngs=rngs,
        )
        self.class_token = nnx.Param(small(rngs.params(), (units,))) if has_class else None
        self.register_tokens = nnx.Param(small(rngs.params(), (registers, units))) if registers else None
        learned = positions == "learned"
        places = grid * grid + has_class
        self.positions = nnx.Param(small(rngs.params(), (places, units))) if learned else None
        self.first_norm = LayerNorm(units, epsilon=epsilon, dtype=self.dtype, rngs=rngs) if first_norm else None
        self.blocks = nnx.List(
            Block(
                units,
                heads,
                wide,
                layer_scale=layer_scale,
                key_bias=key_bias,
                lora_rank=lora_rank,
                activation=activation,
                gated=gated,
                epsilon=epsilon,
                dtype=self.dtype,
                rngs=rngs,
            )
            for _ in range(depth)
        )
        self.last_norm = LayerNorm(units, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
        self.pool = (
            AttentionPooling(units, heads, wide, activation=activation, epsilon=epsilon, dtype=self.dtype, rngs=rngs)
            if pooling == "attention"
            else None
        )
        self.project = (
            nnx.Linear(units, projection, use_bias=False, kernel_init=glorot_uniform, dtype=self.dtype, rngs=rngs)
            if projection
            else None
        )
        blocks = tuple(f"block_{number + 1}" for number in range(depth))
        self.stage_names = (*blocks, *(("cls",) if has_class else ()), "patch_grid", "pooled")

    @property
    def config(self) -> dict[str, Any]:
        """See `Backbone.config`."""
        listed = ((name, list(value) if isinstance(value, tuple) else value) for name, value in self.settings)
        return {"name": self.name, **stored_settings(listed, _LATER)}

    @property
    def normalisation(self) -> dict[str, Any]:  # type: ignore[override]  # of the instance, not of the class
        """How pixels in 0..255 become the first layer's input."""
        return {"mean": [255 * m for m in self.mean], "scale": [1 / (255 * d) for d in self.deviation]}

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"a vision transformer of {self.depth} blocks, {self.units} wide, patches of {self.patch_size} pixels"

    @property
    def packing(self) -> tuple[int, int] | None:
        """See `Backbone.packing`."""
        return (self.patch_size, self.most_patches) if self.most_patches else None

    def __call__(self, images: jax.Array | PackedPatches) -> Encoding:
        """See `Backbone.__call__`; images of any size from one patch.

        Of `PackedPatches` the stage `patch_grid` is (B, N, D), row by row, with padding that means nothing.

        Raises:
          ValueError: the images are smaller than a patch.
        """
        if isinstance(images, PackedPatches):
            return self._encode_packed(images)
        self._check_images(images)
        patches = patches_of(self._normalise(images), self.patch_size)  # (B, h, w, p * p * 3)
        batch, height, width, _ = patches.shape
        tokens = self.patches(patches).reshape(batch, height * width, self.units)
        x = self._with_tokens(tokens, height, width)  # (B, T, D)
        if self.first_norm is not None:
            x = self.first_norm(x)
        angles = None
        if self.positions is None:
            angles = rotary_angles(height, width, self.units // self.heads, base=self.rotary_base)
        x, stages = self._run(x, angles)
        patches = x[:, x.shape[1] - height * width :]
        stages["patch_grid"] = patches.reshape(batch, height, width, -1)
        if self.class_token is not None:
            pooled = stages["cls"] = x[:, 0]
        else:
            pooled = jnp.mean(patches, axis=1) if self.pool is None else self.pool(patches)
        return self._projected(pooled, stages)

    def _encode_packed(self, packed: PackedPatches) -> Encoding:
        pixels = packed.pixels.reshape(*packed.pixels.shape[:2], -1, self.channels)  # (B, N, p * p, C)
        assert self.positions is not None  # packed images are of models with learned positions alone
        places = packed_positions(self._grid_of_positions(self.positions[...]), packed)
        x = self.patches(self._normalise(pixels).reshape(*pixels.shape[:2], -1)) + places.astype(self.dtype)
        if self.first_norm is not None:
            x = self.first_norm(x)
        counted = packed.counted
        x, stages = self._run(x, mask=counted[:, None, None])
        stages["patch_grid"] = x
        if self.pool is not None:
            pooled = self.pool(x, mask=counted[:, None, None])
        else:
            shares = counted.astype(x.dtype)[..., None]
            pooled = jnp.sum(x * shares, axis=1) / jnp.sum(shares, axis=1)
        return self._projected(pooled, stages)

    def _run(
        self, x: jax.Array, angles: jax.Array | None = None, mask: jax.Array | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Tokens through the blocks and the last norm, and what is after each block."""
        after = run_blocks(self.blocks, x, angles=angles, mask=mask, checkpoint=self.checkpoint)
        stages = dict(zip(self.stage_names, after, strict=False))
        return self.last_norm(after[-1]), stages

    def _normalise(self, images: jax.Array) -> jax.Array:
        return normalised(images, self.normalisation).astype(self.dtype)

    def _with_tokens(self, patches: jax.Array, height: int, width: int) -> jax.Array:
        """Positions added, then class token, registers and patches in a row: (B, h * w, D) to (B, T, D)."""
        before = [] if self.class_token is None else [self.class_token[...][None]]
        if self.positions is not None:
            places = self.positions[...]
            if before:
                before = [before[0] + places[:1]]
                places = places[1:]
            grid = self._grid_of_positions(places)
            places = resized_grid(grid, height, width, method=self.interpolation, offset=self.position_offset)
            patches = patches + places.reshape(1, height * width, -1).astype(self.dtype)
        if self.register_tokens is not None:
            before.append(self.register_tokens[...])
        if not before:
            return patches
        tokens = jnp.concatenate(before).astype(self.dtype)[None]  # (1, 1 + R, D)
        return jnp.concatenate([jnp.broadcast_to(tokens, (len(patches), *tokens.shape[1:])), patches], axis=1)

    @staticmethod
    def _grid_of_positions(places: jax.Array) -> jax.Array:
        side = round(len(places) ** 0.5)
        return places.reshape(side, side, -1)

    def _projected(self, pooled: jax.Array, stages: dict[str, jax.Array]) -> Encoding:
        stages["pooled"] = pooled
        embedding = pooled if self.project is None else self.project(pooled)
        return Encoding(embedding.astype(jnp.float32), stages)


def normalised(images: jax.Array, normalisation: dict[str, list[float]]) -> jax.Array:
    """Images (..., H, W, 1 or 3) in 0..255 to (pixel - mean) * scale, (..., H, W, 3) float32; grey as R, G and B."""
    rgb = jnp.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    pixels = rgb.astype(jnp.float32)
    mean, scale = (per_channel(jnp.asarray(normalisation[key], jnp.float32), pixels) for key in ("mean", "scale"))
    return (pixels - mean) * scale
