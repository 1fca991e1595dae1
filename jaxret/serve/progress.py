"""Things that take a while, and those who wait for news of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

__all__ = ["Watched", "events"]

_SILENCE = 15.0  # seconds after which a comment shows that the connection lives


class Watched:
    """Something whose state changes, told from any thread.

    Attributes:
      loop: the event loop of those who wait.
      state: in one word.
      news: set, once, at the next change.
    """

    FINAL = frozenset(["done", "failed", "cancelled"])

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.state = "waiting"
        self.news = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Whether nothing changes any more."""
        return self.state in self.FINAL

    def tell(self, state: str | None = None) -> None:
        """Tell of a change; a state that is final stays."""
        if state is not None and not self.finished:
            self.state = state
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        rung, self.news = self.news, asyncio.Event()
        rung.set()

    async def wait(self) -> None:
        """Until it is finished."""
        while not self.finished:
            await self.news.wait()


async def events(watched: Watched, describe: Callable[[], Any]) -> AsyncIterator[str]:
    """Server-sent events: a `state` with the description at every change, until it is finished.

    Args:
      watched: what may change.
      describe: gives what JSON can say.
    """
    told = None
    while True:
        news, finished = watched.news, watched.finished
        text = json.dumps(describe())
        if text != told:
            yield f"event: state\ndata: {text}\n\n"
            told = text
        else:
            yield ": still there\n\n"
        if finished:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), _SILENCE)
