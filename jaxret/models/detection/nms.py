"""Non-maximum suppression with a fixed number of results, so that it can be jitted."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.detection.boxes import overlap_table

__all__ = ["suppress_overlaps"]


def suppress_overlaps(
    boxes: jax.Array,
    scores: jax.Array,
    count: int,
    *,
    threshold: float = 0.7,
    least_score: float = -jnp.inf,
    classes: jax.Array | None = None,
) -> jax.Array:
    """Greedy non-maximum suppression: the best box, then the best of those that overlap none taken before.

    Work is `count` times N. To take the first of very many boxes, cut them to the best by `jax.lax.top_k` first, as
    detectors do.

    Args:
      boxes: (N, 4) left, top, right, bottom; N at least 1.
      scores: (N,); a NaN is never taken. Of equal scores the first box is the better.
      count: of results, at least 1; static under `jax.jit`.
      threshold: a box is suppressed if its IoU with one taken before is above this; 0.7 for region proposals.
      least_score: boxes with a smaller score are not taken; -inf is none.
      classes: int (N,); boxes of different classes do not suppress each other. None: all are of one.

    Returns:
      int32 (count,), numbers of boxes, best first, filled up with -1.

    Raises:
      ValueError: a shape does not fit, there is no box, or count is below 1.

    Example:
      >>> boxes = jnp.array([[0.0, 0.0, 9.0, 9.0], [0.0, 1.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0]])
      >>> suppress_overlaps(boxes, jnp.array([0.6, 0.9, 0.3]), 3).tolist()
      [1, 2, -1]
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes) or scores.shape != boxes.shape[:1]:
        raise ValueError(
            f"boxes and scores must be (N, 4) and (N,) with N at least 1, got {boxes.shape}, {scores.shape}"
        )
    if classes is not None and classes.shape != scores.shape:
        raise ValueError(f"classes must have shape {scores.shape}, got {classes.shape}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count!r}")
    taken = jnp.full(count, -1, jnp.int32)
    left = ~jnp.isnan(scores) & (scores >= least_score)

    def take_next(n: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        taken, left = state
        # Among those left; by place, so that a score of -inf can be taken too.
        ranked = jnp.where(left, scores, -jnp.inf)
        best = jnp.argmax(left & (ranked == ranked.max()))
        suppressed = overlap_table(boxes[best][None], boxes)[0] > threshold
        if classes is not None:
            suppressed &= classes == classes[best]
        taken = taken.at[n].set(jnp.where(left.any(), best, -1).astype(jnp.int32))
        return taken, left & ~suppressed & (jnp.arange(len(boxes)) != best)

    return lax.fori_loop(0, count, take_next, (taken, left))[0]
