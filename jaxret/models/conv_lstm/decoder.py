"""The decoders of `jaxret.models.conv_lstm.autoencoder`: from one vector a frame back to the frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.models.base import check_sizes, compute_dtype
from jaxret.models.conv_lstm.blocks import DecoderBlock, SequenceLayer, make_layer
from jaxret.models.conv_lstm.encoder import run_block
from jaxret.models.layers.feature_map import per_channel
from jaxret.models.layers.init import glorot_uniform
from jaxret.models.layers.transformer import LayerNorm, TransformerLayer, sinusoidal_positions

__all__ = ["ConvLstmDecoder", "VectorTransformer"]


class VectorTransformer(nnx.Module):
    """A transformer over the vectors of the frames of a clip, added to them: the UTB of system 2.

    Decisions: the transformer of M3 is one, before the dense layer of the decoder, since the paper applies it "to the
    embedding vectors" and gives one size; the three blocks after it are URB, which upsample. Its 3 heads have 171
    numbers each, projected back to the width of 512, for 512 / 3 is not whole. The residual connection is that of the
    block R, whose place it takes.

    Args:
      size: E, length of a vector.
      layers, heads, units, feed_forward: of the transformer; a head has units / heads numbers, rounded up.
      dtype: compute dtype.
      rngs: source of the initial weights.

    Raises:
      ConfigError: a size is below 1.

    Example:
      >>> transformer = VectorTransformer(10, layers=2, heads=3, units=16, feed_forward=32, rngs=nnx.Rngs(0))
      >>> jax.eval_shape(transformer, jnp.ones((2, 5, 10))).shape
      (2, 5, 10)
    """

    def __init__(
        self,
        size: int,
        *,
        layers: int = 5,
        heads: int = 3,
        units: int = 512,
        feed_forward: int = 2048,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_sizes(size=size, layers=layers, heads=heads, units=units, feed_forward=feed_forward)
        self.units, self.heads, self.feed_forward = units, heads, feed_forward
        self.dtype = jnp.dtype(dtype)
        self.project = nnx.Linear(size, units, kernel_init=glorot_uniform, dtype=self.dtype, rngs=rngs)
        self.layers = nnx.List(
            TransformerLayer(
                units,
                heads=heads,
                head_size=math.ceil(units / heads),
                feed_forward=feed_forward,
                dtype=self.dtype,
                rngs=rngs,
            )
            for _ in range(layers)
        )
        self.norm = LayerNorm(units, dtype=self.dtype, rngs=rngs)
        self.project_back = nnx.Linear(units, size, kernel_init=glorot_uniform, dtype=self.dtype, rngs=rngs)

    def __call__(self, vectors: jax.Array) -> jax.Array:
        """(B, T, E) to (B, T, E)."""
        hidden = self.project(vectors.astype(self.dtype))
        positions = sinusoidal_positions(hidden.shape[1], self.units + self.units % 2)[:, : self.units]
        hidden = hidden + positions.astype(self.dtype)[None]
        for layer in self.layers:
            hidden = layer(hidden, jnp.ones(hidden.shape[:2], bool))
        return vectors + self.project_back(self.norm(hidden)).astype(vectors.dtype)


class ConvLstmDecoder(nnx.Module):
    """Vectors of frames (B, T, E) to images or volumes (B, T, *spatial, C): a dense layer, blocks, a last layer.

    Decision: a ConvLSTM's outputs lie in -1..1, standardised pixels do not; a scale (2 at first) and a shift of each
    channel follow the last one.

    Args:
      embedding_size: E.
      map_shape: (*spatial', C') of the maps that the dense layer gives; each block doubles the spatial axes.
      out_channels: C.
      blocks: how many.
      channels: of the blocks' outputs.
      layer: what the blocks are built from: "conv-lstm" for URB, "convolution" for UQB.
      last_layer: "conv-lstm" in the paper's models, a convolution in the one they are compared with.
      transformer: settings of a `VectorTransformer` before the dense layer, or None.
      remat: as of `ConvLstmEncoder`.
      dtype: compute dtype, "float32" or "bfloat16".
      rngs: source of the initial weights.

    Raises:
      ConfigError: a setting is unknown or out of range.

    Example:
      >>> decoder = ConvLstmDecoder(10, (2, 3, 4), 3, channels=6, rngs=nnx.Rngs(0))
      >>> jax.eval_shape(decoder, jnp.zeros((2, 5, 10))).shape
      (2, 5, 16, 24, 3)
    """

    def __init__(
        self,
        embedding_size: int,
        map_shape: Sequence[int],
        out_channels: int,
        *,
        blocks: int = 3,
        channels: int = 32,
        layer: SequenceLayer = "conv-lstm",
        last_layer: SequenceLayer = "conv-lstm",
        transformer: dict[str, int] | None = None,
        remat: bool = False,
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ):
        check_sizes(embedding_size=embedding_size, out_channels=out_channels, blocks=blocks, channels=channels)
        self.map_shape = tuple(map_shape)
        self.remat = remat
        self.dtype = compute_dtype(dtype)
        shared: dict[str, Any] = {
            "spatial_axes": len(self.map_shape) - 1,
            "keep_gates": not remat,
            "dtype": self.dtype,
            "rngs": rngs,
        }
        self.transformer = (
            None
            if transformer is None
            else VectorTransformer(embedding_size, dtype=self.dtype, rngs=rngs, **transformer)
        )
        self.dense = nnx.Linear(
            embedding_size, math.prod(self.map_shape), kernel_init=glorot_uniform, dtype=self.dtype, rngs=rngs
        )
        sizes = (self.map_shape[-1], *(channels,) * blocks)
        self.blocks = nnx.List(
            DecoderBlock(make_layer(layer, into, channels, **shared), rngs=rngs) for into in sizes[:-1]
        )
        self.last = make_layer(last_layer, channels, out_channels, **shared)
        self.scale = nnx.Param(jnp.full(out_channels, 2.0, jnp.float32))  # not weakly typed: steps would compile twice
        self.shift = nnx.Param(jnp.zeros(out_channels))

    def __call__(self, vectors: jax.Array) -> jax.Array:
        """(B, T, E) to (B, T, *spatial, C) float32."""
        if self.transformer is not None:
            vectors = self.transformer(vectors)
        maps = self.dense(vectors.astype(self.dtype)).reshape(*vectors.shape[:2], *self.map_shape)
        for block in self.blocks:
            maps = run_block(block, maps, remat=self.remat)
        outputs = run_block(self.last, maps, remat=self.remat).astype(jnp.float32)
        return outputs * per_channel(self.scale[...], outputs) + per_channel(self.shift[...], outputs)
