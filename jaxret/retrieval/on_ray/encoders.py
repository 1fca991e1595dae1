"""Workers that decode and encode media: an item goes out as its number, and comes back as its vectors."""

from __future__ import annotations

import collections
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxret.data.dataset import MediaDataset
from jaxret.errors import ConfigError, MediaError
from jaxret.models.store import load_encoder
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.on_ray.cluster import RayCluster, answer_of, ended_workers
from jaxret.retrieval.systems.base import system_of

__all__ = ["vectors_on_ray"]

Encoded = dict[int, FrameVectors | MediaError]

PART = 16
"""Items that a worker encodes at a time. Those of a part are encoded together whatever of them is wanted, so that a
call that was stopped and is given again makes the same vectors to the last bit."""

_TRIES = 5  # of a part whose worker ends, before its items are tried one by one
_FATAL = "each process that read it ended: it takes too much memory, or crashes the decoder"
_AHEAD = 3  # parts a worker that are under way or wait for those before them

_logger = logging.getLogger(__name__)


def vectors_on_ray(
    dataset: MediaDataset,
    encoder: Path,
    wanted: Sequence[int],
    cluster: RayCluster,
    *,
    threads: int = 2,
    on_item: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, FrameVectors | MediaError]]:
    """Decode and encode items in workers, as `jaxret.retrieval.encode.frame_vectors` does here; results come in order.

    Frames stay in the process that decodes them. A worker that ends is replaced, and what it had under way is done
    again; an item that ends every worker that reads it is told as one that cannot be read.

    Args:
      dataset: the media, whose paths or URLs lead every worker to them.
      encoder: its folder, here; each worker gets a copy.
      wanted: item numbers, ascending.
      cluster: where the workers run.
      threads: files that each decodes at once.
      on_item: called with the number of each item when it is done.

    Raises:
      ConfigError: Ray is not installed, or there is no such cluster.
    """
    ray = cluster.connected()
    parts = collections.defaultdict(list)
    for number in wanted:
        parts[number // PART].append(number)
    if not parts:
        return
    files = ray.put({path.name: path.read_bytes() for path in sorted(encoder.iterdir())})
    media = ray.put(dataset)
    pool = _Pool(ray, cluster, len(dataset), lambda worker: worker.remote(files, media, threads))
    try:
        for numbers, found in pool.in_order(list(parts.items())):
            for number in numbers:
                item = dataset.items[number]
                if on_item is not None:
                    on_item(number)
                yield number, found.get(number) or MediaError(item.path or item.key, _FATAL)
    finally:
        pool.close()


class EncodingWorker:
    """What runs in the process of a worker."""

    def __init__(self, files: dict[str, bytes], dataset: MediaDataset, threads: int):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            self._system = system_of(load_encoder(folder))
        self._dataset, self._threads = dataset, threads

    def process(self) -> int:
        """The number of its process."""
        return os.getpid()

    def encode(self, numbers: Sequence[int]) -> Encoded:
        """The items' vectors, or why there are none."""
        return dict(self._system.vectors(self._dataset, numbers, threads=self._threads))


class _Pool:
    """The workers, and the parts that they have under way."""

    def __init__(self, ray: Any, cluster: RayCluster, size: int, start: Callable[[Any], Any]):
        self._ray = ray
        self._ended = ended_workers(ray)
        self._size = size
        worker = ray.remote(EncodingWorker).options(**cluster.resources(ray))
        self._start = lambda: start(worker)
        self._workers = [self._start() for _ in range(cluster.workers)]
        (ready,), _ = ray.wait([worker.process.remote() for worker in self._workers], num_returns=1)
        try:
            ray.get(ready)
        except self._ended as error:
            self.close()
            raise ConfigError(f"the workers of Ray do not start: {error}") from error

    def in_order(self, parts: Sequence[tuple[int, list[int]]]) -> Iterator[tuple[list[int], Encoded]]:
        """The wanted numbers of each part, with what became of all its items."""
        waiting = collections.deque(range(len(parts)))
        done: dict[int, Encoded] = {}
        busy: dict[Any, tuple[int, int]] = {}  # answer to come -> (place in parts, worker)
        idle = collections.deque(range(len(self._workers)))
        tries: collections.Counter[int] = collections.Counter()
        for place, (_, wanted) in enumerate(parts):
            while place not in done:
                while idle and waiting and waiting[0] < place + _AHEAD * len(self._workers):
                    sent, worker = waiting.popleft(), idle.popleft()
                    busy[self._workers[worker].encode.remote(self._items(parts[sent][0]))] = sent, worker
                (ready,), _ = self._ray.wait(list(busy), num_returns=1)
                sent, worker = busy.pop(ready)
                try:
                    done[sent] = answer_of(self._ray, ready)
                except self._ended:
                    tries[sent] += 1
                    self._replace(worker)
                    if tries[sent] < _TRIES:
                        waiting.appendleft(sent)
                    else:
                        alone = (self._alone(worker, number) for number in self._items(parts[sent][0]))
                        done[sent] = {number: found for one in alone for number, found in one.items()}
                idle.append(worker)
            yield wanted, done.pop(place)

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            self._ray.kill(worker)

    def _items(self, part: int) -> range:
        return range(part * PART, min((part + 1) * PART, self._size))

    def _replace(self, worker: int) -> None:
        _logger.warning("a worker of Ray ended: another takes its place")
        self._workers[worker] = self._start()

    def _alone(self, worker: int, number: int) -> Encoded:
        """One item of a part that ended its workers; nothing where it ends them."""
        for _ in range(2):
            try:
                found: Encoded = answer_of(self._ray, self._workers[worker].encode.remote([number]))
                return found
            except self._ended:
                self._replace(worker)
        return {}
