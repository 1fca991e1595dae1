"""A small vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929) as a backbone."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.models import Backbone, Encoding, register_backbone
from jaxret.models.base import compute_dtype

PATCH = 8


@register_backbone(image_size=64, stages={"rmac": "block", "words": "block", "detector": "block"})
class TinyViT(Backbone):
    """Patches of 8 x 8 pixels, one block of self-attention, and the mean over the patches.

    Args:
      width: D, of the tokens and the embedding.
      channels: of the images.
      dtype: in which layers compute, float32 or bfloat16.
      rngs: source of the initial weights.
    """

    name: ClassVar[str] = "tiny-vit"
    normalisation: ClassVar[dict[str, Any]] = {"mean": 127.5, "scale": 1 / 127.5}

    def __init__(self, *, width: int = 64, channels: int = 3, dtype: str = "float32", rngs: nnx.Rngs):
        self.embedding_size, self.channels, self.dtype = width, channels, compute_dtype(dtype)
        self.stage_names = ("patches", "block")
        self.patches = nnx.Conv(channels, width, (PATCH, PATCH), strides=PATCH, dtype=self.dtype, rngs=rngs)
        self.norm = nnx.LayerNorm(width, dtype=self.dtype, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, width, dtype=self.dtype, decode=False, deterministic=True, rngs=rngs)

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings that make the same shape again."""
        return {
            "name": self.name,
            "width": self.embedding_size,
            "channels": self.channels,
            "dtype": self.dtype.name,
        }

    def __call__(self, images: jax.Array) -> Encoding:
        """Images (B, H, W, C), uint8, to the embedding (B, D) and the stages."""
        self._check_images(images)
        patches = self.patches(self._normalise(images))  # (B, H/8, W/8, D)
        tokens = patches.reshape(len(images), -1, self.embedding_size)  # (B, N, D)
        tokens = tokens + self.attention(self.norm(tokens))
        stages = {"patches": patches, "block": nnx.relu(tokens).reshape(patches.shape)}
        return Encoding(tokens.mean(axis=1, dtype=jnp.float32), stages)
