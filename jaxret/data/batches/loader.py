"""Training input: batches read in parallel ahead of time, resumable to the exact batch (on grain).

The pipeline is generic: `read(item, rng)` returns a dict of arrays, be it a decoded clip, an image or a
cached feature, and the batches stack them. Which items make up a batch is a `BatchPlan`'s business.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from jaxret.data.batches.plans import BatchPlan
from jaxret.errors import ConfigError, MediaError

__all__ = ["Batch", "TrainingInput", "read_in_parallel"]

Batch = dict[str, npt.NDArray[Any]]
Read = Callable[[int, np.random.Generator], dict[str, Any]]

_REPLACEMENTS = 16  # items tried in place of a broken one before the data set itself is at fault
_PREFETCH_BATCHES = 2

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class TrainingInput(Iterator[Batch]):
    """An endless stream of batches for training.

    Everything random follows from (seed, step, row), never from timing: the number of threads does not
    change a batch, and a stream restored from `get_state` goes on with exactly the batches that an
    uninterrupted one would have given.

    An item whose `read` raises MediaError is replaced by another that the plan allows, the same one each
    time, and noted in `broken`.

    Args:
      read: `read(item, rng)` gives one item as a dict of arrays or numbers, of the same shapes for every
        item. It is called from several threads.
      plan: which items make up each batch.
      seed: at least 0.
      threads: reading threads; 0 reads in the caller's thread, best for arrays in memory.
      prefetch: items read ahead; None is two batches.
      process_index, process_count: this process's place among those that share the training; each reads
        its own equal, contiguous part of every batch.

    Attributes:
      batch_size: items in each batch that this process gets.
      steps_per_epoch: batches that make about one pass over the items.
      step: batches given so far, counting those before a restore.
      broken: item number -> reason, for items that had to be replaced.

    Raises:
      ConfigError: the batch does not divide among the processes, or a number is out of range.
      MediaError: from `next`, when an item and everything tried in its place cannot be read.

    Example:
      >>> from jaxret.data.batches.plans import ShuffledBatches
      >>> read = lambda item, rng: {"square": np.float32(item**2)}
      >>> with TrainingInput(read, ShuffledBatches(count=10, batch_size=4), seed=0, threads=0) as batches:
      ...     next(batches)["square"].shape
      (4,)
    """

    def __init__(
        self,
        read: Read,
        plan: BatchPlan,
        *,
        seed: int = 0,
        threads: int = 2,
        prefetch: int | None = None,
        process_index: int = 0,
        process_count: int = 1,
    ):
        if seed < 0:
            raise ConfigError(f"seed must be at least 0, got {seed!r}")
        if threads < 0:
            raise ConfigError(f"threads must be at least 0, got {threads!r}")
        if not 0 <= process_index < process_count:
            raise ConfigError(f"process_index must lie in 0..{process_count - 1}, got {process_index!r}")
        if plan.batch_size % process_count:
            raise ConfigError(f"batch_size {plan.batch_size} does not divide among {process_count} processes")
        # grain imports JAX, which nothing else in this room does.
        import grain

        self.batch_size = plan.batch_size // process_count
        self.steps_per_epoch = plan.steps_per_epoch
        self.step = 0
        self.broken: dict[int, str] = {}
        self._read, self._plan, self._seed = read, plan, seed
        self._first_row = process_index * self.batch_size
        self._lock = threading.Lock()
        self._planned: dict[int, npt.NDArray[np.int64]] = {}
        if prefetch is None:
            prefetch = _PREFETCH_BATCHES * self.batch_size
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(prefetch, threads))
        rows = grain.MapDataset.range(sys.maxsize).map(self._read_row)
        self._rows = iter(rows.to_iter_dataset(options).batch(self.batch_size, batch_fn=_stack))

    def __next__(self) -> Batch:
        batch: Batch = next(self._rows)
        self.step += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values; save it with the model."""
        return {
            "step": self.step,
            "seed": self._seed,
            "batch_size": self._plan.batch_size,
            "steps_per_epoch": self.steps_per_epoch,
            "rows": self._rows.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
          ConfigError: the state is of a stream with another seed, batch size or number of items.
        """
        for name, ours in self.get_state().items():
            if name not in ("step", "rows") and state.get(name) != ours:
                raise ConfigError(f"the saved input has {name} {state.get(name)!r}, this one {ours!r}")
        self.step = state["step"]
        self._rows.set_state(state["rows"])

    def close(self) -> None:
        """Stop the reading threads."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read_row(self, position: int) -> dict[str, Any]:
        """Row `position` of this process's stream."""
        step, row = divmod(position, self.batch_size)
        row += self._first_row
        item = int(self._items(step)[row])
        wanted = item
        last = ""
        for attempt in range(_REPLACEMENTS + 1):
            rng = np.random.default_rng([self._seed, 3, step, row, attempt])
            try:
                return self._read(item, rng)
            except MediaError as error:
                last = str(error)
                with self._lock:
                    self.broken[item] = last
                item = self._plan.replacement(wanted, rng)
        told = f"it and {_REPLACEMENTS} others in its place cannot be read, the last: {last}"
        raise MediaError(f"item {wanted}", told)

    def _items(self, step: int) -> npt.NDArray[np.int64]:
        """Batch `step` of the plan, worked out once for all its rows."""
        with self._lock:
            items = self._planned.get(step)
            if items is None:
                items = self._planned[step] = self._plan.batch(step, self._seed)
                for old in [number for number in self._planned if abs(number - step) > 8]:
                    del self._planned[old]
            return items


def _stack(rows: list[dict[str, Any]]) -> Batch:
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


def read_in_parallel(
    function: Callable[[Argument], Result], arguments: Iterable[Argument], *, threads: int = 2, ahead: int = 4
) -> Iterator[Result]:
    """`map(function, arguments)` on several threads: results in order, at most `ahead` waiting.

    For indexing and evaluation, where decoding runs beside the encoder. An exception of `function` is
    raised where its result would have come; so return errors that must not stop the rest.

    Args:
      function: called from `threads` threads at once.
      arguments: consumed as results are taken, so it may be endless.
      threads, ahead: at least 1.

    Example:
      >>> list(read_in_parallel(abs, [-2, 1, -3]))
      [2, 1, 3]
    """
    if threads < 1 or ahead < 1:
        raise ValueError(f"threads and ahead must be at least 1, got {threads!r} and {ahead!r}")
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read")
    waiting: deque[Future[Result]] = deque()
    try:
        for argument in arguments:
            waiting.append(pool.submit(function, argument))
            if len(waiting) >= max(ahead, threads):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
