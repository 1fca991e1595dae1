"""The region proposal network of Faster R-CNN (Ren et al. 2015, arXiv:1506.01497, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxret.models.detection.boxes import clip_boxes, moved_boxes
from jaxret.models.detection.nms import suppress_overlaps
from jaxret.models.layers.conv import ConvBias
from jaxret.models.layers.init import normal
from jaxret.models.layers.padded import Inside

__all__ = ["Proposals", "RegionProposalNetwork", "best_of_levels", "best_proposals"]

_DEVIATION = 0.01  # of the initial weights of the last layers, as in the paper
_LEAST = float(np.finfo(np.float32).min)  # -inf is "no box" here, and suppression would take it too


class RegionProposalNetwork(nnx.Module):
    """A 3x3 convolution, then of every anchor how likely it covers an object, and where that lies.

    An anchor has one logit here; the paper's two scores and their softmax are the same function.

    Args:
      in_channels: C of the map.
      channels: of the convolution; the paper has 512 with VGG16.
      anchors: A, anchors at a cell.
      dtype: compute dtype.
      rngs: source of the initial weights.
    """

    def __init__(self, in_channels: int, channels: int, anchors: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        last = normal(_DEVIATION)
        self.shared = ConvBias(in_channels, channels, window=(3, 3), dtype=dtype, rngs=rngs)
        self.objectness = nnx.Linear(channels, anchors, kernel_init=last, dtype=dtype, rngs=rngs)
        self.offsets = nnx.Linear(channels, 4 * anchors, kernel_init=last, dtype=dtype, rngs=rngs)

    def __call__(self, maps: jax.Array, inside: Inside | None = None) -> tuple[jax.Array, jax.Array]:
        """Maps (B, H, W, C) to logits (B, H W A) and offsets (B, H W A, 4), float32, in the order of `anchor_boxes`;
        `inside`: of padded images.
        """
        shared = self.shared(maps, inside)
        logits = self.objectness(shared).reshape(len(maps), -1)
        offsets = self.offsets(shared).reshape(len(maps), -1, 4)
        return logits.astype(jnp.float32), offsets.astype(jnp.float32)


class Proposals(NamedTuple):
    """The regions of an image that most likely hold an object, best first.

    Attributes:
      boxes: (..., P, 4) left, top, right, bottom in pixels; of what is not valid zeros.
      logits: (..., P), of being an object; of what is not valid -inf.
      valid: bool (..., P); an image may have fewer than P.
    """

    boxes: jax.Array
    logits: jax.Array
    valid: jax.Array


def best_proposals(
    logits: jax.Array,
    offsets: jax.Array,
    anchors: jax.Array,
    image_size: jax.Array,
    *,
    count: int,
    before: int,
    threshold: float = 0.7,
    least_side: float = 8,
) -> Proposals:
    """The proposals of one image: boxes are clipped to it, tiny ones dropped, and overlaps suppressed.

    Args:
      logits: (N,). offsets: (N, 4), from anchors (N, 4).
      image_size: (2,) height and width of the image in pixels; anchors may lie beyond it, where a batch is padded.
      count: P, of results. before: boxes of the highest logits that suppression looks at.
      threshold: IoU above which a box is suppressed by a better one.
      least_side: boxes that are narrower or lower than this many pixels are dropped.

    Example:
      >>> anchors = jnp.array([[0.0, 0.0, 9.0, 9.0], [0.0, 1.0, 9.0, 9.0], [20.0, 0.0, 40.0, 9.0]])
      >>> found = best_proposals(
      ...     jnp.array([0.6, 0.9, 0.3]), jnp.zeros((3, 4)), anchors, jnp.array([10, 30]), count=3, before=3
      ... )
      >>> found.boxes.tolist(), found.valid.tolist()
      ([[0.0, 1.0, 9.0, 9.0], [20.0, 0.0, 30.0, 9.0], [0.0, 0.0, 0.0, 0.0]], [True, True, False])
    """
    boxes, large = _large_boxes(offsets, anchors, image_size, least_side)
    best, chosen = jax.lax.top_k(jnp.where(large, logits, -jnp.inf), min(before, len(logits)))
    return _suppressed(boxes[chosen], best, count, threshold)


def best_of_levels(
    levels: Sequence[tuple[jax.Array, jax.Array, jax.Array]],
    image_size: jax.Array,
    *,
    count: int,
    before: int,
    threshold: float = 0.7,
    least_side: float = 8,
) -> Proposals:
    """As `best_proposals`, from several maps: boxes suppress those of their own map alone, and of each map those of the
    highest logits are taken before tiny ones are dropped, as torchvision does.

    Args:
      levels: of each map logits (N,), offsets (N, 4) and anchors (N, 4).
      image_size: (2,) height and width of the image in pixels.
      count: P, of results. before: boxes of each map that suppression looks at.
      threshold: IoU above which a box is suppressed by a better one.
      least_side: boxes that are narrower or lower than this many pixels are dropped.
    """
    kept = []
    for logits, offsets, anchors in levels:
        best, chosen = jax.lax.top_k(logits, min(before, len(logits)))
        boxes, large = _large_boxes(offsets[chosen], anchors[chosen], image_size, least_side)
        kept.append((boxes, jnp.where(large, best, -jnp.inf)))
    boxes, best = (jnp.concatenate(parts) for parts in zip(*kept, strict=True))
    level = np.repeat(np.arange(len(kept), dtype=np.int32), [len(of_level) for _, of_level in kept])
    return _suppressed(boxes, best, count, threshold, jnp.asarray(level))


def _large_boxes(
    offsets: jax.Array, anchors: jax.Array, image_size: jax.Array, least_side: float
) -> tuple[jax.Array, jax.Array]:
    """Boxes (N, 4) clipped to the image, and which are large enough."""
    boxes = clip_boxes(moved_boxes(offsets, anchors), image_size)
    return boxes, (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= least_side


def _suppressed(
    boxes: jax.Array, logits: jax.Array, count: int, threshold: float, classes: jax.Array | None = None
) -> Proposals:
    taken = suppress_overlaps(boxes, logits, count, threshold=threshold, least_score=_LEAST, classes=classes)
    valid = taken >= 0
    return Proposals(jnp.where(valid[:, None], boxes[taken], 0), jnp.where(valid, logits[taken], -jnp.inf), valid)
