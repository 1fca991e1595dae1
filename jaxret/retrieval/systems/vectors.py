"""Whole images and clips, compared by their vectors and binary codes; videos also as sequences of clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError, MediaError
from jaxret.index import MediaIndex, Space
from jaxret.rank import SequenceRanking
from jaxret.retrieval.comparison import SequenceComparison, compare_rows
from jaxret.retrieval.encode import FrameVectors, clip_rows, code_rows, frame_rows
from jaxret.retrieval.evaluate.request import EvaluationRequest
from jaxret.retrieval.feedback import Feedback
from jaxret.retrieval.hit import Hit, Span, best_per_item
from jaxret.retrieval.options import SequenceSearch, VectorSearch
from jaxret.retrieval.storage import bytes_a_video, bytes_an_hour
from jaxret.retrieval.systems.base import System, no_words, register_system
from jaxret.retrieval.systems.sequences import nearest_sequences
from jaxret.retrieval.systems.vector_query import EncodedMedia, VectorQuery

if TYPE_CHECKING:
    from jaxret.retrieval.evaluate.report import Report

__all__ = ["VectorSystem"]


_OF_WORDS = "images-and-text"


@register_system("frames-then-sequence", _OF_WORDS)
class VectorSystem(System):
    """Whole images and clips.

    Args:
      encoder: of frames and of clips, or of shots.
    """

    title = "whole images and clips"
    options = (VectorSearch, SequenceSearch)
    encoder: Any  # a `VideoEncoder`, or a `KeptEncoder` in its place

    @property
    def queries(self) -> tuple[type[Any], ...]:
        """See `System.queries`."""
        from jaxret.retrieval.evaluate.of_vectors import MEASURES  # a search does without

        return tuple(MEASURES)

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
        return VectorQuery(encoded, k, options, kinds, where, threads).hits(index, self.encoder)

    def finds_beside(
        self, index: MediaIndex, left_out: Collection[str], count: int, options: VectorSearch | SequenceSearch
    ) -> tuple[int, VectorSearch | SequenceSearch]:
        """See `System.finds_beside`."""
        found = count + len(left_out)
        if not isinstance(options, VectorSearch):
            return found, options
        if options.every_clip:  # each of an item's chunks or shots may be found
            ids = [index.id_of(key) for key in left_out if key in index]
            found = count + int(index.rows_per_item("clip")[ids].sum())
        if options.rerank is not None and options.rerank >= count:  # fewer than are found it may not put in order
            options = dataclasses.replace(options, rerank=max(options.rerank, found))
        return found, options

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
        return self.encoder.kind == _OF_WORDS

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
        if not self.knows_words:
            raise no_words(index, text)
        _check_sequence("words", options, None)
        vector = np.asarray(self.encoder.encode_text([text]))  # (1, D)
        return EncodedMedia(FrameVectors(vector[None], np.zeros((1, 1)), np.zeros((1, 2))), "words")

    def evaluate(self, index: MediaIndex, request: EvaluationRequest) -> Report:
        """Measure by labels, with cropped videos or screen photos of films, or as Stanford I2V does; see
        `System.evaluate`."""
        from jaxret.retrieval.evaluate.of_vectors import MEASURES

        measure = MEASURES.get(type(request.queries), MEASURES[MediaDataset])
        return measure(index, self.encoder, request)

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
