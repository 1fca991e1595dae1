"""The retriever: media files in, matches out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from jaxret.data.media_folders import MediaFiles, media_kind
from jaxret.data.media_item import MediaDataset, MediaItem
from jaxret.embedding import FrameVectors, Rows, clip_rows, code_rows, frame_rows, frame_vectors
from jaxret.errors import MediaError
from jaxret.index import (
    EncoderRecord,
    IndexItem,
    MediaIndex,
    Metric,
    Space,
    SpaceRows,
)
from jaxret.models.encoder import VideoEncoder
from jaxret.models.encoder_store import fingerprint, load_encoder, save_encoder
from jaxret.rank.validation import check_count
from jaxret.retrieval.matches import Match, aligned_matches, best_per_item, chunk_matches, nearest_by_frames, reranked

__all__ = ["AddReport", "Retriever", "SpaceName"]

SpaceName = Literal["frame", "clip", "code"]

_ALIGNED = 50  # nearest items by frames alone that are aligned with a query video in time
_ITEMS_A_COMMIT = 512  # items between commits of a long addition: what a kill can lose


@dataclasses.dataclass(frozen=True)
class AddReport:
    """What an addition did.

    Attributes:
      added: keys that are new in the index.
      present: keys that were there already and were left as they are.
      skipped: files that could not be read, with the reason.
    """

    added: tuple[str, ...]
    present: tuple[str, ...]
    skipped: tuple[MediaError, ...]


class Retriever:
    """Searches images and videos by content.

    Example:
      retriever = Retriever.open("runs/moving-digits-1/index")
      for match in retriever.search("query.mp4", k=5):
          print(match.distance, match.item.key, match.start, match.end)
    """

    def __init__(self, encoder: VideoEncoder, index: MediaIndex):
        self.encoder = encoder
        self.index = index

    @property
    def has_codes(self) -> bool:
        """Whether the index has a code space, which it has if its encoder has `code_bits`."""
        return "code" in self.index.spaces

    def bytes_a_video(self, space: SpaceName) -> float:
        """Bytes that the rows of a space take, divided by the items that have any there; 0 where none has."""
        kind = self.index.spaces[space]
        items = int(self.index.searchable(space).sum())
        return self.index.count_rows(space) * kind.row_length * np.dtype(kind.dtype).itemsize / max(items, 1)

    @classmethod
    def create(cls, folder: str | Path, encoder: VideoEncoder) -> Retriever:
        """An empty index in a new folder, with a copy of the encoder, so that the folder stands alone.

        It has the spaces frame and clip, and of an encoder with `code_bits` also code.
        """
        folder = Path(folder)
        save_encoder(encoder, folder / "encoder")
        codes = [Space.of_codes("code", encoder.code_bits)] if encoder.code_bits else []
        index = MediaIndex.create(
            folder,
            spaces=[
                Space("frame", encoder.frame_embedding_size),
                Space("clip", encoder.clip_embedding_size),
                *codes,
            ],
            encoder=EncoderRecord(fingerprint(encoder), encoder.preprocessing, encoder.config),
        )
        return cls(encoder, index)

    @classmethod
    def open(cls, folder: str | Path) -> Retriever:
        """Open an index with the encoder that lies in it.

        Raises:
          IndexFormatError: the folder is not an index, or damaged.
          WeightsError: the encoder in it is damaged.
          EncoderMismatchError: the encoder is not the one that made the index.
        """
        folder = Path(folder)
        index = MediaIndex.open(folder)
        encoder = load_encoder(folder / "encoder")
        index.check_encoder(fingerprint(encoder), encoder.preprocessing)
        return cls(encoder, index)

    def add(
        self,
        dataset: MediaDataset,
        *,
        media: Mapping[int, FrameVectors] | None = None,
        threads: int = 2,
        on_item: Callable[[int], None] | None = None,
    ) -> AddReport:
        """Embed and add the items of a data set; items whose key is in the index already are left alone.

        A long addition is committed in parts, so that one that was stopped goes on where it was.

        Args:
          dataset: what to add.
          media: frame vectors by item number, if they are at hand; items that it lacks are skipped.
          threads: files decoded at once.
          on_item: called with each item's number when it is embedded.
        """
        fresh = [number for number, item in enumerate(dataset.items) if item.key not in self.index]
        present = tuple(item.key for item in dataset.items if item.key in self.index)
        added: list[str] = []
        skipped: list[MediaError] = []
        for start in range(0, len(fresh), _ITEMS_A_COMMIT):
            wanted = fresh[start : start + _ITEMS_A_COMMIT]
            block: dict[int, FrameVectors] = {}
            if media is None:
                stream = frame_vectors(dataset, self.encoder, indices=wanted, threads=threads, on_item=on_item)
            else:
                stream = iter([(number, media[number]) for number in wanted if number in media])
            for number, vectors in stream:
                if isinstance(vectors, MediaError):
                    skipped.append(vectors)
                else:
                    block[number] = vectors
            if block:
                self._commit(dataset, block)
                added.extend(dataset.items[number].key for number in sorted(block))
        return AddReport(tuple(added), present, tuple(skipped))

    def _commit(self, dataset: MediaDataset, block: dict[int, FrameVectors]) -> None:
        numbers = np.array(sorted(block), np.int64)
        spaces = {"frame": frame_rows(block)}
        clips = clip_rows(block, self.encoder)
        if len(clips.vectors):
            spaces["clip"] = clips
            if self.has_codes:
                spaces["code"] = code_rows(clips)
        self.index.add(
            [_index_item(dataset.items[number], block[int(number)]) for number in numbers],
            {name: _space_rows(rows.of_items(numbers)) for name, rows in spaces.items()},
        )

    def search(
        self,
        query: str | Path | MediaDataset,
        k: int = 10,
        *,
        metric: Metric | None = None,
        min_cosine: float | None = None,
        rerank: int | None = None,
        probes: int | None = None,
        space: SpaceName | None = None,
        kinds: tuple[str, ...] | None = None,
        threads: int | None = None,
    ) -> list[Match]:
        """The k items nearest to a picture or video, nearest first, each at its best place.

        In the clip and code spaces a video of several chunks asks with each of them, and an item counts by its best:
        videos that share a part are found, with the part.

        In the frame space a picture finds the items with the nearest frame. A video finds copies of itself, of a
        part of it, or of what it is a part of, edited ones too, whatever the clip encoder was trained for: the
        items with the nearest frames on average are aligned with it in time (`jaxret.retrieval.frame_alignment`),
        and the distance is that of the frames that then meet.

        Args:
          query: a media file, or a data set of one item.
          k: items wanted, at least 1.
          metric: "euclidean" or "cosine" (1 - cosine similarity), "hamming" (bits) for codes; None: hamming in the
            code space, else euclidean.
          min_cosine: PAR: of the k nearest by Euclidean distance, those whose cosine exceeds this.
          rerank: of the code space, at least k: put this many nearest items by Hamming distance in order by the
            Euclidean distance of their clip embeddings, which is then the distance of a match.
          probes: of the clip space, and of the frame space for a picture, by Euclidean distance: look only into the
            cells of vectors around this many centroids, see `MediaIndex.search`. Much faster on millions of vectors
            once the first such search has made the cells, and some neighbours are missed; None: all vectors.
          space: "frame" compares single frames and pictures, "clip" chunks of videos, "code" their binary codes.
            None: for a picture frame; for a video code if the index has codes, clip if it has none or a `metric` of
            vectors, `min_cosine` or `probes` is given, frame if it holds no video.
          kinds: find only "image" or only "video".
          threads: for the ranking kernels.

        Raises:
          MediaError: the query cannot be read.
          ValueError: k, min_cosine, rerank, probes, metric or space is out of range or does not fit the others, or
            a picture is asked in the clip or code space.
        """
        dataset = query if isinstance(query, MediaDataset) else single_file(query)
        ((_, vectors),) = frame_vectors(dataset, self.encoder, indices=[0], threads=1)
        if isinstance(vectors, MediaError):
            raise vectors
        of_vectors = min_cosine is not None or probes is not None or metric not in (None, "hamming")
        chosen = space or self._space_for(dataset.items[0], of_vectors)
        check_count(k, "k")
        if rerank is not None and chosen != "code":
            raise ValueError(f"rerank puts what codes have found in order: it needs the code space, got {chosen!r}")
        if rerank is not None and check_count(rerank, "rerank") < k:
            raise ValueError(f"rerank must be at least k = {k}, got {rerank}")
        if min_cosine is not None and not math.isfinite(min_cosine):
            raise ValueError(f"min_cosine must be a finite number, got {min_cosine}")
        if probes is not None and chosen == "code":
            raise ValueError("probes looks into cells of vectors: it needs the clip or frame space, got 'code'")
        if chosen == "code":
            return self._search_codes(self._query_clips(vectors), k, metric, min_cosine, rerank, kinds, threads)
        rows = frame_rows({0: vectors}) if chosen == "frame" else self._query_clips(vectors)
        by_frames = chosen == "frame" and len(rows.vectors) > 1
        if by_frames and probes is not None:
            raise ValueError(
                "a video in the frame space is compared with every item, and probes would leave items out: search the "
                "clip space, or leave probes out"
            )
        result = self.index.search(
            chosen,
            rows.vectors,
            max(k, len(self.index)) if by_frames else k,
            metric=metric,
            min_cosine=-2.0 if by_frames and min_cosine is not None else min_cosine,
            kinds=kinds,
            probes=probes,
            threads=threads,
        )
        measured = metric or "euclidean"
        if by_frames:
            candidates = nearest_by_frames(result, max(k, _ALIGNED))
            return aligned_matches(self.index, candidates, rows, k, min_cosine, measured)
        return best_per_item(chunk_matches(result, rows, measured), k, self.index)

    def _search_codes(
        self,
        clips: Rows,
        k: int,
        metric: Metric | None,
        min_cosine: float | None,
        rerank: int | None,
        kinds: tuple[str, ...] | None,
        threads: int | None,
    ) -> list[Match]:
        if not self.has_codes:
            raise ValueError("the index has no codes, for its encoder has no hash layer: search the clip space")
        rows = code_rows(clips)
        wanted = k if rerank is None else rerank
        result = self.index.search(
            "code", rows.vectors, wanted, metric=metric, min_cosine=min_cosine, kinds=kinds, threads=threads
        )
        found = best_per_item(chunk_matches(result, rows, "hamming"), wanted, self.index)
        if rerank is None or not found:
            return found
        candidates = np.array([self.index.id_of(match.item.key) for match in found], np.int64)
        return reranked(self.index, candidates, clips, k, threads)

    def _space_for(self, item: MediaItem, of_vectors: bool) -> SpaceName:
        if item.kind != "video" or not self.index.count_rows("clip"):
            return "frame"
        return "code" if self.has_codes and not of_vectors else "clip"

    def _query_clips(self, vectors: FrameVectors) -> Rows:
        rows = clip_rows({0: vectors}, self.encoder)
        if not len(rows.vectors):
            raise ValueError("a picture has no clip embedding and no code: search it in the frame space")
        return rows


def single_file(path: str | Path) -> MediaFiles:
    """A data set of one media file.

    Raises:
      MediaError: there is no such file, it is of no known kind, or it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(str(path), "no such file" if not path.exists() else "not a file")
    kind = media_kind(path)
    if kind is None:
        raise MediaError(str(path), "neither an image nor a video by its file name")
    dataset = MediaFiles([MediaItem(path.name, kind, path=str(path))])
    if dataset.skipped:
        raise dataset.skipped[0]
    return dataset


def _index_item(item: MediaItem, vectors: FrameVectors) -> IndexItem:
    duration = float(vectors.spans.max()) if item.kind == "video" else 0.0
    path = None if item.path is None else str(Path(item.path).resolve())
    return IndexItem(item.key, item.kind, item.label, item.source, item.split, path, duration)


def _space_rows(rows: Rows) -> SpaceRows:
    return SpaceRows(rows.vectors, rows.items, rows.starts, rows.ends)
