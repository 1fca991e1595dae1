"""Which items make up training batch number n: pure functions of (seed, n), so a run resumes anywhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from jaxret.errors import ConfigError

__all__ = ["BatchPlan", "ChallengingBatches", "ClassBatches", "ShuffledBatches", "TwiceBatches"]

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


class ChallengingBatches:
    """Batches that are half hard items and half others, for a second pass over what has been learned badly.

    The hard ones come in permutations, so all are seen equally often. Of the others, each class among a batch's hard
    items is given one, where it has any, so that the hard ones have a positive; the rest are drawn at random, one of
    another class first where the hard ones are all of one, so that they have a negative.

    Args:
      labels: the class of each item.
      hard: numbers of the hard items.
      batch_size: even, at least 4.

    Raises:
      ConfigError: the batch size is out of range, a number is none of an item, or all items are hard or none.

    Example:
      >>> plan = ChallengingBatches(["a", "a", "a", "b", "b", "b"], hard=[1, 3], batch_size=4)
      >>> items = plan.batch(0, seed=0)
      >>> sorted(items[:2].tolist()), sorted(plan.labels[n] for n in items[2:])
      ([1, 3], ['a', 'b'])
    """

    def __init__(self, labels: Sequence[Hashable], hard: Sequence[int] | Items, batch_size: int):
        if batch_size < 4 or batch_size % 2:
            raise ConfigError(
                f"batches that are half hard items need an even batch_size of at least 4, got {batch_size}"
            )
        self.hard = np.unique(np.asarray(hard, np.int64))
        self.labels = list(labels)
        if not 0 < len(self.hard) < len(self.labels):
            raise ConfigError(f"hard must name some of {len(self.labels)} items but not all, got {len(self.hard)}")
        if self.hard[0] < 0 or self.hard[-1] >= len(self.labels):
            raise ConfigError(f"hard must lie in 0..{len(self.labels) - 1}, got {self.hard[0]}..{self.hard[-1]}")
        self.others = np.setdiff1d(np.arange(len(self.labels)), self.hard)
        self.batch_size = batch_size
        self.steps_per_epoch = -(-len(self.labels) // batch_size)
        self._hard_ones = ShuffledBatches(len(self.hard), batch_size // 2)
        rows = {label: row for row, label in enumerate(dict.fromkeys(self.labels))}
        self._classes = np.array([rows[label] for label in self.labels], np.int64)

    def batch(self, step: int, seed: int) -> Items:
        """Item numbers of batch `step`, the hard half first."""
        half = self.batch_size // 2
        hard = self.hard[self._hard_ones.batch(step, seed)]
        rng = np.random.default_rng([seed, 4, step])
        others = rng.permutation(self.others)
        classes = self._classes[others]
        among = list(dict.fromkeys(self._classes[hard].tolist()))
        wanted = [np.flatnonzero(classes == one)[:1] for one in among[:half]]
        if len(among) == 1:
            wanted.append(np.flatnonzero(classes != among[0])[:1])
        first = np.concatenate(wanted)
        order = np.concatenate([first, np.setdiff1d(np.arange(len(others)), first)])
        return np.concatenate([hard, np.resize(others[order], half)])  # repeated where there are fewer

    def replacement(self, item: int, rng: np.random.Generator) -> int:
        """Another item of the same class."""
        return int(rng.choice(np.flatnonzero(self._classes == self._classes[item])))


class TwiceBatches:
    """Batches of another plan with every item twice, the second time in the second half, to be read as another view.

    Args:
      plan: of half as many items.

    Example:
      >>> plan = TwiceBatches(ShuffledBatches(count=4, batch_size=2))
      >>> items = plan.batch(0, seed=0)
      >>> plan.batch_size, plan.steps_per_epoch, (items[:2] == items[2:]).all().item()
      (4, 1, True)
    """

    def __init__(self, plan: BatchPlan):
        self._plan = plan
        self.batch_size = 2 * plan.batch_size
        self.steps_per_epoch = -(-plan.steps_per_epoch // 2)  # an epoch shows as many views as there are items

    def batch(self, step: int, seed: int) -> Items:
        """Item numbers of batch `step`."""
        return np.tile(self._plan.batch(step, seed), 2)

    def replacement(self, item: int, rng: np.random.Generator) -> int:
        """What the other plan allows; the two views of a broken item may become two items."""
        return self._plan.replacement(item, rng)
