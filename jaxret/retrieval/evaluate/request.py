"""What an evaluation is to measure, on its way from the retriever to the system that does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from jaxret.errors import ConfigError
from jaxret.ranges import MOST_THREADS
from jaxret.rank.validation import check_count

__all__ = ["EvaluationRequest"]

Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True)
class EvaluationRequest:
    """Queries, how they search, and what is counted.

    Attributes:
      queries: of a class that the system is evaluated with; None: the indexed items are queries for each other.
      options: of the search, of a class that the system takes; None for its default.
      settings: of the evaluation (`jaxret.retrieval.evaluate.settings`); None for its defaults.
      ks: cut-offs, of an evaluation by labels; None for its default.
      threads: query files decoded at once, 1 to 1024.
      on_query: called with the number of each region query that is done.

    Raises:
      TypeError, ValueError: `ks` is no sequence of whole numbers of at least 1, or `threads` is out of range.
    """

    queries: Any = None
    options: Any = None
    settings: Any = None
    ks: Sequence[int] | None = None
    threads: int = 2
    on_query: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        check_count(self.threads, "threads", most=MOST_THREADS)
        if self.ks is None:
            return
        if not isinstance(self.ks, Iterable) or isinstance(self.ks, str):
            raise TypeError(f"ks must be a sequence of cut-offs such as (1, 5, 10), got {self.ks!r}")
        object.__setattr__(self, "ks", tuple(check_count(k, "each of ks") for k in self.ks))

    def settings_of(self, kind: type[Settings], *, cut_offs: bool = False) -> Settings:
        """The settings, or the defaults of their class.

        Args:
          kind: the class that the evaluation has.
          cut_offs: whether it has cut-offs.

        Raises:
          ConfigError: they are of another evaluation, or there are cut-offs where it has none.
        """
        if self.settings is not None and not isinstance(self.settings, kind):
            raise ConfigError(f"these queries are evaluated with {kind.__name__}, got {type(self.settings).__name__}")
        if self.ks is not None and not cut_offs:
            raise ConfigError(f"cut-offs (ks, -k) are of an evaluation by labels: leave them out, got {list(self.ks)}")
        return kind() if self.settings is None else self.settings
