"""What a system of retrieval is: it describes media as rows of an index, and compares a query with them.

A system belongs to the kind of its encoder. One from outside this package subclasses `System` under
`register_system`; its indexes then open, grow, are searched and evaluated as all others are.
"""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from jaxret.data.dataset import MediaDataset
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError, MediaError, unknown_name_message
from jaxret.index import MediaIndex, Space, Terms
from jaxret.retrieval.comparison import RegionComparison, SequenceComparison
from jaxret.retrieval.encode import FrameVectors, frame_vectors
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.feedback import Feedback
from jaxret.retrieval.hit import Hit, Span

if TYPE_CHECKING:
    from jaxret.retrieval.evaluate.report import Report

__all__ = ["OfRevision", "System", "no_words", "register_system", "system_of"]

_SYSTEMS: dict[str, type[System]] = {}
_MODULES = {
    "frames-then-sequence": "vectors",
    "images-and-text": "vectors",
    "faster-rcnn": "regions",
    "faster-rcnn-pyramid": "regions",
    "regional-maxima": "regions",
    "grid-patches": "grid",
    "map-words": "words",
    "sift-words": "words",
}
"""By kind of encoder the module beside this one that registers its system: one is imported, not all."""

Prepared = TypeVar("Prepared")
SystemClass = TypeVar("SystemClass", bound="type[System]")


class System(abc.ABC):
    """One way to describe media and to search them.

    Args:
      encoder: with a `kind` that is registered, and `preprocessing`; see `jaxret.models.store` for what else it must
        have to be saved with an index.

    Attributes:
      title: what an index of this system holds, for messages.
      options: classes of search options that it takes, the default one first.
      terms: of spaces of records, whose lists an index keeps for its searches, see `MediaIndex.keep_lists`.
    """

    title: ClassVar[str]
    options: ClassVar[tuple[type[Any], ...]]

    def __init__(self, encoder: Any):
        self.encoder = encoder
        self.terms: dict[str, Terms] = {}

    @property
    def queries(self) -> tuple[type[Any], ...]:
        """Classes of queries that the system is evaluated with; none without an evaluation."""
        return ()

    @abc.abstractmethod
    def spaces(self, *, frames: bool = True) -> list[Space]:
        """The spaces of a new index.

        Args:
          frames: keep single frames.

        Raises:
          ConfigError: the system cannot do without them.
        """

    @abc.abstractmethod
    def rows(self, vectors: Mapping[int, FrameVectors]) -> dict[str, Rows]:
        """The rows of some items, by space; `Rows.items` are the keys of `vectors`. A space without rows may be left
        out.
        """

    @abc.abstractmethod
    def search(
        self,
        index: MediaIndex,
        query: MediaDataset,
        k: int,
        options: Any,
        kinds: frozenset[str] | None,
        where: str | None,
        threads: int | None,
    ) -> list[Hit]:
        """The k nearest items, nearest first.

        Args:
          index: of this system.
          query: its first item is the query.
          k: at least 1.
          options: of a class in `self.options`.
          kinds: find only these ("image", "video"); None for both.
          where: find only what passes this filter, see `MediaIndex.passing`; None for all.
          threads: of the ranking kernels; None lets them choose.

        Raises:
          MediaError: the query cannot be read.
          ValueError: the options do not fit the index or the query.
        """

    @property
    def knows_words(self) -> bool:
        """Whether `search_text` finds anything."""
        return False

    def search_text(
        self,
        index: MediaIndex,
        text: str,
        k: int,
        options: Any,
        kinds: frozenset[str] | None,
        where: str | None,
        threads: int | None,
    ) -> list[Hit]:
        """The k items that fit words best, nearest first; arguments as in `search`.

        Raises:
          ConfigError: the encoder knows no words.
          ValueError: the text is empty, or the options do not fit.
        """
        raise no_words(index, text)

    def encode_query(self, index: MediaIndex, query: MediaDataset, options: Any) -> Any:
        """What a search compares of a query, so that it is decoded and encoded once for many searches.

        Args:
          index, query: see `search`.
          options: of the search; what they say of the query itself, such as a region, is settled here.

        Raises:
          MediaError: the query cannot be read.
          ValueError: the options do not fit the query.
        """
        return query

    def encode_text(self, index: MediaIndex, text: str, options: Any) -> Any:
        """The same of words.

        Raises:
          ConfigError, ValueError: as `search_text`.
        """
        return text

    def search_encoded(
        self,
        index: MediaIndex,
        encoded: Any,
        k: int,
        options: Any,
        kinds: frozenset[str] | None,
        where: str | None,
        threads: int | None,
    ) -> list[Hit]:
        """The k nearest items of what `encode_query` or `encode_text` made; arguments and errors as of `search`."""
        search = self.search_text if isinstance(encoded, str) else self.search
        return search(index, encoded, k, options, kinds, where, threads)

    def finds_beside(self, index: MediaIndex, left_out: Collection[str], count: int, options: Any) -> tuple[int, Any]:
        """How many results are to be found, and by which options, so that `count` are of other items than some.

        Args:
          index: of this system.
          left_out: keys of those items.
          count: results wanted.
          options: of the search.
        """
        return count + len(left_out), options

    def refined(self, index: MediaIndex, encoded: Any, feedback: Feedback, options: Any) -> Any:
        """An encoded query, moved towards what was marked as right and away from what was marked as wrong.

        Args:
          index: of this system.
          encoded: see `encode_query`.
          feedback: whose items are in the index.
          options: of the search.

        Raises:
          ConfigError: the system, or these options, take no feedback.
        """
        raise ConfigError(f"{index.folder} is an index of {self.title}, which takes no feedback")

    def compare(
        self, index: MediaIndex, encoded: Any, key: str, options: Any, span: Span | None
    ) -> SequenceComparison | RegionComparison | None:
        """How a query and an item match.

        Args:
          index: of this system.
          encoded: the query, see `encode_query`.
          key: of the item.
          options: of the search that found it.
          span: the part of it that was found, in seconds; None for all of it.

        Returns:
          None where nothing can be laid side by side: an image beside an image or a frame.

        Raises:
          ValueError: the item is not in the index, or the options align nothing.
        """
        return None

    def vectors(
        self,
        dataset: MediaDataset,
        indices: Sequence[int] | None = None,
        *,
        threads: int = 2,
        on_item: Callable[[int], None] | None = None,
    ) -> Iterator[tuple[int, FrameVectors | MediaError]]:
        """Decode and encode items, see `jaxret.retrieval.encode.frame_vectors`."""
        return frame_vectors(dataset, self.encoder, indices=indices, threads=threads, on_item=on_item)

    def default_options(self) -> Any:
        """The options of a search that names none."""
        return self.options[0]()

    def evaluate(self, index: MediaIndex, request: EvaluationRequest) -> Report:
        """Measure retrieval, see `jaxret.retrieval.Retriever.evaluate`.

        Args:
          index: of this system.
          request: its queries are of a class in `self.queries`, its options of one in `self.options`, or None.

        Raises:
          ConfigError: something does not fit the index or the others, or no query has a relevant item.
        """
        raise NotImplementedError

    def check_queries(self, index: MediaIndex, kind: type[Any]) -> None:
        """ConfigError unless the index can be evaluated with queries of this class."""
        if not issubclass(kind, self.queries):
            names = " or ".join(known.__name__ for known in self.queries if known is not type(None))
            opened = ": open it with jaxret.open_dataset" if issubclass(kind, str | Path) else ""
            raise ConfigError(
                f"{index.folder} is an index of {self.title}, which is evaluated with {names or 'nothing'}: "
                f"{'no queries' if kind is type(None) else kind.__name__} will not do{opened}"
            )

    def sizes(self, index: MediaIndex) -> list[str]:
        """What the index takes on disk, in lines for people."""
        return []


def no_words(index: MediaIndex, text: str) -> ConfigError:
    """The error of an index whose encoder knows no words."""
    return ConfigError(
        f"{index.folder} cannot be searched with words, such as {text!r}: its encoder has no tower of words. Make "
        "an index with the weights of CLIP or SigLIP, beside which their tokenizer lies, and without whitening"
    )


def register_system(*kinds: str) -> Callable[[SystemClass], SystemClass]:
    """A class decorator: encoders of these kinds belong to the class."""

    def register(system: SystemClass) -> SystemClass:
        for kind in kinds:
            _SYSTEMS[kind] = system
        return system

    return register


def system_of(encoder: Any) -> System:
    """The system of an encoder.

    Raises:
      ConfigError: no system is registered for its kind.
    """
    kind = getattr(encoder, "kind", type(encoder).__name__)
    if kind not in _SYSTEMS and kind in _MODULES:
        importlib.import_module(f"jaxret.retrieval.systems.{_MODULES[kind]}")
    if kind not in _SYSTEMS:
        raise ConfigError(unknown_name_message("kind of encoder to search with", kind, {*_MODULES, *_SYSTEMS}))
    return _SYSTEMS[kind](encoder)


class OfRevision(Generic[Prepared]):
    """What is prepared of an index for searching, made at the first search and kept until the index changes.

    Args:
      prepare: makes it.
    """

    def __init__(self, prepare: Callable[[MediaIndex], Prepared]):
        self._prepare = prepare
        self._kept: tuple[MediaIndex, int, Prepared] | None = None

    def __call__(self, index: MediaIndex) -> Prepared:
        """Of the index as it is."""
        if self._kept is None or self._kept[0] is not index or self._kept[1] != index.revision:
            self._kept = index, index.revision, self._prepare(index)
        return self._kept[2]
