"""Whole images and clips, compared by their vectors and binary codes; videos also as sequences of clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.ground_truth.films import FilmQueries
from jaxret.data.ground_truth.stanford_i2v import I2VQueries
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError, MediaError
from jaxret.index import MediaIndex, MediaSearchResult, SearchOptions, Space
from jaxret.models.encoder import VideoEncoder
from jaxret.models.text import TextVideoEncoder
from jaxret.rank import SequenceRanking, metrics_of
from jaxret.retrieval.comparison import SequenceComparison, compare_rows
from jaxret.retrieval.encode import FrameVectors, clip_rows, code_rows, frame_rows
from jaxret.retrieval.evaluate.cropped import CroppedVideos, evaluate_cropped
from jaxret.retrieval.evaluate.films import evaluate_films
from jaxret.retrieval.evaluate.labels import evaluate_labels
from jaxret.retrieval.evaluate.report import Report
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.evaluate.stanford_i2v import evaluate_stanford_i2v
from jaxret.retrieval.feedback import Feedback
from jaxret.retrieval.hit import Hit, Span, best_per_item, hits_of_rows
from jaxret.retrieval.options import SequenceSearch, SpaceName, VectorSearch
from jaxret.retrieval.storage import bytes_a_video, bytes_an_hour
from jaxret.retrieval.systems.alignment import aligned_hits
from jaxret.retrieval.systems.base import System, no_words, register_system
from jaxret.retrieval.systems.pairs import hits_of_pairs
from jaxret.retrieval.systems.sequences import nearest_sequences
from jaxret.retrieval.systems.shots import by_best_frame, with_best_frames

__all__ = ["EncodedMedia", "VectorSystem"]

_ALIGNED = 50  # nearest items by frames alone that are aligned with a query video in time


@register_system(VideoEncoder.kind, TextVideoEncoder.kind)
class VectorSystem(System):
    """Whole images and clips.

    Args:
      encoder: of frames and of clips, or of shots.
    """

    title = "whole images and clips"
    options = (VectorSearch, SequenceSearch)
    queries = (type(None), MediaDataset, CroppedVideos, FilmQueries, I2VQueries)
    encoder: VideoEncoder

    @property
    def finds_shots(self) -> bool:
        """Whether videos are indexed as shots, for which images are queries as well."""
        return self.encoder.preprocessing.shots is not None

    def spaces(self, *, frames: bool = True) -> list[Space]:
        """The spaces frame and clip, and of an encoder with `code_bits` code.

        Of an encoder of shots, which sees several frames a second, frames are kept in half precision; it does without
        single frames, too: that is a tenth of the size, and an image finds shots, but not the moment in them.
        """
        if not frames and not self.finds_shots:
            raise ConfigError("images are searched by single frames, unless the encoder is one of shots: keep them")
        spaces = [Space("clip", self.encoder.clip_embedding_size)]
        if frames:
            dtype = "float16" if self.finds_shots else "float32"
            spaces.insert(0, Space("frame", self.encoder.frame_embedding_size, dtype=dtype))
        if self.encoder.code_bits:
            spaces.append(Space.of_codes("code", self.encoder.code_bits))
        return spaces

    def rows(self, vectors: Mapping[int, FrameVectors]) -> dict[str, Rows]:
        """See `System.rows`; images have no clip unless the encoder is one of shots."""
        spaces = {"frame": frame_rows(vectors)}
        clips = clip_rows(vectors, self.encoder)
        if len(clips.vectors):
            spaces["clip"] = clips
            if self.encoder.code_bits:
                spaces["code"] = code_rows(clips)
        return spaces

    def search(
        self,
        index: MediaIndex,
        query: MediaDataset,
        k: int,
        options: VectorSearch | SequenceSearch,
        kinds: frozenset[str] | None,
        where: str | None,
        threads: int | None,
    ) -> list[Hit]:
        """See `System.search`.

        Raises:
          ValueError: a space that the index lacks, an image where the space needs a video, or settings that do not go
            together there.
        """
        _check_sequence(query.items[0].kind, options, kinds)  # before the query is read
        encoded = self.encode_query(index, query, options)
        return self.search_encoded(index, encoded, k, options, kinds, where, threads)

    def encode_query(
        self, index: MediaIndex, query: MediaDataset, options: VectorSearch | SequenceSearch
    ) -> EncodedMedia:
        """See `System.encode_query`."""
        kind = query.items[0].kind
        _check_sequence(kind, options, None)
        ((_, vectors),) = self.vectors(query, [0], threads=1)
        if isinstance(vectors, MediaError):
            raise vectors
        return EncodedMedia(vectors, kind)

    def search_encoded(
        self,
        index: MediaIndex,
        encoded: EncodedMedia,
        k: int,
        options: VectorSearch | SequenceSearch,
        kinds: frozenset[str] | None,
        where: str | None,
        threads: int | None,
    ) -> list[Hit]:
        """See `System.search_encoded`; errors as of `search`."""
        _check_sequence(encoded.kind, options, kinds)
        if isinstance(options, SequenceSearch):
            if encoded.feedback is not None:
                raise ConfigError("sequences are compared in order of time and take no feedback: search by vectors")
            clips = clip_rows({0: encoded.vectors}, self.encoder)
            ranking = options.ranking()
            found = index.each_part(nearest_sequences, clips, k, ranking, kinds=kinds, where=where, threads=threads)
            return best_per_item([hit for hits in found for hit in hits], k, index)
        return _VectorQuery(encoded, k, options, kinds, where, threads).hits(index, self.encoder)

    def refined(
        self, index: MediaIndex, encoded: EncodedMedia, feedback: Feedback, options: VectorSearch | SequenceSearch
    ) -> EncodedMedia:
        """See `System.refined`: Rocchio's rule, in whatever space is searched."""
        return dataclasses.replace(encoded, feedback=feedback)

    def compare(
        self,
        index: MediaIndex,
        encoded: EncodedMedia,
        key: str,
        options: VectorSearch | SequenceSearch,
        span: Span | None,
    ) -> SequenceComparison | None:
        """See `System.compare`: sequences by their clips as they were ranked, others by their frames, the shorter one
        within the longer.
        """
        item, media = index.item_of(key), {0: encoded.vectors}
        if encoded.kind != "video" or item.kind != "video":
            return None
        if isinstance(options, SequenceSearch):
            return compare_rows(
                clip_rows(media, self.encoder), index.rows("clip", [index.id_of(key)]), options.ranking()
            )
        frames = "frame" in index.spaces
        query = frame_rows(media) if frames else clip_rows(media, self.encoder)
        rows = index.rows("frame" if frames else "clip", [index.id_of(key)])
        if span is not None:
            shown = (rows.starts <= span[1]) & (rows.ends >= span[0])
            rows = rows.take(shown) if shown.any() else rows
        part: Literal["query", "item"] = "query" if len(query) <= len(rows) else "item"
        return compare_rows(query, rows, SequenceRanking("dtw", part))

    @property
    def knows_words(self) -> bool:
        """See `System.knows_words`."""
        return isinstance(self.encoder, TextVideoEncoder)

    def search_text(
        self,
        index: MediaIndex,
        text: str,
        k: int,
        options: VectorSearch | SequenceSearch,
        kinds: frozenset[str] | None,
        where: str | None,
        threads: int | None,
    ) -> list[Hit]:
        """See `System.search_text`: words are compared with frames, or with the chunks of videos."""
        encoded = self.encode_text(index, text, options)
        return self.search_encoded(index, encoded, k, options, kinds, where, threads)

    def encode_text(self, index: MediaIndex, text: str, options: VectorSearch | SequenceSearch) -> EncodedMedia:
        """See `System.encode_text`."""
        if not isinstance(self.encoder, TextVideoEncoder):
            raise no_words(index, text)
        _check_sequence("words", options, None)
        vector = np.asarray(self.encoder.encode_text([text]))  # (1, D)
        return EncodedMedia(FrameVectors(vector[None], np.zeros((1, 1)), np.zeros((1, 2))), "words")

    def evaluate(self, index: MediaIndex, request: EvaluationRequest) -> Report:
        """Measure by labels, with cropped videos or screen photos of films, or as Stanford I2V does; see
        `System.evaluate`."""
        measures = {
            CroppedVideos: evaluate_cropped,
            FilmQueries: evaluate_films,
            I2VQueries: evaluate_stanford_i2v,
        }
        return measures.get(type(request.queries), evaluate_labels)(index, self.encoder, request)

    def sizes(self, index: MediaIndex) -> list[str]:
        """See `System.sizes`."""
        lines = []
        if "code" in index.spaces:
            codes, clips = bytes_a_video(index, "code"), bytes_a_video(index, "clip")
            bits = index.spaces["code"].dimension
            lines.append(f"codes of {bits} bits a chunk: {codes:.1f} bytes a video, their clip embeddings {clips:.1f}")
        if self.finds_shots:
            names = [name for name in ("frame", "clip") if name in index.spaces]
            found = ", ".join(f"{name}s {bytes_an_hour(index, name) / 1e6:.2f} MB" for name in names)
            lines.append(f"an hour of video takes: {found}")
        return lines


@dataclasses.dataclass(frozen=True)
class EncodedMedia:
    """A query as its encoder sees it.

    Attributes:
      vectors: frame vectors of the query.
      kind: what it is.
      feedback: what moves its vectors in the space that is searched; None for nothing.
    """

    vectors: FrameVectors
    kind: Literal["image", "video", "words"]
    feedback: Feedback | None = None


def _check_sequence(
    kind: Literal["image", "video", "words"], options: VectorSearch | SequenceSearch, kinds: frozenset[str] | None
) -> None:
    """ValueError where sequences of clips are to be compared, and the query is none, or none is wanted."""
    if not isinstance(options, SequenceSearch):
        return
    if kind == "image":
        raise ValueError("an image is no sequence of clips: search with it by vectors")
    if kind == "words":
        raise ValueError("words are no sequence of clips: search with them by vectors")
    if kinds is not None and "video" not in kinds:
        raise ValueError(f"sequences are videos: kinds must include 'video', got {', '.join(map(repr, sorted(kinds)))}")


@dataclasses.dataclass(frozen=True)
class _VectorQuery:
    """A query on its way through an index.

    Attributes:
      encoded: the query.
      k, options, kinds, where, threads: see `System.search`.
    """

    encoded: EncodedMedia
    k: int
    options: VectorSearch
    kinds: frozenset[str] | None
    where: str | None
    threads: int | None

    def hits(self, index: MediaIndex, encoder: VideoEncoder) -> list[Hit]:
        """The hits, nearest first; ValueError where the options do not fit the query or the index."""
        of_words = self.encoded.kind == "words"
        space = self.options.space or ("frame" if of_words else self._default_space(index, encoder))
        self._check(index, encoder, space)
        media = {0: self.encoded.vectors}
        # Words have one vector for frames and chunks alike.
        rows = frame_rows(media) if space == "frame" or of_words else clip_rows(media, encoder)
        if not len(rows.vectors):
            raise ValueError("an image has no clip embedding and no code: search with it in the frame space")
        if self.encoded.feedback is not None:
            rows = self.encoded.feedback.applied(rows, index, "clip" if space == "code" else space)
        if space == "frame":
            return self._by_frames(index, rows)
        return self._by_codes(index, rows) if space == "code" else self._by_clips(index, rows)

    @property
    def is_image(self) -> bool:
        """Whether the query has no time."""
        return self.encoded.kind != "video"

    def _default_space(self, index: MediaIndex, encoder: VideoEncoder) -> SpaceName:
        if encoder.preprocessing.shots is not None:
            return "clip"
        if self.is_image or self._only_images or not index.count_rows("clip"):
            return "frame"
        options = self.options
        of_codes = options.metric in (None, *metrics_of("uint8"))
        of_vectors = options.min_cosine is not None or options.probes is not None or not of_codes
        return "code" if "code" in index.spaces and not of_vectors else "clip"

    @property
    def _only_images(self) -> bool:
        return self.kinds == {"image"}

    def _check(self, index: MediaIndex, encoder: VideoEncoder, space: SpaceName) -> None:
        options = self.options
        if space == "code" and "code" not in index.spaces:
            raise ValueError("the index has no codes, for its encoder has no hash layer: search the clip space")
        if space == "frame" and "frame" not in index.spaces:
            raise ValueError("the index keeps no single frames: search its shots, in the clip space")
        if options.probes is not None and space == "code":
            raise ValueError("probes looks into cells of vectors: it needs the clip or frame space, got 'code'")
        if options.every_clip and space != "clip":
            raise ValueError(f"every_clip ranks all chunks or shots: it needs the clip space, got {space!r}")
        if options.rerank is None:
            return
        of_shots = space == "clip" and self.is_image and encoder.preprocessing.shots is not None
        if space != "code" and not of_shots:
            raise ValueError(
                "rerank puts in order what codes have found, or shots that an image has found: it needs the code "
                f"space, got {space!r}"
            )
        if of_shots and "frame" not in index.spaces:
            raise ValueError("rerank puts shots in order by their frames, and the index keeps no single frames")
        if options.rerank < self.k:
            raise ValueError(f"rerank must be at least k = {self.k}, got {options.rerank}")

    @property
    def _metric(self) -> str:
        return self.options.metric or "euclidean"

    def _by_frames(self, index: MediaIndex, rows: Rows) -> list[Hit]:
        if len(rows.vectors) == 1 or self._only_images:
            # An image has no time that a video could be aligned with: it counts by the frame nearest to it.
            return self._nearest(index, "frame", rows, self.k, self._metric)
        options = self.options
        if options.probes is not None:
            raise ValueError(
                "a video in the frame space is compared with every item, and probes would leave items out: search the "
                "clip space, or leave probes out"
            )
        if options.device is not None:
            raise ValueError(
                f"a video in the frame space is compared with every item, which the CPU does: leave device "
                f"{options.device!r} out, or search the clip space"
            )
        if self._metric not in ("euclidean", "cosine"):
            raise ValueError(
                f"a video in the frame space is aligned in time by metric euclidean or cosine, got {self._metric!r}"
            )
        # Every frame ranks all items; the threshold of PAR is for the aligned ones.
        whole = self if options.min_cosine is None else dataclasses.replace(
            self, options=dataclasses.replace(options, min_cosine=-2.0)
        )  # fmt: skip
        result = whole._search(index, "frame", rows, max(self.k, len(index)))
        candidates = _nearest_by_frames(result, max(self.k, _ALIGNED))
        nearest = best_per_item(aligned_hits(index, candidates, rows, self._metric), self.k, index)
        if options.min_cosine is None:
            return nearest
        return [hit for hit in nearest if hit.cosine is not None and hit.cosine > options.min_cosine]

    def _wanted(self, index: MediaIndex) -> int:
        """How many results the first pass gives."""
        if self.options.rerank is None:
            return self.k
        return max(self.k, min(self.options.rerank, max(map(index.count_rows, index.spaces))))

    def _by_clips(self, index: MediaIndex, rows: Rows) -> list[Hit]:
        options = self.options
        wanted = self._wanted(index)
        if options.every_clip:
            stored = index.rows("clip", np.flatnonzero(index.searchable("clip", self.kinds, self.where)))
            found = hits_of_pairs(index, rows, stored, wanted, self._metric, per="row", threads=self.threads)
        else:
            found = self._nearest(index, "clip", rows, wanted, self._metric)
        if not self.is_image or "frame" not in index.spaces:
            return found
        placed = with_best_frames(index, found, rows.vectors[0])
        return placed if options.rerank is None else by_best_frame(index, placed)[: self.k]

    def _by_codes(self, index: MediaIndex, clips: Rows) -> list[Hit]:
        found = self._nearest(index, "code", code_rows(clips), self._wanted(index), "hamming")
        if self.options.rerank is None or not found:
            return found
        stored = index.rows("clip", np.array([index.id_of(hit.item.key) for hit in found], np.int64))
        return hits_of_pairs(index, clips, stored, self.k, threads=self.threads)

    def _nearest(self, index: MediaIndex, space: SpaceName, rows: Rows, count: int, metric: str) -> list[Hit]:
        """The `count` nearest items, each at its best pair of rows."""
        return best_per_item(hits_of_rows(self._search(index, space, rows, count), rows, metric), count, index)

    def _search(self, index: MediaIndex, space: SpaceName, rows: Rows, count: int) -> MediaSearchResult:
        options = self.options
        return index.search(
            space,
            rows.vectors,
            min(count, max(1, len(index))),  # memory is taken for as many as are wanted
            options=SearchOptions(options.metric, options.min_cosine, probes=options.probes, device=options.device),
            kinds=self.kinds,
            where=self.where,
            threads=self.threads,
        )


def _nearest_by_frames(result: MediaSearchResult, count: int) -> np.ndarray:
    """Ids of the `count` nearest items by the mean of their distances to all frames of the query.

    Args:
      result: the whole ranking of every frame, so that all frames rank the same items.
      count: ids wanted.
    """
    # Sorted by id, the columns are the items.
    order = np.argsort(result.ids, axis=1, kind="stable")
    ids = np.take_along_axis(result.ids, order, axis=1)[0]
    distances = np.take_along_axis(result.distances, order, axis=1).mean(axis=0, dtype=np.float64)
    present = ids >= 0
    ids, distances = ids[present], distances[present]
    return ids[np.lexsort((ids, distances))[:count]]
