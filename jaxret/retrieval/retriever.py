"""The retriever: media in, hits out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import Kind
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError, MediaError
from jaxret.index import MediaIndex
from jaxret.rank.validation import check_count
from jaxret.retrieval import storage
from jaxret.retrieval.additions import AddReport, add_media, beside_known, fresh_items, until
from jaxret.retrieval.comparison import RegionComparison, SequenceComparison
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.feedback import Feedback
from jaxret.retrieval.hit import Hit
from jaxret.retrieval.on_ray.cluster import RayCluster
from jaxret.retrieval.query_file import is_text, single_file
from jaxret.retrieval.store import create_with_encoder, index_folder, open_with_encoder
from jaxret.retrieval.systems.base import system_of

if TYPE_CHECKING:  # a search does without these
    from jaxret.data.ground_truth.films import FilmQueries
    from jaxret.data.ground_truth.stanford_i2v import I2VQueries
    from jaxret.retrieval.evaluate.cropped import CroppedVideos
    from jaxret.retrieval.evaluate.region_queries import RegionQueries
    from jaxret.retrieval.evaluate.report import Report

__all__ = ["EncodedQuery", "Retriever"]


@dataclasses.dataclass(frozen=True)
class EncodedQuery:
    """A query that is decoded and encoded, see `Retriever.encode`.

    Attributes:
      content: as the index's system compares it.
      left_out: keys of items that are not to be found.
    """

    content: Any
    left_out: frozenset[str] = frozenset()

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors that it holds; 0 where its system does not tell, whose queries are small."""
        return int(getattr(self.content, "nbytes", 0))


class Retriever:
    """An encoder and an index together: finds images and videos by their content.

    Args:
      encoder: of the index.
      index: what is searched.

    Attributes:
      encoder, index: as given.
      system: how the encoder describes media and how they are compared, see `jaxret.retrieval.systems.base.System`.

    Example:
      retriever = Retriever.open("runs/moving-digits-1")
      for hit in retriever.search("query.mp4", k=5):
          print(hit.distance, hit.item.key, hit.start, hit.end)
    """

    def __init__(self, encoder: Any, index: MediaIndex):
        self.encoder = encoder
        self.index = index
        self.system = system_of(encoder)

    @classmethod
    def create(cls, folder: str | Path, encoder: Any, *, frames: bool = True) -> Retriever:
        """An empty index in a new folder, with a copy of the encoder, so that the folder stands alone.

        Args:
          folder: new or empty.
          encoder: of everything that will be added and searched with; a fitted one of a kind that has a system.
          frames: keep single frames. An encoder of shots does without: that is a tenth of the size, and an image finds
            shots, but not the moment in them.

        Raises:
          ConfigError: the folder holds something, no system is registered for the encoder, or it needs single frames.
        """
        spaces = system_of(encoder).spaces(frames=frames)
        return cls(encoder, create_with_encoder(folder, encoder, spaces))

    @classmethod
    def open(
        cls, folder: str | Path, *, ray: RayCluster | None = None, programs: str | Path | None = None
    ) -> Retriever:
        """Open an index, of any system, with the encoder that lies in it.

        Args:
          folder: of the index, or of a finished run; or its URL.
          ray: a cluster whose workers search a part of the index each; every worker must find it at the same path or
            URL. Results are the same.
          programs: a folder in which programs of the encoder are kept, so that every process after the first opens an
            index of whole images and clips, and encodes a first query, without Flax and without tracing the model. What
            lies in it is run, as what lies in the folder in which JAX keeps what it compiled. Results are the same. It
            is used on a CPU alone. None: nothing is kept.

        Raises:
          ConfigError: the run has not come to its end, no system is registered for the encoder, Ray is not installed,
            or there is no such cluster.
          IndexFormatError: the folder is not an index, or damaged.
          WeightsError: the encoder in it is damaged.
          EncoderMismatchError: the encoder is not the one that made the index.
        """
        encoder, index = open_with_encoder(index_folder(folder), None if programs is None else Path(programs))
        if ray is not None:
            from jaxret.retrieval.on_ray.shards import sharded_on_ray

            index = sharded_on_ray(index, ray)
        return cls(encoder, index)

    def add(
        self,
        dataset: MediaDataset,
        *,
        media: Mapping[int, FrameVectors] | None = None,
        known: Mapping[int, FrameVectors] | None = None,
        threads: int = 2,
        on_item: Callable[[int], None] | None = None,
        stop: Callable[[], bool] | None = None,
        ray: RayCluster | None = None,
    ) -> AddReport:
        """Encode and add the items of a data set; items that are in the index already are left alone,
        unless their files were replaced since.

        A long addition is committed in parts, so that one that was stopped goes on where it was.

        Args:
          dataset: what to add.
          media: frame vectors by item number, as `system.vectors` makes them, if they are at hand; items that it lacks
            are skipped.
          known: the same of some items alone; the others are encoded.
          threads: files decoded at once.
          on_item: called with each item's number when it is encoded.
          stop: called before each item is taken; where it says true, the addition ends with what is encoded by then.
          ray: a cluster whose workers decode and encode; every worker must find the media at their paths or URLs.

        Raises:
          ConfigError: Ray is not installed, or there is no such cluster.
          IndexBusyError: another addition to the index is under way.
          TypeError: `dataset` is no data set.
        """
        if not isinstance(dataset, MediaDataset):
            raise TypeError(f"dataset must be a data set, as jaxret.open_dataset(...) opens it, got {dataset!r:.80}")

        def encode(numbers: Sequence[int]) -> Iterator[tuple[int, FrameVectors | MediaError]]:
            if ray is None:
                return self.system.vectors(dataset, numbers, threads=threads, on_item=on_item)
            from jaxret.retrieval.on_ray.encoders import vectors_on_ray

            folder = self.index.folder / "encoder"
            return vectors_on_ray(dataset, folder, numbers, ray, threads=threads, on_item=on_item)

        with self.index.addition():
            fresh = fresh_items(dataset, self.index)
            if media is not None:
                fresh, known = [number for number in fresh if number in media], media
            stream = beside_known(fresh, known or {}, encode, on_item)
            report = add_media(self.index, dataset, stream if stop is None else until(stop, stream), self._rows_of)
            for space, terms in self.system.terms.items():
                self.index.keep_lists(space, terms)  # also in an index that was made without
        return report

    def _rows_of(self, vectors: Mapping[int, FrameVectors]) -> dict[str, Any]:
        return {name: rows for name, rows in self.system.rows(vectors).items() if name in self.index.spaces}

    def search(
        self,
        query: str | Path | MediaDataset | EncodedQuery,
        k: int = 10,
        *,
        options: Any = None,
        kinds: Collection[str] | None = None,
        where: str | None = None,
        threads: int | None = None,
    ) -> list[Hit]:
        """The k items nearest to a query, nearest first, each at its best place.

        Args:
          query: a media file, a folder of RGB-D frames (or `rgbd,rate=15:FOLDER`), or a data set of one item. A string
            that is no path (no such file, no ending of a media file, no separator) is words, see `search_text`. What
            `encode` made of one of these is searched with without decoding it again.
          k: items wanted, at least 1; more than the index has are all.
          options: how to compare: a `VectorSearch` or `SequenceSearch` for an index of whole images and clips, a
            `RegionSearch` for one of regions; None for the index's default.
          kinds: find only "image" or only "video".
          where: find only items that pass this filter, such as `label = 'cat' and duration > 10`: the k nearest of
            those. See `docs/filters`.
          threads: of the ranking kernels.

        Raises:
          MediaError: the query cannot be read.
          ValueError: k or kinds is out of range, the filter is malformed or names a column that the index lacks, or the
            options do not fit the index or the query.
        """
        if isinstance(query, str) and is_text(query) and (self.system.knows_words or len(query.split()) > 1):
            return self.search_text(query, k, options=options, kinds=kinds, where=where, threads=threads)
        wanted, options = self._wanted(kinds, where), self._options(options)
        if isinstance(query, EncodedQuery):
            count = self._count(k)
            more = count
            if query.left_out:
                more, options = self.system.finds_beside(self.index, query.left_out, count, options)
                more = self._count(more)
            hits = self.system.search_encoded(self.index, query.content, more, options, wanted, where, threads)
            return [hit for hit in hits if hit.item.key not in query.left_out][:count]
        dataset = query if isinstance(query, MediaDataset) else single_file(query)
        return self.system.search(self.index, dataset, self._count(k), options, wanted, where, threads)

    def search_text(
        self,
        text: str,
        k: int = 10,
        *,
        options: Any = None,
        kinds: Collection[str] | None = None,
        where: str | None = None,
        threads: int | None = None,
    ) -> list[Hit]:
        """The k items that fit words best, each at its best frame.

        Args:
          text: words, such as "a red car turning".
          k, kinds, where, threads: see `search`.
          options: a `VectorSearch`; with space="clip" whole chunks of videos are compared, each with its best frame.

        Raises:
          ConfigError: the index's encoder has no tower of words, or the extra `text` is not installed.
          ValueError: the text is empty, k or kinds is out of range, the filter is malformed, or the options do not fit.
        """
        wanted, options = self._wanted(kinds, where), self._options(options)
        return self.system.search_text(self.index, text, self._count(k), options, wanted, where, threads)

    def encode(
        self, query: str | Path | MediaDataset | None = None, *, text: str | None = None, options: Any = None
    ) -> EncodedQuery:
        """Decode and encode a query once, to `search` with it many times or to `refine` it.

        Args:
          query: a media file, a folder of RGB-D frames, or a data set of one item.
          text: words, in the place of a query.
          options: of the searches to come; what they say of the query itself (`RegionSearch.region`, `at`,
            `surroundings` and `min_words`) is settled here.

        Raises:
          MediaError: the query cannot be read.
          ConfigError, ValueError: as `search` and `search_text`; both or none of `query` and `text` are given.
        """
        if (query is None) == (text is None):
            raise ValueError(f"give a query or a text, got {query!r} and {text!r}")
        options = self._options(options)
        if text is not None:
            return EncodedQuery(self.system.encode_text(self.index, text, options))
        assert query is not None
        dataset = query if isinstance(query, MediaDataset) else single_file(query)
        return EncodedQuery(self.system.encode_query(self.index, dataset, options))

    def refine(self, query: EncodedQuery, feedback: Feedback, *, options: Any = None) -> EncodedQuery:
        """A query that knows which results were right and which were wrong; the latter are no longer found.

        Vectors move by Rocchio's rule (`jaxret.rank.rocchio`); in an index of regions the query is averaged with the
        places in what was right that look most like it, and what was wrong is only left out.

        Args:
          query: that was searched with, and not refined before: name all marks, old and new.
          feedback: the marks.
          options: of the search.

        Raises:
          ValueError: an item is not in the index, or one is marked as both.
          ConfigError: the index takes no feedback.

        Example:
          query = retriever.encode("query.mp4")
          first = retriever.search(query)
          marks = Feedback(plus=(Mark(first[0].item.key),), minus=(Mark(first[1].item.key),))
          second = retriever.search(retriever.refine(query, marks))
        """
        if both := {mark.key for mark in feedback.plus} & {mark.key for mark in feedback.minus}:
            raise ValueError(f"an item is right or wrong, got both for {sorted(both)[0]!r}")
        for mark in (*feedback.plus, *feedback.minus):
            self.index.id_of(mark.key)
        content = self.system.refined(self.index, query.content, feedback, self._options(options))
        return EncodedQuery(content, frozenset(mark.key for mark in feedback.minus))

    def compare(
        self, query: EncodedQuery, key: str, *, options: Any = None, span: tuple[float, float] | None = None
    ) -> SequenceComparison | RegionComparison | None:
        """How a query and a result match: which moments of two videos meet, or which place shows a region.

        Args:
          query: see `encode`; for an index of regions with the options of the search.
          key: of the result's item.
          options: of the search.
          span: of the result, in seconds; None for all of the item.

        Returns:
          A `SequenceComparison` of two videos, a `RegionComparison` of an index of regions; None of images, which have
          no parts that could be laid side by side.

        Raises:
          ValueError: the item is not in the index, the span begins after its end, or the options align nothing
            (mean-cosine).
        """
        lasts = None if span is None else self.index.item_of(key).duration
        if span is not None and lasts and span[0] > lasts:
            raise ValueError(f"{key} lasts {lasts:g} s: the second {span[0]:g} is beyond its end")
        return self.system.compare(self.index, query.content, key, self._options(options), span)

    def _wanted(self, kinds: Collection[str] | None, where: str | None) -> frozenset[str] | None:
        """The kinds that are wanted; a wrong filter is told before the query is read."""
        wanted = _checked_kinds(kinds)
        if where is not None:
            self.index.passing(wanted, where)
        return wanted

    def _count(self, k: int) -> int:
        """How many results are wanted: no more than there can be."""
        if isinstance(k, int):
            k = min(k, max([1, len(self.index), *map(self.index.count_rows, self.index.spaces)]))
        return check_count(k, "k")

    def _options(self, options: Any) -> Any:
        return self.system.default_options() if options is None else self._fitting(options)

    def evaluate(
        self,
        queries: MediaDataset | CroppedVideos | FilmQueries | I2VQueries | RegionQueries | None = None,
        *,
        options: Any = None,
        settings: Any = None,
        ks: Sequence[int] | None = None,
        threads: int = 2,
        on_query: Callable[[int], None] | None = None,
    ) -> Report:
        """Measure how well queries find what is relevant to them.

        Args:
          queries: labelled media; None: the indexed items are queries for each other; `CroppedVideos`: parts of indexed
            videos, changed more and more. For an index of shots also screen photos of its films
            (`jaxret.data.ground_truth.films.read_film_queries`) or Stanford I2V's queries
            (`jaxret.data.ground_truth.stanford_i2v.read_i2v_queries`); for one of regions what `read_region_queries`
            gives.
          options: of the search, see `search`.
          settings: a `LabelEvaluation`, `CroppedEvaluation`, `FilmEvaluation`, `SceneEvaluation` or
            `RegionEvaluation`, as the queries are; None: its defaults.
          ks: cut-offs, of an evaluation by labels; None for 1, 5 and 10.
          threads: query files decoded at once, 1 to 1024.
          on_query: called with the number of each region query that is done.

        Raises:
          TypeError, ValueError: `ks` is no sequence of whole numbers of at least 1, or `threads` is out of range.
          MediaError: a query with ground truth cannot be read.
          ConfigError: the queries, options or settings do not fit the index or each other, no query can be read or
            searched with, or none has a relevant item.
        """
        self.system.check_queries(self.index, type(queries))
        options = None if options is None else self._fitting(options)
        return self.system.evaluate(self.index, EvaluationRequest(queries, options, settings, ks, threads, on_query))

    def rows(self, space: str) -> Rows:
        """The vectors or codes of a space with their items and spans, as NumPy arrays of their own.

        Other libraries take the arrays without a copy through DLPack: `torch.from_dlpack(rows.vectors)`,
        `jax.numpy.from_dlpack(rows.vectors)`. `rows.items` are ids, positions in `index.items`.

        Raises:
          ValueError: the space is unknown.
        """
        return self.index.rows(space)

    def bytes_of(self, space: str) -> int:
        """Bytes that the rows of a space take."""
        return storage.bytes_of(self.index, space)

    def bytes_a_video(self, space: str) -> float:
        """Bytes that the rows of a space take, divided by the items that have any there; 0 where none has."""
        return storage.bytes_a_video(self.index, space)

    def bytes_an_hour(self, space: str) -> float:
        """Bytes that the rows of a space take, divided by the hours of video in the index; 0 where it has none."""
        return storage.bytes_an_hour(self.index, space)

    def _fitting(self, options: Any) -> Any:
        """The options; ConfigError where they are of another kind of index."""
        if not isinstance(options, self.system.options):
            names = " or ".join(kind.__name__ for kind in self.system.options)
            raise ConfigError(
                f"{self.index.folder} is an index of {self.system.title}, which is searched with {names}: "
                f"{type(options).__name__} does not fit it"
            )
        return options


def _checked_kinds(kinds: Collection[str] | None) -> frozenset[str] | None:
    if kinds is None:
        return None
    chosen = frozenset((kinds,) if isinstance(kinds, str) else kinds)
    if not chosen or chosen - set(get_args(Kind)):
        raise ValueError(f"kinds must be image, video or both, got {sorted(chosen)}")
    return chosen
