"""Which items make up training batch number n: pure functions of (seed, n), so a run resumes anywhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from jaxret.errors import ConfigError

__all__ = ["BatchPlan", "ClassBatches", "ShuffledBatches"]

Items = npt.NDArray[np.int64]


class BatchPlan(Protocol):
    """What the pipeline needs to know about batches."""

    @property
    def batch_size(self) -> int:
        """Items of a batch over all processes."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in about one pass over the items."""

    def batch(self, step: int, seed: int) -> Items:
        """Item numbers of batch `step`, int64 (batch_size,)."""
        ...

    def replacement(self, item: int, rng: np.random.Generator) -> int:
        """An item that may stand in for `item`, which cannot be read."""
        ...


class ShuffledBatches:
    """Plain batches: every epoch is a new permutation of all items, laid end to end.

    Args:
      count: number of items, at least 1.
      batch_size: items a batch, at least 1; batches may run over the end of an epoch.

    Raises:
      ConfigError: count or batch_size below 1.
    """

    def __init__(self, count: int, batch_size: int):
        if count < 1:
            raise ConfigError(f"count must be at least 1 item, got {count!r}")
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size!r}")
        self.count = count
        self.batch_size = batch_size
        self.steps_per_epoch = -(-count // batch_size)

    def batch(self, step: int, seed: int) -> Items:
        """Item numbers of batch `step`."""
        places = step * self.batch_size + np.arange(self.batch_size)
        epochs, within = np.divmod(places, self.count)
        items = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(epochs):
            order = np.random.default_rng([seed, 0, int(epoch)]).permutation(self.count)
            items[epochs == epoch] = order[within[epochs == epoch]]
        return items

    def replacement(self, item: int, rng: np.random.Generator) -> int:
        """Any item."""
        return int(rng.integers(self.count))


class ClassBatches:
    """Batches of P classes with K items each, as metric learning wants them (Hermans et al., 2017).

    Classes come in permutations, so all are seen equally often; within a class K different items are
    drawn at random, with repeats only where the class has fewer than K.

    Args:
      labels: the class of each item; items whose label is None are left out.
      classes_per_batch: P, at least 1 and at most the number of classes.
      samples_per_class: K, at least 1.

    Raises:
      ConfigError: P or K is out of range.

    Example:
      >>> plan = ClassBatches(["a", "a", "b", "c", "c"], classes_per_batch=2, samples_per_class=2)
      >>> plan.batch(0, seed=0).shape, plan.steps_per_epoch
      ((4,), 2)
    """

    def __init__(self, labels: Sequence[Hashable | None], classes_per_batch: int, samples_per_class: int):
        members: dict[Hashable, list[int]] = defaultdict(list)
        for number, label in enumerate(labels):
            if label is not None:
                members[label].append(number)
        if not 1 <= classes_per_batch <= len(members):
            raise ConfigError(f"classes_per_batch must lie in 1..{len(members)}, got {classes_per_batch!r}")
        if samples_per_class < 1:
            raise ConfigError(f"samples_per_class must be at least 1, got {samples_per_class!r}")
        self._members = [np.array(numbers, np.int64) for numbers in members.values()]
        self._class_of = {int(item): row for row, numbers in enumerate(self._members) for item in numbers}
        self.classes_per_batch = classes_per_batch
        self.samples_per_class = samples_per_class
        self.batch_size = classes_per_batch * samples_per_class
        self.steps_per_epoch = -(-len(self._class_of) // self.batch_size)
        self._batches_a_round = len(self._members) // classes_per_batch

    def batch(self, step: int, seed: int) -> Items:
        """Item numbers of batch `step`: K of the first class, K of the second, ..."""
        turn, place = divmod(step, self._batches_a_round)
        order = np.random.default_rng([seed, 1, turn]).permutation(len(self._members))
        chosen = order[place * self.classes_per_batch : (place + 1) * self.classes_per_batch]
        rng = np.random.default_rng([seed, 2, step])
        return np.concatenate([self._draw(self._members[row], rng) for row in chosen])

    def _draw(self, members: Items, rng: np.random.Generator) -> Items:
        """K items, each as often as any other can be helped."""
        whole, rest = divmod(self.samples_per_class, len(members))
        return np.concatenate([np.repeat(members, whole), rng.permutation(members)[:rest]])

    def replacement(self, item: int, rng: np.random.Generator) -> int:
        """Another item of the same class."""
        return int(rng.choice(self._members[self._class_of[item]]))
