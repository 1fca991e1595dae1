"""The head of Fast R-CNN on pooled regions (Girshick 2015, arXiv:1504.08083), and the detections that follow."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.models.detection.boxes import clip_boxes, moved_boxes
from jaxret.models.detection.nms import suppress_overlaps
from jaxret.models.layers.init import he_normal, normal

__all__ = ["OFFSET_SCALE", "Detections", "RegionHead", "best_detections"]

OFFSET_SCALE = (0.1, 0.1, 0.2, 0.2)
"""The head predicts offsets divided by these, about their spread among good proposals, as in the authors' program."""


class RegionHead(nnx.Module):
    """Two dense layers, then scores of the background and K classes, and for each class where the object lies.

    Args:
      in_size: numbers of a pooled region, rows * columns * channels.
      units: of the dense layers; the paper has 4,096 with VGG16.
      classes: K, without the background.
      dtype: compute dtype.
      rngs: source of the initial weights.
    """

    def __init__(self, in_size: int, units: int, classes: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.classes = classes
        self.dense_1 = nnx.Linear(in_size, units, kernel_init=he_normal, dtype=dtype, rngs=rngs)
        self.dense_2 = nnx.Linear(units, units, kernel_init=he_normal, dtype=dtype, rngs=rngs)
        # Deviations of the paper, section 2.3.
        self.logits = nnx.Linear(units, classes + 1, kernel_init=normal(0.01), dtype=dtype, rngs=rngs)
        self.offsets = nnx.Linear(units, 4 * classes, kernel_init=normal(0.001), dtype=dtype, rngs=rngs)

    def __call__(self, regions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Regions (B, R, rows, columns, C) to logits (B, R, 1 + K), background first, and offsets (B, R, K, 4)."""
        batch, count = regions.shape[:2]
        x = nnx.relu(self.dense_1(regions.reshape(batch, count, -1)))
        x = nnx.relu(self.dense_2(x))
        offsets = self.offsets(x).reshape(batch, count, self.classes, 4)
        return self.logits(x).astype(jnp.float32), offsets.astype(jnp.float32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Detections:
    """Objects found in images, best first; a JAX pytree.

    Attributes:
      boxes: (..., D, 4) left, top, right, bottom in pixels; of what is not valid zeros.
      scores: (..., D), the probability of the class; of what is not valid 0.
      classes: int32 (..., D), 0 .. K - 1; of what is not valid -1.
      valid: bool (..., D).
    """

    boxes: jax.Array
    scores: jax.Array
    classes: jax.Array
    valid: jax.Array


def best_detections(
    logits: jax.Array,
    offsets: jax.Array,
    proposals: jax.Array,
    valid: jax.Array,
    image_size: jax.Array,
    *,
    count: int,
    threshold: float = 0.5,
    least_score: float = 0.05,
) -> Detections:
    """The detections of one image: every class moves its boxes, and suppresses overlaps among its own.

    Args:
      logits: (R, 1 + K). offsets: (R, K, 4) divided by `OFFSET_SCALE`. proposals: (R, 4). valid: bool (R,).
      image_size: (2,) height and width of the image in pixels.
      count: D, of results over all classes.
      threshold: IoU above which a box is suppressed by a better one of its class.
      least_score: probability below which nothing is detected.
    """
    regions, classes = offsets.shape[:2]
    probabilities = jax.nn.softmax(logits)[:, 1:]
    scores = jnp.where(valid[:, None], probabilities, -jnp.inf).reshape(-1)
    boxes = clip_boxes(moved_boxes(offsets * jnp.array([[OFFSET_SCALE]]), proposals[:, None]), image_size).reshape(
        -1, 4
    )
    labels = jnp.tile(jnp.arange(classes), regions)
    taken = suppress_overlaps(
        boxes, scores, count, threshold=threshold, least_score=max(least_score, 0.0), classes=labels
    )
    found = taken >= 0
    return Detections(
        boxes=jnp.where(found[:, None], boxes[taken], 0),
        scores=jnp.where(found, scores[taken], 0),
        classes=jnp.where(found, labels[taken], -1).astype(jnp.int32),
        valid=found,
    )
