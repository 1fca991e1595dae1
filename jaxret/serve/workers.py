"""Threads that work beside the event loop, so that it answers at once whatever they do."""

from __future__ import annotations

import asyncio
import collections
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from jaxret.serve.errors import ApiError

__all__ = ["Task", "Workers"]

Result = TypeVar("Result")


class Task(Generic[Result]):
    """Work that waits for a thread.

    Attributes:
      result: a future of the event loop that handed it in.
    """

    def __init__(self, work: Callable[[], Result]):
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Result] = self.loop.create_future()

    def run(self) -> None:
        """Do the work, in a thread, and tell the event loop."""
        try:
            found, error = self.work(), None
        except BaseException as raised:  # whatever it is belongs to the request that wanted it
            found, error = None, raised

        def tell() -> None:
            if self.result.done():
                return
            if error is not None:
                self.result.set_exception(error)
            else:
                self.result.set_result(found)  # type: ignore[arg-type]

        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(tell)


class Workers:
    """Some threads and a bounded line of tasks before them.

    The threads end with the program, whatever they do: a decoder or kernel under way does not hold it up.

    Args:
      name: of the threads, for debuggers.
      threads: how many.
      waiting: tasks in line at most.
    """

    def __init__(self, name: str, threads: int, waiting: int):
        self._waiting = waiting
        self._line: collections.deque[Task[Any]] = collections.deque()
        self._ready = threading.Condition()
        self._running = 0
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, work: Callable[[], Result], *, own: bool = False) -> Task[Result]:
        """Put work in line, from the event loop.

        Args:
          work: what to do.
          own: it is the server's and no request's: there is always room for it.

        Raises:
          ApiError: the line is full.
        """
        with self._ready:
            if len(self._line) >= self._waiting and not own:
                raise ApiError(503, f"{len(self._line)} others are waiting already: try again in a moment")
            task = Task(work)
            self._line.append(task)
            self._ready.notify()
        return task

    async def do(self, work: Callable[[], Result]) -> Result:
        """The result of work, which is taken out of the line where its request is gone.

        Raises:
          ApiError: the line is full.
        """
        task = self.submit(work)
        try:
            return await task.result
        except asyncio.CancelledError:
            self.cancel(task)
            raise

    def cancel(self, task: Task[Any]) -> bool:
        """Take a task out of the line; whether it was there still."""
        with self._ready:
            if task not in self._line:
                return False
            self._line.remove(task)
        task.result.cancel()
        return True

    def position(self, task: Task[Any]) -> int:
        """How many are before a task, from 0; 0 as well where it waits no more."""
        with self._ready:
            return self._line.index(task) if task in self._line else 0

    @property
    def busy(self) -> bool:
        """Whether a task runs."""
        return self._running > 0

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._line:
                    self._ready.wait()
                task = self._line.popleft()
                self._running += 1
            try:
                task.run()
            finally:
                with self._ready:
                    self._running -= 1
