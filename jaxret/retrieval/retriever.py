"""The retriever: media files in, matches out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from jaxret.data.media_folders import MediaFiles, media_kind
from jaxret.data.media_item import MediaDataset, MediaItem
from jaxret.embedding import FrameVectors, Rows, clip_rows, frame_rows, frame_vectors
from jaxret.errors import MediaError
from jaxret.index import (
    EncoderRecord,
    Hit,
    IndexItem,
    MediaIndex,
    MediaSearchResult,
    Metric,
    Space,
    SpaceRows,
)
from jaxret.models.encoder import VideoEncoder
from jaxret.models.encoder_store import fingerprint, load_encoder, save_encoder

__all__ = ["AddReport", "Match", "Retriever", "SpaceName"]

SpaceName = Literal["frame", "clip"]

_ITEMS_A_COMMIT = 512  # items between commits of a long addition: what a kill can lose


@dataclasses.dataclass(frozen=True)
class Match(Hit):
    """A result, with the span of the query that it answers.

    Attributes:
      query_start, query_end: seconds in the query; both 0 for a picture.
    """

    query_start: float = 0.0
    query_end: float = 0.0


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

    @classmethod
    def create(cls, folder: str | Path, encoder: VideoEncoder) -> Retriever:
        """An empty index in a new folder, with a copy of the encoder, so that the folder stands alone."""
        folder = Path(folder)
        save_encoder(encoder, folder / "encoder")
        index = MediaIndex.create(
            folder,
            spaces=[
                Space("frame", encoder.frame_embedding_size),
                Space("clip", encoder.clip_embedding_size),
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
        clips = clip_rows(block, self.encoder, frames=self.encoder.preprocessing.frames)
        if len(clips.vectors):
            spaces["clip"] = clips
        self.index.add(
            [_index_item(dataset.items[number], block[int(number)]) for number in numbers],
            {name: _space_rows(rows.of_items(numbers)) for name, rows in spaces.items()},
        )

    def search(
        self,
        query: str | Path | MediaDataset,
        k: int = 10,
        *,
        metric: Metric = "euclidean",
        min_cosine: float | None = None,
        space: SpaceName | None = None,
        kinds: tuple[str, ...] | None = None,
        threads: int | None = None,
    ) -> list[Match]:
        """The k items nearest to a picture or video, nearest first, each at its best place.

        In the clip space a video of several chunks asks with each of them, and an item counts by its best:
        videos that share a part are found, with the part. In the frame space an item's distance is the mean
        over the query's frames of the distance to its nearest frame (for a picture, that of its nearest
        frame): edited copies are found, whatever the clip encoder was trained for.

        Args:
          query: a media file, or a data set of one item.
          k: items wanted, at least 1.
          metric: "euclidean" or "cosine" (1 - cosine similarity).
          min_cosine: PAR: of the k nearest by Euclidean distance, those whose cosine exceeds this.
          space: "frame" compares single frames and pictures, "clip" chunks of videos. None: frame for a
            picture, clip for a video (frame if the index holds no video).
          kinds: find only "image" or only "video".
          threads: for the ranking kernels.

        Raises:
          MediaError: the query cannot be read.
          ValueError: k, min_cosine or space is out of range, or a picture is asked in the clip space.
        """
        dataset = query if isinstance(query, MediaDataset) else single_file(query)
        ((_, vectors),) = frame_vectors(dataset, self.encoder, indices=[0], threads=1)
        if isinstance(vectors, MediaError):
            raise vectors
        chosen = space or self._space_for(dataset.items[0])
        rows = self._query_rows(vectors, chosen)
        by_frames = chosen == "frame" and len(rows.vectors) > 1
        result = self.index.search(
            chosen,
            rows.vectors,
            max(k, len(self.index)) if by_frames else k,
            metric=metric,
            min_cosine=-2.0 if by_frames and min_cosine is not None else min_cosine,
            kinds=kinds,
            threads=threads,
        )
        if by_frames:
            return self._mean_over_frames(result, rows, k, min_cosine)
        matches = [
            Match(
                hit.item,
                hit.distance,
                hit.start,
                hit.end,
                hit.cosine,
                query_start=float(rows.starts[row]),
                query_end=float(rows.ends[row]),
            )
            for row in range(len(rows.vectors))
            for hit in result.hits(row)
        ]
        return list(self._best_per_item(matches, k))

    def _mean_over_frames(self, result: MediaSearchResult, rows: Rows, k: int, min_cosine: float | None) -> list[Match]:
        """Items by the mean of their distances to all frames of the query; their span covers the frames met."""
        order = np.argsort(result.ids, axis=1, kind="stable")
        # Every frame ranks the same items, so sorted by id the columns are the items.
        ids = np.take_along_axis(result.ids, order, axis=1)[0]
        present = ids >= 0
        ids, order = ids[present], order[:, present]

        def by_item(values: np.ndarray) -> np.ndarray:
            return np.take_along_axis(values, order, axis=1)

        distances = by_item(result.distances).mean(axis=0, dtype=np.float64)
        cosines = None if result.cosines is None else by_item(result.cosines).mean(axis=0, dtype=np.float64)
        starts, ends = by_item(result.starts).min(axis=0), by_item(result.ends).max(axis=0)
        span = (float(rows.starts.min()), float(rows.ends.max()))
        return [
            Match(
                result.found[int(ids[place])],
                float(distances[place]),
                float(starts[place]),
                float(ends[place]),
                None if cosines is None else float(cosines[place]),
                *span,
            )
            for place in np.lexsort((ids, distances))[:k]
            if cosines is None or min_cosine is None or cosines[place] > min_cosine
        ]

    def _best_per_item(self, matches: list[Match], k: int) -> Iterator[Match]:
        """The k nearest of different items, by (distance, id) and then by the earlier span of the query."""
        seen: set[str] = set()
        for match in sorted(matches, key=lambda m: (m.distance, self.index.id_of(m.item.key), m.query_start)):
            if match.item.key not in seen and len(seen) < k:
                seen.add(match.item.key)
                yield match

    def _space_for(self, item: MediaItem) -> SpaceName:
        return "clip" if item.kind == "video" and self.index.count_rows("clip") else "frame"

    def _query_rows(self, vectors: FrameVectors, space: SpaceName) -> Rows:
        if space == "frame":
            return frame_rows({0: vectors})
        rows = clip_rows({0: vectors}, self.encoder, frames=self.encoder.preprocessing.frames)
        if not len(rows.vectors):
            raise ValueError("a picture has no clip embedding: search it in the frame space")
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
