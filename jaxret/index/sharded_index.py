"""An index whose parts are searched side by side, each by its own segments; answers are merged by (distance, id)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxret.data.rows import Rows
from jaxret.index.media_index import MediaIndex
from jaxret.index.opened_index import OpenedIndex
from jaxret.index.search.media_search_result import MediaSearchResult
from jaxret.index.search.request import SearchRequest
from jaxret.index.snapshot import Snapshot
from jaxret.rank.validation import check_real

__all__ = ["PartPool", "ShardedIndex", "part_of"]

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

_BELOW_ALL = -2.0
"""A threshold of PAR that every cosine is above."""


class PartPool(Protocol):
    """Whatever holds the parts of an index: processes here or on other machines."""

    def map(self, revision: int, function: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:
        """`function(part, *args, **options)` of each part, in order of the parts.

        Args:
          revision: of the index that is wanted.
          function: of a module, so that another process finds it.
          args, options: passed on.

        Raises:
          IndexFormatError: the index is of another revision by now.
        """
        ...


class ShardedIndex(MediaIndex):
    """A `MediaIndex` whose searches are answered by its parts; all else is as of one that is searched here.

    Args:
      index: the same, opened here.
      pool: that holds its parts.
    """

    def __init__(self, index: MediaIndex, pool: PartPool):
        super().__init__(index.folder, index._snapshot, index.lock_timeout)
        self._pool = pool

    def each_part(
        self,
        function: Callable[Concatenate[OpenedIndex, Parameters], Answer],
        *args: Parameters.args,
        **options: Parameters.kwargs,
    ) -> list[Answer]:
        """See `OpenedIndex.each_part`."""
        return self._pool.map(self.revision, function, *args, **options)

    def _find(self, request: SearchRequest) -> MediaSearchResult:
        threshold = request.options.min_cosine
        if threshold is not None:  # of the k nearest of all parts those above it, not of each part's
            threshold = check_real(threshold, "min_cosine")
            below_all = dataclasses.replace(request.options, min_cosine=_BELOW_ALL)
            request = dataclasses.replace(request, options=below_all)
        answers = self.each_part(_search_part, request)
        merged = _nearest(answers, request.k)
        if threshold is not None:
            merged = _above(merged, threshold)
        numbers = [number for number in sorted(set(merged.ids.ravel().tolist())) if number >= 0]
        found = dict(zip(numbers, self.items.take(numbers), strict=True))
        return MediaSearchResult(merged.ids, merged.distances, merged.starts, merged.ends, merged.cosines, found)


def part_of(index: OpenedIndex, number: int, count: int) -> OpenedIndex:
    """One of `count` parts of an index, of segments that follow each other, about the same bytes in each.

    Its items and their ids are those of the whole index; its rows are its own, so its searches find those alone.

    Args:
      index: the whole.
      number: of the part, 0 .. count-1.
      count: of all parts; there are parts without rows where it is above the number of segments.
    """
    return OpenedIndex(index.folder, _SnapshotPart(index._snapshot, _segments_of(index._snapshot, number, count)))


class _SnapshotPart(Snapshot):
    """The items of a snapshot, and the rows of some of its segments."""

    def __init__(self, whole: Snapshot, numbers: Collection[int]):
        super().__init__(whole.root, whole.manifest, whole.segments)
        self._numbers = frozenset(numbers)

    def segment_rows(self, space: str) -> Iterator[tuple[int, Rows]]:
        """See `Snapshot.segment_rows`."""
        for number in sorted(self._numbers):
            rows = self.segments[number].rows(space)
            if rows is not None:
                yield number, rows


def _segments_of(whole: Snapshot, number: int, count: int) -> list[int]:
    sizes = np.array([sum(file.size for file in segment.entry.files) for segment in whole.segments], np.int64)
    middles = np.cumsum(sizes) - sizes / 2
    parts = np.minimum((middles * count / max(1, sizes.sum())).astype(np.int64), count - 1)
    return np.flatnonzero(parts == number).tolist()


def _search_part(part: OpenedIndex, request: SearchRequest) -> MediaSearchResult:
    return dataclasses.replace(part._find(request), found={})


def _nearest(answers: Sequence[MediaSearchResult], k: int) -> MediaSearchResult:
    """The k nearest of all answers, by (distance, id); places without an item last."""
    ids = np.concatenate([answer.ids for answer in answers], axis=1)
    distances = np.concatenate([answer.distances for answer in answers], axis=1)
    order = np.lexsort((ids, distances, ids < 0), axis=1)[:, :k]

    def ordered(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.take_along_axis(np.concatenate(parts, axis=1), order, axis=1)

    cosines = [answer.cosines for answer in answers if answer.cosines is not None]
    return MediaSearchResult(
        ordered([answer.ids for answer in answers]),
        ordered([answer.distances for answer in answers]),
        ordered([answer.starts for answer in answers]),
        ordered([answer.ends for answer in answers]),
        ordered(cosines) if cosines else None,
        {},
    )


def _above(found: MediaSearchResult, threshold: float) -> MediaSearchResult:
    """What PAR keeps, in its order; see `jaxret.index.search.media_search`."""
    assert found.cosines is not None
    kept = (found.cosines > np.float32(threshold)) & (found.ids >= 0)
    order = np.argsort(~kept, axis=1, kind="stable")
    kept = np.take_along_axis(kept, order, axis=1)

    def packed(values: NDArray[Any], missing: float) -> NDArray[Any]:
        return np.where(kept, np.take_along_axis(values, order, axis=1), values.dtype.type(missing))

    return MediaSearchResult(
        packed(found.ids, -1),
        packed(found.distances, np.inf),
        packed(found.starts, np.nan),
        packed(found.ends, np.nan),
        packed(found.cosines, -np.inf),
        {},
    )
