"""Training targets of a detector for an image: which anchors and proposals are objects, a random sample of them.

Shapes are fixed: true boxes are padded, and a sample has as many rows as it may have at most. One image each;
`jax.vmap` makes a batch of it. Nothing here is differentiated.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxret.models.detection.boxes import box_offsets, overlap_table
from jaxret.models.detection.head import OFFSET_SCALE

__all__ = ["AnchorTargets", "RegionTargets", "anchor_targets", "region_targets"]

IGNORED = -1


class AnchorTargets(NamedTuple):
    """Targets of the region proposal network, one an anchor.

    Attributes:
      labels: int32 (N,), 1 object, 0 background, -1 not in the sample.
      offsets: (N, 4) of the true box that the anchor overlaps most; meant where the label is 1, finite everywhere.
    """

    labels: jax.Array
    offsets: jax.Array


class RegionTargets(NamedTuple):
    """A sample of regions, and the targets of the head for each.

    Attributes:
      boxes: (R, 4).
      labels: int32 (R,), 1 .. K the class, 0 background, -1 a place without a region.
      offsets: (R, 4) divided by `OFFSET_SCALE`, of the true box; meant where the label is above 0, finite everywhere.
    """

    boxes: jax.Array
    labels: jax.Array
    offsets: jax.Array


def anchor_targets(
    anchors: jax.Array,
    boxes: jax.Array,
    labels: jax.Array,
    image_size: jax.Array,
    key: jax.Array,
    *,
    count: int = 256,
    positive_share: float = 0.5,
    overlaps: tuple[float, float] = (0.3, 0.7),
) -> AnchorTargets:
    """Label anchors, and sample them (Ren et al. 2015, section 3.1.2 and 3.1.3).

    An anchor is an object if its IoU with a true box is at least the upper of `overlaps`, or if no anchor overlaps that
    true box more; background if its IoU with every true box is below the lower; else it is ignored. Anchors
    count whose centres lie in the image: the paper leaves out those that cross its border, and small images would
    then have few.

    Args:
      anchors: (N, 4).
      boxes: (G, 4) true boxes, padded.
      labels: int (G,), above 0 for a true box, 0 for padding.
      image_size: (2,) height and width of the image in pixels, which may end before the anchors do.
      key: of the sample.
      count: of the sample, at most.
      positive_share: of the sample that objects take at most; background fills the rest.
      overlaps: IoU up to which an anchor is background, and from which it is an object.
    """
    negative_overlap, positive_overlap = overlaps
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    counted = (centres >= 0).all(axis=1) & (centres < image_size[None, ::-1].astype(centres.dtype)).all(axis=1)
    table = jnp.where((labels > 0)[None], overlap_table(anchors, boxes), 0)  # (N, G)
    table = jnp.where(counted[:, None], table, 0)
    nearest, highest = table.argmax(axis=1), table.max(axis=1)
    best = ((table == table.max(axis=0, keepdims=True)) & (table > 0)).any(axis=1)
    positive = counted & ((highest >= positive_overlap) | best)
    negative = counted & ~positive & (highest < negative_overlap)
    for_positive, for_negative = jax.random.split(key)
    chosen = _sample(positive, int(count * positive_share), for_positive)
    background = _sample(negative, count - chosen.sum(), for_negative)
    sampled = jnp.where(chosen, 1, jnp.where(background, 0, IGNORED)).astype(jnp.int32)
    return AnchorTargets(sampled, _offsets(boxes, labels, nearest, anchors))


def region_targets(
    proposals: jax.Array,
    valid: jax.Array,
    boxes: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    *,
    count: int = 128,
    positive_share: float = 0.25,
    positive_overlap: float = 0.5,
) -> RegionTargets:
    """Label proposals and the true boxes themselves, and sample them (Girshick 2015, section 2.3).

    A region is of the class of the true box that it overlaps most, if by an IoU of at least `positive_overlap`, else
    background (also below 0.1, where the paper leaves it out: most backgrounds of a sparse image are there).

    Args:
      proposals: (P, 4). valid: bool (P,), which of them are there.
      boxes: (G, 4) true boxes, padded.
      labels: int (G,), their classes 1 .. K, 0 for padding.
      key: of the sample.
      count: R, of the sample, at most P + G.
      positive_share: of the sample that objects take at most; background fills the rest.
      positive_overlap: IoU.
    """
    regions = jnp.concatenate([proposals, boxes])
    there = jnp.concatenate([valid, labels > 0])
    table = jnp.where((labels > 0)[None], overlap_table(regions, boxes), 0)  # (P + G, G)
    nearest = table.argmax(axis=1)
    positive = there & (table.max(axis=1) >= positive_overlap)
    for_positive, for_negative = jax.random.split(key)
    objects = _sample(positive, int(count * positive_share), for_positive)
    background = _sample(there & ~positive, count - objects.sum(), for_negative)
    # Objects first, then background, then places that stay empty.
    kinds, chosen = jax.lax.top_k(jnp.where(objects, 2, jnp.where(background, 1, 0)), min(count, len(regions)))
    classes = jnp.where(kinds == 2, labels[nearest[chosen]], jnp.where(kinds == 1, 0, IGNORED))
    offsets = _offsets(boxes, labels, nearest[chosen], regions[chosen]) / jnp.array([OFFSET_SCALE])
    return RegionTargets(regions[chosen], classes.astype(jnp.int32), offsets)


def _sample(mask: jax.Array, count: int | jax.Array, key: jax.Array) -> jax.Array:
    """A random choice of at most `count` of what `mask` (N,) holds, as a mask."""
    order = jnp.argsort(jnp.where(mask, jax.random.uniform(key, mask.shape), 2.0))
    place = jnp.zeros(len(mask), jnp.int32).at[order].set(jnp.arange(len(mask), dtype=jnp.int32))
    return mask & (place < count)


def _offsets(boxes: jax.Array, labels: jax.Array, nearest: jax.Array, regions: jax.Array) -> jax.Array:
    """Offsets of the nearest true boxes from the regions; 0 where either has no area or there is no true box."""
    meant = (labels[nearest] > 0) & ((regions[:, 2:] - regions[:, :2]) > 0).all(axis=1)
    unit = jnp.array([[0.0, 0.0, 1.0, 1.0]])
    true, seen = (jnp.where(meant[:, None], one, unit) for one in (boxes[nearest], regions))
    return box_offsets(true, seen)
