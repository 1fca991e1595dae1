"""The plainest baseline of a training that starts from random weights: what the pixels find without any network.

The frames of a chunk, averaged into a coarse grid of cells and over time, are its vector. They are read on the way of
the untrained encoder, so that nothing is decoded twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxret.data.dataset import MediaDataset
from jaxret.models.backbones.small_convnet import grid_average
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.clip_media import embed_items
from jaxret.retrieval.encode import FrameVectors

__all__ = ["GRID", "embed_beside_pixels"]

GRID = 16
"""Cells along each side of a frame."""


class _BesidePixels:
    """A `FrameEncoder`: the vectors of an encoder, and behind each the cells of its frame.

    Args:
      encoder: what is embedded by it.
    """

    def __init__(self, encoder: VideoEncoder):
        self._encoder = encoder
        self.preprocessing = encoder.preprocessing
        self.unit = encoder.unit

    def encode_frames(self, frames: ArrayLike) -> jax.Array:
        """(B, H, W, C) uint8, or (B, T, H, W, C) for the unit chunk, to (B, D + GRID * GRID * C) float32."""
        pixels = jnp.asarray(frames)
        return jnp.concatenate([self._encoder.encode_frames(pixels), _cells(pixels)], axis=-1)


@jax.jit
def _cells(pixels: jax.Array) -> jax.Array:
    """(B, H, W, C) or (B, T, H, W, C) to (B, GRID * GRID * C) in 0..1, averaged over cells and over time."""
    images = pixels.astype(jnp.float32) / 255.0
    if images.ndim == 5:
        images = images.mean(axis=1)
    return grid_average(images, GRID).reshape(len(images), -1)


def embed_beside_pixels(
    dataset: MediaDataset, encoder: VideoEncoder, indices: Sequence[int], *, threads: int
) -> tuple[dict[int, FrameVectors], dict[int, FrameVectors]]:
    """Frame vectors of an encoder, and the cells of the same frames in the place of its vectors.

    Args:
      dataset: the media.
      encoder: any.
      indices: item numbers; those that cannot be read are left out of both.
      threads: items decoded at once.

    Returns:
      Two dicts by item number: vectors (chunks, T, D), and cells (chunks, T, GRID * GRID * C) in 0..1, row by row.
    """
    joined = embed_items(dataset, _BesidePixels(encoder), indices, threads=threads)[0]
    size = encoder.frame_embedding_size
    return (
        {n: dataclasses.replace(item, vectors=item.vectors[..., :size]) for n, item in joined.items()},
        {n: dataclasses.replace(item, vectors=item.vectors[..., size:]) for n, item in joined.items()},
    )
