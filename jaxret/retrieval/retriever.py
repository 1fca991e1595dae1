"""The retriever: media files in, matches out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError, MediaError
from jaxret.index import MediaIndex, Space
from jaxret.models.encoder import VideoEncoder
from jaxret.rank.sequence_ranking import SequenceMeasure, Subsequence
from jaxret.retrieval.additions import AddReport, add_media, fresh_items
from jaxret.retrieval.encode import FrameVectors, clip_rows, code_rows, frame_rows, frame_vectors
from jaxret.retrieval.query_file import single_file
from jaxret.retrieval.store import create_with_encoder, open_with_encoder
from jaxret.retrieval.systems.matches import Match
from jaxret.retrieval.systems.sequences import ClipSequences, asked_ranking, sequence_matches
from jaxret.retrieval.systems.vectors import Query, SpaceName

__all__ = ["Retriever"]


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
        self._sequences: ClipSequences | None = None

    @property
    def has_codes(self) -> bool:
        """Whether the index has a code space, which it has if its encoder has `code_bits`."""
        return "code" in self.index.spaces

    @property
    def finds_shots(self) -> bool:
        """Whether videos are indexed as shots, which pictures ask for as well."""
        return self.encoder.preprocessing.shots is not None

    @property
    def has_frames(self) -> bool:
        """Whether the index keeps single frames; an index of shots may do without."""
        return "frame" in self.index.spaces

    def bytes_of(self, space: SpaceName) -> int:
        """Bytes that the rows of a space take."""
        kind = self.index.spaces[space]
        return self.index.count_rows(space) * kind.row_length * np.dtype(kind.dtype).itemsize

    def bytes_a_video(self, space: SpaceName) -> float:
        """Bytes that the rows of a space take, divided by the items that have any there; 0 where none has."""
        return self.bytes_of(space) / max(int(self.index.searchable(space).sum()), 1)

    def bytes_an_hour(self, space: SpaceName) -> float:
        """Bytes that the rows of a space take, divided by the hours of video in the index; 0 where it has none."""
        hours = sum(item.duration or 0.0 for item in self.index.items) / 3600
        return self.bytes_of(space) / hours if hours else 0.0

    @classmethod
    def create(cls, folder: str | Path, encoder: VideoEncoder, *, frames: bool = True) -> Retriever:
        """An empty index in a new folder, with a copy of the encoder, so that the folder stands alone.

        It has the spaces frame and clip, and of an encoder with `code_bits` also code. Of an encoder of shots, which
        sees several frames a second, frames are kept in half precision.

        Args:
          folder: new or empty.
          encoder: of everything that will be added and asked.
          frames: keep single frames. An encoder of shots does without: that is a tenth of the size, and a picture finds
            shots, but not the moment in them.

        Raises:
          ConfigError: the folder holds something, or single frames are left out and the encoder needs them.
        """
        shots = encoder.preprocessing.shots is not None
        if not frames and not shots:
            raise ConfigError("pictures are searched by single frames, unless the encoder is one of shots: keep them")
        spaces = [Space("clip", encoder.clip_embedding_size)]
        if frames:
            spaces.insert(0, Space("frame", encoder.frame_embedding_size, dtype="float16" if shots else "float32"))
        if encoder.code_bits:
            spaces.append(Space.of_codes("code", encoder.code_bits))
        return cls(encoder, create_with_encoder(folder, encoder, spaces))

    @classmethod
    def open(cls, folder: str | Path) -> Retriever:
        """Open an index with the encoder that lies in it.

        Raises:
          IndexFormatError: the folder is not an index, or damaged.
          WeightsError: the encoder in it is damaged.
          EncoderMismatchError: the encoder is not the one that made the index.
          ConfigError: the index is one of regions, see `jaxret.retrieval.InstanceRetriever`.
        """
        encoder, index = open_with_encoder(folder)
        if not isinstance(encoder, VideoEncoder):
            raise ConfigError(f"{folder} is an index of regions of pictures: open it with jaxret.retrieval")
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
        if media is None:
            stream = frame_vectors(
                dataset, self.encoder, indices=fresh_items(dataset, self.index), threads=threads, on_item=on_item
            )
        else:
            stream = iter([(n, media[n]) for n in fresh_items(dataset, self.index) if n in media])
        return add_media(self.index, dataset, stream, self._rows_of)

    def _rows_of(self, block: Mapping[int, FrameVectors]) -> dict[str, Rows]:
        spaces = {"frame": frame_rows(block)} if self.has_frames else {}
        clips = clip_rows(block, self.encoder)
        if len(clips.vectors):
            spaces["clip"] = clips
            if self.has_codes:
                spaces["code"] = code_rows(clips)
        return spaces

    def search(
        self,
        query: str | Path | MediaDataset,
        k: int = 10,
        *,
        metric: str | None = None,
        min_cosine: float | None = None,
        rerank: int | None = None,
        probes: int | None = None,
        space: SpaceName | None = None,
        every_clip: bool = False,
        sequence: SequenceMeasure | None = None,
        subsequence: Subsequence | None = None,
        length_normalised: bool = False,
        kinds: tuple[str, ...] | None = None,
        threads: int | None = None,
    ) -> list[Match]:
        """The k items nearest to a picture or video, nearest first, each at its best place.

        With an encoder of shots a picture, too, asks in the clip space: it finds shots (and pictures), and in each the
        moment of the frame that is nearest to it, where the index keeps frames.

        In the clip and code spaces a video of several chunks asks with each of them, and an item counts by its best:
        videos that share a part are found, with the part.

        In the frame space a picture finds the items with the nearest frame. A video finds copies of itself, of a
        part of it, or of what it is a part of, edited ones too, whatever the clip encoder was trained for: the
        items with the nearest frames on average are aligned with it in time (`jaxret.retrieval.systems.alignment`),
        and the distance is that of the frames that then meet. Pictures (`kinds=("image",)`) it finds by its frame that
        is nearest to each.

        Args:
          query: a media file, a folder of RGB-D frames (or `rgbd,rate=15:FOLDER`), or a data set of one item.
          k: items wanted, at least 1.
          metric: "euclidean" or "cosine" (1 - cosine similarity), "hamming" (bits) for codes; None: hamming in the
            code space, else euclidean.
          min_cosine: PAR: of the k nearest by Euclidean distance, those whose cosine exceeds this.
          rerank: of the code space, at least k: put this many nearest items by Hamming distance in order by the
            Euclidean distance of their clip embeddings, which is then the distance of a match. With a picture and an
            encoder of shots: put this many nearest shots in order by the distance of their frame that is nearest to
            the picture, which is then the distance of a match.
          probes: of the clip space, and of the frame space for a picture, by Euclidean distance: look only into the
            cells of vectors around this many centroids, see `MediaIndex.search`. Much faster on millions of vectors
            once the first such search has made the cells, and some neighbours are missed; None: all vectors.
          space: "frame" compares single frames and pictures, "clip" chunks of videos, "code" their binary codes.
            None: for a picture frame; for a video code if the index has codes, clip if it has none or a `metric` of
            vectors, `min_cosine` or `probes` is given, frame if it holds no video or only images are wanted. With an
            encoder of shots always clip.
          every_clip: in the clip space: chunks or shots are results of their own, several of one item among them.
          sequence: compare videos as sequences of their clip vectors, each in order of time: "bi-dtw" (dynamic time
            warping, forwards or with one of the two backwards), "dtw", "bi-dtw-printed" or "mean-cosine" (no order);
            see `jaxret.rank.SequenceRanking`. It goes with `k`, `kinds` and the two that follow.
          subsequence: of a sequence: "query" finds where in each video the query lies, "item" where in the query each
            video lies; None compares whole videos.
          length_normalised: divide distances of sequences by the number of clips that are aligned, of both videos.
          kinds: find only "image" or only "video".
          threads: for the ranking kernels.

        Raises:
          MediaError: the query cannot be read.
          ValueError: k, min_cosine, rerank, probes, metric, space or what is said of sequences is out of range or does
            not fit the others, or a picture is asked in the clip or code space, or as a sequence.
        """
        ranking = asked_ranking(
            sequence,
            subsequence,
            length_normalised,
            space=space,
            kinds=kinds,
            metric=metric,
            min_cosine=min_cosine,
            rerank=rerank,
            probes=probes,
            every_clip=every_clip,
        )
        dataset = query if isinstance(query, MediaDataset) else single_file(query)
        if ranking is not None and dataset.items[0].kind == "image":
            raise ValueError("a picture is no sequence of clips: search it without sequence")
        ((_, vectors),) = frame_vectors(dataset, self.encoder, indices=[0], threads=1)
        if isinstance(vectors, MediaError):
            raise vectors
        if ranking is not None:
            clips = clip_rows({0: vectors}, self.encoder)
            return sequence_matches(self.index, self._clip_sequences(), clips, k, ranking, threads=threads)
        asked = Query(
            vectors,
            dataset.items[0].kind == "image",
            k,
            metric=metric,
            min_cosine=min_cosine,
            rerank=rerank,
            probes=probes,
            space=space,
            every_clip=every_clip,
            kinds=kinds,
            threads=threads,
        )
        return asked.matches(self.index, self.encoder)

    def _clip_sequences(self) -> ClipSequences:
        """Those of the index as it is, kept from search to search until it changes."""
        if self._sequences is None or self._sequences.revision != self.index.revision:
            self._sequences = ClipSequences(self.index)
        return self._sequences
