"""The parts of an index as another process would have them: what goes in and comes out is pickled."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from jaxret.errors import IndexFormatError
from jaxret.index import MediaIndex, part_of


class PartsHere:
    """A `PartPool` in this process."""

    def __init__(self, index: MediaIndex, count: int):
        self.parts = [part_of(MediaIndex.open(index.folder), number, count) for number in range(count)]
        self.calls = 0

    def map(self, revision: int, function: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:
        """See `PartPool.map`."""
        self.calls += 1
        if any(part.revision != revision for part in self.parts):
            raise IndexFormatError("another revision")
        function, args, options = pickle.loads(pickle.dumps((function, args, options)))
        return [pickle.loads(pickle.dumps(self._answer(function, part, args, options))) for part in self.parts]

    def _answer(self, function, part, args, options):
        try:
            return function(part, *args, **options)
        except Exception as error:
            raise pickle.loads(pickle.dumps(error)) from None
