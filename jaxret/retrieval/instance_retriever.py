"""The retriever of instances: a picture and a box in, pictures that show the thing out, each with the place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Chunk, Pixels
from jaxret.data.rows import Rows
from jaxret.data.sampling.frames import frames_on_display
from jaxret.data.sampling.reading import chunks_of, open_item, read_pictures
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.errors import MediaError
from jaxret.index import MediaIndex, Space
from jaxret.rank.validation import check_count
from jaxret.retrieval.additions import AddReport, add_media, fresh_items
from jaxret.retrieval.encode import FrameVectors, frame_rows, frame_vectors
from jaxret.retrieval.query_file import single_file
from jaxret.retrieval.store import create_with_encoder, open_with_encoder
from jaxret.retrieval.systems.base import InstanceGallery, InstanceSystem, Located, TooFewWordsError
from jaxret.retrieval.systems.kinds import instance_system
from jaxret.retrieval.systems.region import Region, scaled_box
from jaxret.retrieval.systems.two_pass import InstanceMatch, InstanceRanking, Search, best_of_items, first_of_each
from jaxret.retrieval.systems.words import SiftWords, WordGallery

__all__ = ["InstanceRetriever"]

_SIZES = "sizes"


class InstanceRetriever:
    """Finds the thing that a user marks on a picture, in pictures and videos.

    Example:
      retriever = InstanceRetriever.open("runs/instance-search-1/index")
      for match in retriever.search("photo.jpg", region=Region(40, 30, 120, 90)):
          print(match.distance, match.item.key, match.box)
    """

    def __init__(self, encoder: Any, index: MediaIndex):
        self.encoder = encoder
        self.index = index
        self.system: InstanceSystem[Any] = instance_system(encoder)
        self._gallery: tuple[int, InstanceGallery[Any]] | None = None

    @classmethod
    def create(cls, folder: str | Path, encoder: Any) -> InstanceRetriever:
        """An empty index in a new folder, with a copy of the encoder, so that the folder stands alone.

        Args:
          folder: new or empty.
          encoder: a `MapWordEncoder`, `SiftWordEncoder`, `RegionalEncoder` or `FasterRCNN`, fitted.

        Raises:
          ConfigError: the folder holds something, or the encoder is of another kind.
        """
        spaces = [*instance_system(encoder).spaces, Space.of_records(_SIZES, 2, "uint32")]
        return cls(encoder, create_with_encoder(folder, encoder, spaces))

    @classmethod
    def open(cls, folder: str | Path) -> InstanceRetriever:
        """Open an index with the encoder that lies in it.

        Raises:
          IndexFormatError: the folder is not an index, or damaged.
          WeightsError: the encoder in it is damaged.
          EncoderMismatchError: the encoder is not the one that made the index.
          ConfigError: the index is one of whole pictures and clips, see `jaxret.retrieval.Retriever`.
        """
        return cls(*open_with_encoder(folder))

    def add(
        self, dataset: MediaDataset, *, threads: int = 2, on_item: Callable[[int], None] | None = None
    ) -> AddReport:
        """Describe and add the items of a data set; items whose key is in the index already are left alone.

        Of a video the frames that the preprocessing samples are added, each a picture with its time. A long addition
        is committed in parts, so that one that was stopped goes on where it was.

        Args:
          dataset: what to add.
          threads: files decoded at once.
          on_item: called with each item's number when it is described.
        """
        sizes: dict[int, tuple[int, int]] = {}

        def read(number: int) -> Iterator[Chunk]:
            with open_item(dataset, number, self.system.preprocessing) as reader:
                sizes[number] = reader.info.height, reader.info.width
                is_image = dataset.items[number].kind == "image"
                yield from chunks_of(reader, self.system.preprocessing, is_image=is_image)

        def rows_of(block: Any) -> dict[str, Rows]:
            frames = frame_rows(block)
            shapes = np.array([sizes.pop(n) for n in sorted(block)], np.int64)
            places = np.searchsorted(sorted(block), frames.items)
            return {**self.system.rows(frames), _SIZES: dataclasses.replace(frames, vectors=shapes[places])}

        fresh = fresh_items(dataset, self.index)
        stream: Iterator[tuple[int, FrameVectors | MediaError]] = frame_vectors(
            dataset, self.system, indices=fresh, threads=threads, on_item=on_item, read=read
        )
        return add_media(self.index, dataset, stream, rows_of)

    def search(
        self,
        query: str | Path | MediaDataset,
        k: int = 10,
        *,
        region: Region | None = None,
        at: float | None = None,
        how: Search | None = None,
        kinds: Collection[str] | None = None,
    ) -> list[InstanceMatch]:
        """The k items that show best what a region of a picture shows, best first, each with the place.

        Args:
          query: a media file, or a data set of one item.
          k: items wanted, at least 1.
          region: the box that was drawn; None: the whole picture asks.
          at: of a video, seconds of the frame that asks.
          how: see `Search`; None: its defaults. `rerank` is raised to k where it is above 0 and below k.
          kinds: find only "image" or only "video".

        Raises:
          MediaError: the query cannot be read.
          ValueError: k, region, at or a setting is out of range, or does not fit the query or the index.
        """
        dataset = query if isinstance(query, MediaDataset) else single_file(query)
        how = Search() if how is None else how
        if 0 < how.rerank < check_count(k, "k"):
            how = dataclasses.replace(how, rerank=k)
        picture, size = self.picture(dataset, at)
        return self._matches(self.rank(picture, size, region, how, kinds), k)

    def picture(self, dataset: MediaDataset, at: float | None = None) -> tuple[Pixels, tuple[int, int]]:
        """The first item of a data set, of a video the frame on display at `at` seconds, as the encoder sees it.

        Returns:
          uint8 (H, W, C), and the (height, width) that it had.

        Raises:
          MediaError: it cannot be read.
          ValueError: `at` is missing for a video, given for a picture, or beyond the video's end.
        """
        preprocessing = self.system.preprocessing
        item = dataset.items[0]
        if (at is None) == (item.kind == "video"):
            name = item.path or item.key
            raise ValueError(
                f"{name} is a video: say at which second its frame asks"
                if at is None
                else f"{name} is a picture, and has no frame at {at:g} s"
            )
        with open_item(dataset, 0, preprocessing) as reader:
            info = reader.info
            if at is not None and not 0 <= at < info.duration:
                raise ValueError(f"at must lie in the video's 0 to {info.duration:g} seconds, got {at:g}")
            geometry = centre_geometry(info.height, info.width, preprocessing)
            moments = frames_on_display(reader.times, np.array([at or 0.0]))
            (picture,) = read_pictures(reader, moments, geometry, preprocessing)
            return picture, (info.height, info.width)

    def rank(
        self,
        picture: Pixels,
        size: tuple[int, int],
        region: Region | None = None,
        how: Search | None = None,
        kinds: Collection[str] | None = None,
    ) -> InstanceRanking:
        """Rank the whole index, or all of it that is of some kinds.

        Args:
          picture: uint8 (H, W, C), as the encoder sees it; see `picture`.
          size: (height, width) that it had, which the region's pixels are of.
          region: None: the whole picture asks.
          how: see `Search`; None: its defaults.
          kinds: rank only "image" or only "video"; None: both.

        Raises:
          ValueError: as `search`.
        """
        how = Search() if how is None else how
        if how.surroundings and region is None:
            raise ValueError("surroundings are those of a region, and no region is marked")
        gallery = self.gallery()
        rows = self._rows_of_kinds(gallery, kinds)
        if how.verify and not isinstance(self.system, SiftWords):
            raise ValueError("verify compares key points: it needs an index of SIFT words")
        question = self.question(picture, size, region, how)
        order, first, found = self._pass(gallery, rows, question, how)
        if how.expand and found is not None:
            best = Located(found.rows[: how.expand], found.distances[: how.expand], found.boxes[: how.expand])
            question = gallery.expanded(question, best, weighted=how.weighted)
            order, first, found = self._pass(gallery, rows, question, how)
        if how.verify and found is not None:
            assert isinstance(gallery, WordGallery)
            found = gallery.verified(question, found)
        return best_of_items(gallery, order, first, found)

    def question(
        self, picture: Pixels, size: tuple[int, int], region: Region | None = None, how: Search | None = None
    ) -> Any:
        """What a region asks of the gallery, in the form of the index's own system. Arguments and errors as `rank`."""
        how = Search() if how is None else how
        box = None if region is None else scaled_box(region.box(size), size, picture.shape[:2])
        try:
            return self.system.question(picture, box, min_words=how.min_words, surroundings=how.surroundings)
        except TooFewWordsError as error:
            # The box is in the encoder's pixels, which a user has never seen: the message names the region as given.
            raise ValueError(f"{'the picture' if region is None else f'the region {region}'} {error}") from error

    def gallery(self) -> InstanceGallery[Any]:
        """The index as it is, prepared once and kept until it changes."""
        if self._gallery is None or self._gallery[0] != self.index.revision:
            self._gallery = self.index.revision, self.system.gallery(self.index)
        return self._gallery[1]

    def _pass(
        self, gallery: InstanceGallery[Any], rows: NDArray[np.int64], question: Any, how: Search
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], Located | None]:
        """These rows in order, the distances of all rows, and of the nearest ones the places in them."""
        first = gallery.distances(question, weighted=how.weighted, centre=how.centre)
        order = rows[np.argsort(first[rows], kind="stable")]
        if not how.rerank or not len(order):
            return order, first, None
        # The frames of one long video may be the nearest rows of all, and other videos want their place shown, too.
        best = order[first_of_each(gallery.items[order])[: how.rerank]]
        nearest = np.union1d(order[: how.rerank], best)
        return order, first, gallery.locate(question, nearest, weighted=how.weighted)

    def _rows_of_kinds(self, gallery: InstanceGallery[Any], kinds: Collection[str] | None) -> NDArray[np.int64]:
        """The rows that take part, so that those of other kinds take no candidate's place."""
        if kinds is None:
            return np.arange(len(gallery.items))
        chosen = {kinds} if isinstance(kinds, str) else set(kinds)
        if not chosen or chosen - {"image", "video"}:
            raise ValueError(f"kinds must be image, video or both, got {sorted(chosen)}")
        wanted = np.fromiter((item.kind in chosen for item in self.index.items), bool, len(self.index))
        return np.flatnonzero(wanted[gallery.items])

    def _matches(self, ranking: InstanceRanking, k: int) -> list[InstanceMatch]:
        stored = self.gallery().stored(_SIZES, ranking.rows[:k])
        sizes, moments = np.asarray(stored.vectors).tolist(), np.asarray(stored.starts).tolist()
        matches = []
        for place, ((height, width), moment) in enumerate(zip(sizes, moments, strict=True)):
            box = None
            if not np.isnan(ranking.boxes[place]).any():
                left, top, right, bottom = (ranking.boxes[place] * (width, height, width, height)).tolist()
                box = left, top, right, bottom
            inliers = int(ranking.inliers[place])
            matches.append(
                InstanceMatch(
                    self.index.items[int(ranking.ids[place])],
                    float(ranking.distances[place]),
                    moment,
                    moment,
                    box=box,
                    size=(height, width),
                    inliers=None if inliers < 0 else inliers,
                )
            )
        return matches

    def bytes_a_picture(self) -> float:
        """Bytes that the rows of a picture, or of a frame of a video, take in the index."""
        return float(sum(space.row_length * np.dtype(space.dtype).itemsize for space in self.index.spaces.values()))

    def sizes(self, ids: NDArray[np.int64]) -> dict[int, tuple[int, int]]:
        """(height, width) of the pictures of some items, by id."""
        rows = self.index.rows(_SIZES, np.unique(ids))
        sides = np.asarray(rows.vectors).tolist()
        return {int(n): (h, w) for n, (h, w) in zip(np.asarray(rows.items), sides, strict=True)}
