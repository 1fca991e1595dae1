"""Decode ahead of the encoder: several items at once, handed on in order, in bounded memory."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from jaxret.data.readers import Chunk
from jaxret.errors import MediaError

__all__ = ["Read", "read_ahead"]

Read = Callable[[int], Iterable[Chunk]]
"""Reads the chunks of an item, by its index."""

_CHUNKS_AHEAD = 4  # decoded chunks of an item that wait
_BYTES_AHEAD = 48 << 20  # pixels that wait, beyond which no further item is begun


class _Item:
    """An item under way: its decoded chunks, then None or the error that ended it."""

    def __init__(self, index: int):
        self.index = index
        self.chunks: queue.Queue[Chunk | BaseException | None] = queue.Queue(maxsize=_CHUNKS_AHEAD)


class _Readers:
    """Threads that take item after item, as long as few bytes wait."""

    def __init__(self, read: Read, indices: Sequence[int], threads: int):
        self._read = read
        self._to_begin = deque(indices)
        self._begun: deque[_Item] = deque()
        self._bytes = 0
        self._abandoned = False
        self._changed = threading.Condition()
        for number in range(min(threads, len(self._to_begin))):
            threading.Thread(target=self._work, daemon=True, name=f"decode-{number}").start()

    def _next(self) -> _Item | None:
        """The next item to decode, once there is room for it."""
        with self._changed:
            # An item that the consumer waits for must never wait for the consumer.
            self._changed.wait_for(lambda: self._abandoned or self._bytes < _BYTES_AHEAD or not self._begun)
            if self._abandoned or not self._to_begin:
                return None
            item = _Item(self._to_begin.popleft())
            self._begun.append(item)
            self._changed.notify_all()
            return item

    def _work(self) -> None:
        while (item := self._next()) is not None:
            try:
                for chunk in self._read(item.index):
                    with self._changed:
                        self._bytes += chunk.pixels.nbytes
                    if not self._put(item, chunk):
                        return
                self._put(item, None)
            except BaseException as error:
                self._put(item, error)

    def _put(self, item: _Item, thing: Chunk | BaseException | None) -> bool:
        while not self._abandoned:
            with contextlib.suppress(queue.Full):
                item.chunks.put(thing, timeout=0.2)
                return True
        return False

    def items(self) -> Iterator[_Item]:
        """The items in order, each when it is begun."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._begun or not self._to_begin)
                if not self._begun:
                    return
                item = self._begun[0]
            yield item
            with self._changed:
                self._begun.popleft()
                self._changed.notify_all()

    def chunks(self, item: _Item) -> Iterator[Chunk]:
        """The chunks of an item in order of time; the error that ended it."""
        while (thing := item.chunks.get()) is not None:
            if isinstance(thing, BaseException):
                raise thing
            with self._changed:
                self._bytes -= thing.pixels.nbytes
                self._changed.notify_all()
            yield thing

    def abandon(self) -> None:
        """Let the threads end."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()


def read_ahead(read: Read, indices: Sequence[int], *, threads: int = 2) -> Iterator[tuple[int, Chunk | MediaError]]:
    """Yield `(index, chunk)` for every chunk of every item of `indices`, item after item, in time order.

    An item that cannot be read ends with `(index, MediaError)`; what was decoded before it has been yielded. While the
    consumer is busy, items are decoded until 48 MB of pixels wait.

    Args:
      read: item number to its chunks.
      indices: item numbers, in the order wanted.
      threads: items decoded at once, at least 1; each holds at most a few decoded chunks.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    readers = _Readers(read, indices, threads)
    try:
        for item in readers.items():
            try:
                for chunk in readers.chunks(item):
                    yield item.index, chunk
            except MediaError as error:
                yield item.index, error
    finally:
        readers.abandon()
