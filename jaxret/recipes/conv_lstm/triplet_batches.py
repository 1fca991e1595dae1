"""Batches of several classes with several clips each, as near to a size as the data allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jaxret.data.batches.plans import ClassBatches
from jaxret.errors import ConfigError

__all__ = ["triplet_batches"]


def triplet_batches(
    labels: Sequence[int], batch_size: int, samples_per_class: int, *, devices: int = 1
) -> ClassBatches:
    """Batches for the triplet loss.

    Args:
      labels: the class of each clip, of two classes or more.
      batch_size: at most so many clips, at least 2 `samples_per_class`.
      samples_per_class: of each class; more where there are too few classes to fill a batch, as far as they have clips.
      devices: that share each batch evenly.

    Raises:
      ConfigError: no class has two clips, or the devices can share no batch.

    Example:
      >>> plan = triplet_batches([0] * 9 + [1] * 3, batch_size=16, samples_per_class=4)
      >>> plan.classes_per_batch, plan.samples_per_class
      (2, 8)
    """
    sizes = Counter(labels)
    if max(sizes.values()) < 2:
        raise ConfigError(
            f"the triplet loss needs positives, and each of {len(sizes)} training classes has one clip: add videos, "
            "or make chunk_seconds smaller"
        )
    for classes in range(min(batch_size // samples_per_class, len(sizes)), 1, -1):
        most = max(samples_per_class, min(batch_size // classes, max(sizes.values())))
        for samples in range(most, samples_per_class - 1, -1):
            if classes * samples % devices == 0:
                return ClassBatches(labels, classes, samples)
    raise ConfigError(
        f"no batch of at most {batch_size} clips, {samples_per_class} or more of a class, can be cut evenly over "
        f"{devices} devices: change batch_size or samples_per_class"
    )
