"""Search by visual words, of feature maps (BLCF) or of SIFT key points."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.data.readers import Pixels
from jaxret.data.rows import Rows
from jaxret.data.sampling.sift import sift_features
from jaxret.index import MediaIndex, Space, TermLists
from jaxret.models.descriptors.visual_words import MapWordEncoder, SiftWordEncoder, WordEncoder
from jaxret.models.layers.feature_map import feature_map_stride
from jaxret.retrieval.encode import canvas_for
from jaxret.retrieval.region import Box, TooFewWordsError
from jaxret.retrieval.systems.base import register_system
from jaxret.retrieval.systems.described import Described, cropped_maps
from jaxret.retrieval.systems.gallery import Gallery, Located
from jaxret.retrieval.systems.two_pass import TwoPassSystem
from jaxret.retrieval.systems.word_records import MapLayout, PointLayout, WordLayout, bags_of_records
from jaxret.visual_words import (
    Codebook,
    InvertedFile,
    PlacedWords,
    WindowSettings,
    WordBags,
    box_surroundings,
    expand_query,
    join_bags,
    query_bag,
    rerank_windows,
    same_word_pairs,
    verify_geometry,
)
from jaxret.visual_words.inverted_file import rounded_distances

__all__ = ["WINDOW_OVERLAP", "WINDOW_SHARES", "MapWords", "SiftWords", "WordGallery", "WordQuery", "WordSystem"]

# Of the windows that candidates are searched with. Finer than BLCF's (1, 1/2, 1/4 at half overlap): the boxes found
# agree better with the true ones, at five times the windows.
WINDOW_SHARES = (1.0, 0.7, 0.5, 0.35, 0.25)
WINDOW_OVERLAP = 0.75
_CENTRE_SPREAD = 1 / 3
_SPACE = "words"

KeptLists = list[tuple[TermLists, NDArray[np.bool_]]]


@dataclasses.dataclass(frozen=True, eq=False)
class WordQuery:
    """A query in words.

    Attributes:
      bag: of the query.
      aspect: width / height of its box: windows of another shape are left out. None: windows of every shape.
      words: those inside the box, or all, for the verification of their arrangement.
      box: of the query in its pixels.
    """

    bag: WordBags
    aspect: float | None
    words: PlacedWords
    box: Box


class WordSystem(TwoPassSystem[WordQuery]):
    """What feature maps and key points share.

    Args:
      encoder: whose codebook is fitted.
      layout: of the records that the index keeps.
    """

    def __init__(self, encoder: WordEncoder, layout: WordLayout):
        super().__init__(encoder)
        self.layout = layout
        self.codebook = Codebook(np.asarray(encoder.centres[...]))
        self.idf = np.asarray(encoder.idf[...], np.float64)
        self.record_spaces = (Space.of_records(_SPACE, layout.length, layout.dtype),)
        self.terms = {_SPACE: layout.terms}

    @abc.abstractmethod
    def compared(self, local: NDArray[np.float32]) -> NDArray[np.float32]:
        """Local descriptors of `describe` (P, D) as they are compared with the words."""

    def record_rows(self, frames: Rows) -> Mapping[str, Rows]:
        """The records, as they are."""
        return {_SPACE: frames}

    def query(self, image: Pixels, box: Box | None, *, min_words: int, surroundings: float) -> WordQuery:
        """See `TwoPassSystem.query`."""
        height, width = image.shape[:2]
        words = self.layout.unpack(self.finish(self.described(image)))
        inside = np.ones(len(words), bool) if box is None else words.inside(box)
        if (held := int(inside.sum())) < min_words:
            raise TooFewWordsError(
                f"holds {held} visual words, and a search needs at least {min_words}: mark a larger part, or make an "
                f"index that sees larger images than {self.preprocessing.width} x {self.preprocessing.height} pixels"
            )
        own = dataclasses.replace(
            words,
            words=words.words[inside],
            points=words.points[inside],
            cells=words.cells[inside],
            weights=words.weights[inside],
        )
        if box is None:
            return WordQuery(query_bag(own, self.layout.n_words), None, own, (0.0, 0.0, float(width), float(height)))
        counted = own if not surroundings else words.weighted(box_surroundings(words, box, spread=surroundings))
        left, top, right, bottom = box
        return WordQuery(query_bag(counted, self.layout.n_words), (right - left) / (bottom - top), own, box)

    def gallery(self, index: MediaIndex) -> WordGallery:
        """See `TwoPassSystem.gallery`."""
        return WordGallery(index, self.layout, self.idf)


@register_system(MapWordEncoder.kind)
class MapWords(WordSystem):
    """Bags of local convolutional features.

    Args:
      encoder: whose codebook is fitted.
    """

    encoder: MapWordEncoder
    layout: MapLayout

    def __init__(self, encoder: MapWordEncoder):
        size = encoder.preprocessing
        stride = feature_map_stride(encoder.backbone, encoder.stage)
        super().__init__(encoder, MapLayout(encoder.n_words, stride, size.height, size.width))
        whitening = encoder.whitening
        self.described_size = encoder.centres.shape[1] if whitening is None else whitening.input_size
        if encoder.backbone.takes_sizes:
            self.canvas = canvas_for(size)

    def describe(self, images: Any, sizes: Any = None) -> list[Described]:
        """See `TwoPassSystem.describe`: the places of the map, row by row."""
        found = cropped_maps(self.encoder.maps, images, sizes, self.layout.stride)
        return [Described(size, one.reshape(-1, self.described_size)) for size, one in found]

    def compared(self, local: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `WordSystem.compared`: whitened."""
        return self.encoder.whitened(local)

    def finish(self, described: Described) -> NDArray[np.int64]:
        """See `TwoPassSystem.finish`."""
        words = self.codebook.assign(self.compared(described.local))
        rows = described.size[0] // self.layout.stride
        return self.layout.pack(words.reshape(rows, -1), described.size)


@register_system(SiftWordEncoder.kind)
class SiftWords(WordSystem):
    """Bags of SIFT words.

    Args:
      encoder: whose codebook is fitted.
    """

    key_points = True
    encoder: SiftWordEncoder
    layout: PointLayout

    def __init__(self, encoder: SiftWordEncoder):
        super().__init__(encoder, PointLayout(encoder.n_words, encoder.max_features))
        self.described_size = 2 + encoder.centres.shape[1]

    def describe(self, images: Any, sizes: Any = None) -> list[Described]:
        """See `TwoPassSystem.describe`: of each key point x and y in pixels, and its descriptor.

        Raises:
          ConfigError: OpenCV is not installed.
        """
        described = []
        for image in np.asarray(images):
            found = sift_features(image, self.encoder.max_features, root=self.encoder.root, what="SIFT words")
            most = slice(self.encoder.max_features)  # of key points of one strength at the end OpenCV keeps all
            local = np.concatenate([found.points[most], found.descriptors[most]], axis=1).astype(np.float32)
            described.append(Described(image.shape[:2], local))
        return described

    def compared(self, local: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `WordSystem.compared`: without the places."""
        return local[:, 2:]

    def finish(self, described: Described) -> NDArray[np.int64]:
        """See `TwoPassSystem.finish`."""
        words = self.codebook.assign(self.compared(described.local))
        return self.layout.pack(words, described.local[:, :2].astype(np.float64), described.size)


class WordGallery(Gallery[WordQuery]):
    """The words of an index, in lists of the rows that hold each: those that the index keeps, or else made in memory.

    Args:
      index: with the space of words.
      layout: of its records.
      idf: (W,), see `WordEncoder`.
    """

    def __init__(self, index: MediaIndex, layout: WordLayout, idf: NDArray[np.float64]):
        super().__init__(index, _SPACE)
        self._layout, self._idf = layout, idf
        self._files: dict[tuple[bool, bool], InvertedFile] = {}
        self._lists = index.term_lists(_SPACE)
        self._lengths: dict[bool, NDArray[np.float64]] = {}  # of the rows' histograms, plain and weighted

    def distances(self, query: WordQuery, *, idf: bool, centre: bool) -> NDArray[np.float32]:
        """See `Gallery.distances`."""
        if not len(self.items):
            return np.zeros(0, np.float32)
        if self._lists is None or centre:  # what is near the centre counts more: other lists
            return rounded_distances(self._file(idf, centre).cosines(query.bag)[0])
        return rounded_distances(self._listed_cosines(self._lists, query.bag, idf))

    def _listed_cosines(self, lists: KeptLists, bag: WordBags, idf: bool) -> NDArray[np.float64]:
        """The cosine of a bag with each row's, (N,), from the lists of its words."""
        weights = self._idf if idf else np.ones_like(self._idf)
        unit = bag.unit(weights)
        if idf not in self._lengths:
            own = (part.weighted_lengths(weights) if idf else part.lengths for part, _ in lists)
            self._lengths[idf] = np.concatenate([some[live] for some, (_, live) in zip(own, lists, strict=True)])
        found = [part.products(unit.indices, unit.data * weights[unit.indices])[live] for part, live in lists]
        lengths = self._lengths[idf]
        return np.divide(np.concatenate(found), lengths, where=lengths > 0, out=np.zeros(len(lengths)))

    def _file(self, idf: bool, centre: bool) -> InvertedFile:
        """Made at the first search that needs it, and kept."""
        if (idf, centre) not in self._files:
            spread = _CENTRE_SPREAD if centre else None
            bags = [
                bags_of_records(self._layout, np.asarray(block.vectors), spread)
                for block in self.index.row_blocks(_SPACE)
            ]
            joined = join_bags(bags, self._layout.n_words)
            self._files[idf, centre] = InvertedFile(joined, self._idf if idf else None)
        return self._files[idf, centre]

    def locate(self, query: WordQuery, rows: NDArray[np.int64], *, idf: bool) -> Located:
        """See `Gallery.locate`: windows slid over the words."""
        images = self._words_of(rows)
        found = rerank_windows(
            query.bag,
            rows,
            images,
            idf=self._idf if idf else None,
            aspect=query.aspect,
            windows=WindowSettings(WINDOW_SHARES, WINDOW_OVERLAP),
        )
        sizes = {int(row): image.image_size for row, image in zip(rows, images, strict=True)}
        return Located(found.ids, found.distances, found.boxes / _sides(sizes, found.ids))

    def verified(self, query: WordQuery, found: Located) -> Located:
        """Results in the order of the key points that agree with one affine transform of the query (Philbin et al.
        2007); those of equal numbers as before. Where enough agree, the box is the query's, transformed.

        Raises:
          ConfigError: OpenCV is not installed.
        """
        inliers, boxes = np.zeros(len(found.rows), np.int64), found.boxes.copy()
        for place, image in enumerate(self._words_of(found.rows)):
            pairs = same_word_pairs(query.words, image)
            checked = verify_geometry(
                query.words.points[pairs[:, 0]], image.points[pairs[:, 1]], query.box, image.image_size
            )
            if checked.inliers:
                height, width = image.image_size
                inliers[place], boxes[place] = checked.inliers, checked.box / (width, height, width, height)
        order = np.argsort(-inliers, kind="stable")
        return Located(found.rows[order], found.distances[order], boxes[order], inliers[order])

    def expanded(self, query: WordQuery, found: Located, *, idf: bool) -> WordQuery:
        """See `Gallery.expanded`: with the words in the boxes found."""
        bags = []
        for image, box in zip(self._words_of(found.rows), found.boxes, strict=True):
            height, width = image.image_size
            held = None if np.isnan(box).any() else image.inside(box * (width, height, width, height))
            if held is not None and held.any():
                bags.append(query_bag(image, self._layout.n_words, box * (width, height, width, height)))
        bag = expand_query(query.bag, join_bags(bags, self._layout.n_words), idf=self._idf if idf else None)
        return dataclasses.replace(query, bag=bag)

    def agreeing(self, query: WordQuery, row: int, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Gallery.agreeing`: each word of the query with the same word in the place found, of several the one at
        the most similar position within its box.
        """
        (image,) = self._words_of(np.array([row]))
        height, width = image.image_size
        place = np.array(box) * (width, height, width, height)
        inside = np.flatnonzero(image.inside(place))
        own, found = query.words.points, image.points[inside]
        apart = np.linalg.norm(
            _within(own, np.array(query.box))[:, None] - _within(found, place)[None], axis=-1
        )  # (words of the query, words of the place)
        apart[query.words.words[:, None] != image.words[inside]] = np.inf
        if not apart.size:
            return np.zeros((0, 2)), np.zeros((0, 2))
        nearest = apart.argmin(axis=1)
        some = np.isfinite(apart[np.arange(len(own)), nearest])
        return own[some] / query.words.image_size[::-1], found[nearest[some]] / image.image_size[::-1]

    def _words_of(self, rows: NDArray[np.int64]) -> list[PlacedWords]:
        """The words of some rows, in that order; only these items are read."""
        return [self._layout.unpack(record) for record in np.asarray(self.stored(_SPACE, rows).vectors)]


def _within(points: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (N, 2) in shares of a box's sides."""
    return np.asarray((points - box[:2]) / (box[2:] - box[:2]))


def _sides(sizes: Mapping[int, tuple[float, float]], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K, 4): width, height, width, height of each row."""
    return np.array([(*sizes[int(row)][::-1], *sizes[int(row)][::-1]) for row in rows]).reshape(-1, 4)
