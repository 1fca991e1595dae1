"""A query on its way through an index: what is asked, whether it can be, and the matches."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from jaxret.data.rows import Rows
from jaxret.index import MediaIndex, MediaSearchResult, SearchOptions
from jaxret.models.encoder import VideoEncoder
from jaxret.rank import metrics_of
from jaxret.rank.validation import check_count
from jaxret.retrieval.encode import FrameVectors, clip_rows, code_rows, frame_rows
from jaxret.retrieval.systems.matches import (
    Match,
    aligned_matches,
    best_per_item,
    chunk_matches,
    nearest_by_frames,
    reranked,
)
from jaxret.retrieval.systems.shots import by_best_frame, matches_of_every_clip, with_best_frames

__all__ = ["Query", "SpaceName"]

SpaceName = Literal["frame", "clip", "code"]
"""The spaces of an index that a query can be compared in."""

_ALIGNED = 50  # nearest items by frames alone that are aligned with a query video in time


@dataclasses.dataclass(frozen=True)
class Query:
    """What is asked of an index; the settings are those of `Retriever.search`.

    Attributes:
      vectors: frame vectors of the query.
      picture: whether it is a picture.
      k, metric, min_cosine, rerank, probes, space, every_clip, kinds, threads: see `Retriever.search`.
    """

    vectors: FrameVectors
    picture: bool
    k: int
    metric: str | None
    min_cosine: float | None
    rerank: int | None
    probes: int | None
    space: SpaceName | None
    every_clip: bool
    kinds: tuple[str, ...] | None
    threads: int | None

    def matches(self, index: MediaIndex, encoder: VideoEncoder) -> list[Match]:
        """The matches, nearest first.

        Raises:
          ValueError: settings are out of range, or do not fit each other, the query or the index.
        """
        space = self.space or self._default_space(index, encoder)
        self._check(index, encoder, space)
        if space == "frame":
            return self._by_frames(index, frame_rows({0: self.vectors}))
        clips = clip_rows({0: self.vectors}, encoder)
        if not len(clips.vectors):
            raise ValueError("a picture has no clip embedding and no code: search it in the frame space")
        return self._by_codes(index, clips) if space == "code" else self._by_clips(index, clips)

    def _default_space(self, index: MediaIndex, encoder: VideoEncoder) -> SpaceName:
        if encoder.preprocessing.shots is not None:
            return "clip"
        if self.picture or self._only_pictures or not index.count_rows("clip"):
            return "frame"
        of_vectors = (
            self.min_cosine is not None or self.probes is not None or self.metric not in (None, *metrics_of("uint8"))
        )
        return "code" if "code" in index.spaces and not of_vectors else "clip"

    @property
    def _only_pictures(self) -> bool:
        return self.kinds is not None and set(self.kinds) == {"image"}

    def _check(self, index: MediaIndex, encoder: VideoEncoder, space: SpaceName) -> None:
        check_count(self.k, "k")
        if space == "code" and "code" not in index.spaces:
            raise ValueError("the index has no codes, for its encoder has no hash layer: search the clip space")
        if space == "frame" and "frame" not in index.spaces:
            raise ValueError("the index keeps no single frames: search its shots, in the clip space")
        if self.min_cosine is not None and not math.isfinite(self.min_cosine):
            raise ValueError(f"min_cosine must be a finite number, got {self.min_cosine}")
        if self.probes is not None and space == "code":
            raise ValueError("probes looks into cells of vectors: it needs the clip or frame space, got 'code'")
        if self.every_clip and (space != "clip" or self.min_cosine is not None or self.probes is not None):
            raise ValueError(
                "every_clip ranks all chunks or shots: it needs the clip space, without min_cosine and probes"
            )
        if self.rerank is None:
            return
        of_shots = space == "clip" and self.picture and encoder.preprocessing.shots is not None
        if space != "code" and not of_shots:
            raise ValueError(
                "rerank puts in order what codes have found, or shots that a picture has found: it needs the code "
                f"space, got {space!r}"
            )
        if of_shots and "frame" not in index.spaces:
            raise ValueError("rerank puts shots in order by their frames, and the index keeps no single frames")
        if check_count(self.rerank, "rerank") < self.k:
            raise ValueError(f"rerank must be at least k = {self.k}, got {self.rerank}")

    @property
    def _measured(self) -> str:
        return self.metric or "euclidean"

    def _by_frames(self, index: MediaIndex, rows: Rows) -> list[Match]:
        if len(rows.vectors) == 1 or self._only_pictures:
            # A picture has no time that a video could be aligned with: it counts by the frame nearest to it.
            return self._nearest(index, "frame", rows, self.k, self._measured)
        if self.probes is not None:
            raise ValueError(
                "a video in the frame space is compared with every item, and probes would leave items out: search the "
                "clip space, or leave probes out"
            )
        if self._measured not in ("euclidean", "cosine"):
            raise ValueError(
                f"a video in the frame space is aligned in time by metric euclidean or cosine, got {self._measured!r}"
            )
        # Every frame ranks all items; of PAR, the threshold is for the aligned ones.
        ranking = self if self.min_cosine is None else dataclasses.replace(self, min_cosine=-2.0)
        result = ranking._search(index, "frame", rows, max(self.k, len(index)))
        candidates = nearest_by_frames(result, max(self.k, _ALIGNED))
        return aligned_matches(index, candidates, rows, self.k, self.min_cosine, self._measured)

    def _by_clips(self, index: MediaIndex, rows: Rows) -> list[Match]:
        wanted = self.rerank or self.k
        if self.every_clip:
            found = matches_of_every_clip(index, rows, wanted, self._measured, kinds=self.kinds, threads=self.threads)
        else:
            found = self._nearest(index, "clip", rows, wanted, self._measured)
        if not self.picture or "frame" not in index.spaces:
            return found
        placed = with_best_frames(index, found, rows.vectors[0])
        return placed if self.rerank is None else by_best_frame(index, placed)[: self.k]

    def _by_codes(self, index: MediaIndex, clips: Rows) -> list[Match]:
        found = self._nearest(index, "code", code_rows(clips), self.rerank or self.k, "hamming")
        if self.rerank is None or not found:
            return found
        candidates = np.array([index.id_of(match.item.key) for match in found], np.int64)
        return reranked(index, candidates, clips, self.k, self.threads)

    def _nearest(self, index: MediaIndex, space: SpaceName, rows: Rows, count: int, measured: str) -> list[Match]:
        """The `count` nearest items, each at its best pair of rows."""
        return best_per_item(chunk_matches(self._search(index, space, rows, count), rows, measured), count, index)

    def _search(self, index: MediaIndex, space: SpaceName, rows: Rows, count: int) -> MediaSearchResult:
        return index.search(
            space,
            rows.vectors,
            count,
            options=SearchOptions(self.metric, self.min_cosine, probes=self.probes),
            kinds=self.kinds,
            threads=self.threads,
        )
