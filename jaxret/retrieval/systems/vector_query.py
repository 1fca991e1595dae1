"""A query by vectors or codes on its way through an index: the space that it is compared in, and its hits there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

from jaxret.data.rows import Rows
from jaxret.index import MediaIndex, MediaSearchResult, SearchOptions
from jaxret.rank import metrics_of
from jaxret.retrieval.encode import FrameVectors, clip_rows, code_rows, frame_rows
from jaxret.retrieval.feedback import Feedback
from jaxret.retrieval.hit import Hit, best_per_item, hits_of_rows
from jaxret.retrieval.options import SpaceName, VectorSearch
from jaxret.retrieval.systems.alignment import aligned_hits
from jaxret.retrieval.systems.pairs import hits_of_pairs
from jaxret.retrieval.systems.shots import by_best_frame, with_best_frames

if TYPE_CHECKING:
    from jaxret.models.encoder import VideoEncoder

__all__ = ["EncodedMedia", "VectorQuery"]

_ALIGNED = 50  # nearest items by frames alone that are aligned with a query video in time


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

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors."""
        return self.vectors.vectors.nbytes


@dataclasses.dataclass(frozen=True)
class VectorQuery:
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
