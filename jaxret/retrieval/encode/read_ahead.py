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

_CHUNKS_AHEAD = 4  # decoded chunks waiting, per item in flight


class _ItemReader(threading.Thread):
    """Decodes the chunks of one item into a short queue; `None` ends it, an exception is passed on."""

    def __init__(self, read: Read, index: int):
        super().__init__(daemon=True, name=f"decode-{index}")
        self._read, self._index = read, index
        self._queue: queue.Queue[Chunk | BaseException | None] = queue.Queue(maxsize=_CHUNKS_AHEAD)
        self._abandoned = threading.Event()

    def run(self) -> None:
        try:
            for chunk in self._read(self._index):
                self._put(chunk)
                if self._abandoned.is_set():
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, thing: Chunk | BaseException | None) -> None:
        while not self._abandoned.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(thing, timeout=0.2)
                return

    def chunks(self) -> Iterator[Chunk]:
        while (thing := self._queue.get()) is not None:
            if isinstance(thing, BaseException):
                raise thing
            yield thing

    def abandon(self) -> None:
        self._abandoned.set()


def read_ahead(read: Read, indices: Sequence[int], *, threads: int = 2) -> Iterator[tuple[int, Chunk | MediaError]]:
    """Yield `(index, chunk)` for every chunk of every item of `indices`, item after item, in time order.

    An item that cannot be read ends with `(index, MediaError)`; what was decoded before it has been yielded.

    Args:
      read: item number to its chunks.
      indices: item numbers, in the order wanted.
      threads: items decoded at once, at least 1; each holds at most a few decoded chunks.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    waiting = deque(indices)
    readers: deque[tuple[int, _ItemReader]] = deque()

    def start_next() -> None:
        if waiting:
            index = waiting.popleft()
            reader = _ItemReader(read, index)
            reader.start()
            readers.append((index, reader))

    try:
        for _ in range(threads):
            start_next()
        while readers:
            index, reader = readers[0]
            try:
                for chunk in reader.chunks():
                    yield index, chunk
            except MediaError as error:
                yield index, error
            readers.popleft()
            start_next()
    finally:
        for _, reader in readers:
            reader.abandon()
