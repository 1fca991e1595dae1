"""Parts of an index in actors: each maps its own segments, and runs the kernels that a search here runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxret.errors import ConfigError, IndexFormatError
from jaxret.index import MediaIndex, ShardedIndex, part_of, place_of_index
from jaxret.retrieval.on_ray.cluster import RayCluster, answer_of, ended_workers

__all__ = ["sharded_on_ray"]


def sharded_on_ray(index: MediaIndex, cluster: RayCluster) -> ShardedIndex:
    """The index, searched by the workers of a cluster, each with a part of its segments.

    Args:
      index: opened here; its folder, or the URL that it is a copy of, leads every worker to it.
      cluster: where the workers run.

    Raises:
      ConfigError: Ray is not installed, or there is no such cluster.
    """
    return ShardedIndex(index, _Shards(index, cluster))


class ShardWorker:
    """What runs in the process of a shard.

    Args:
      place: folder or URL of the index.
      number, count: which part of how many.
    """

    def __init__(self, place: str | Path, number: int, count: int):
        self._place, self._number, self._count = place, number, count
        self._open()

    def _open(self) -> None:
        self._part = part_of(MediaIndex.open(self._place), self._number, self._count)

    def call(self, revision: int, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """`function` of the part, at a revision of the index; IndexFormatError where it is no more."""
        if self._part.revision != revision:
            self._open()
        if self._part.revision != revision:
            raise IndexFormatError(
                f"{self._place}: is at revision {self._part.revision}, the search of {revision}: refresh the index"
            )
        return function(self._part, *args, **options)


class _Shards:
    """A `PartPool` of actors; one that ended is started again."""

    def __init__(self, index: MediaIndex, cluster: RayCluster):
        self._ray = cluster.connected()
        self._remote = self._ray.remote(ShardWorker).options(**{**cluster.resources(self._ray), "num_gpus": 0})
        self._place, self._count = place_of_index(index.folder), cluster.workers
        self._actors = [self._start(number) for number in range(self._count)]

    def _start(self, number: int) -> Any:
        return self._remote.remote(self._place, number, self._count)

    def map(self, revision: int, function: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:
        """See `PartPool.map`."""
        call = (revision, function, args, options)
        answers = [actor.call.remote(*call) for actor in self._actors]
        return [self._answer(number, answer, call) for number, answer in enumerate(answers)]

    def _answer(self, number: int, answer: Any, call: tuple[Any, ...]) -> Any:
        try:
            return answer_of(self._ray, answer)
        except ended_workers(self._ray):
            self._actors[number] = self._start(number)
        try:
            return answer_of(self._ray, self._actors[number].call.remote(*call))
        except ended_workers(self._ray) as error:
            raise ConfigError(f"a shard of {self._place} ends as often as it is started: {error}") from error
