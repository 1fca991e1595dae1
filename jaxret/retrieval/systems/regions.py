"""Search by vectors of regions: proposals of Faster R-CNN, or the squares of R-MAC."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.data.readers import Pixels
from jaxret.data.rows import Rows
from jaxret.index import MediaIndex, Space
from jaxret.models.descriptors.rmac import RegionalEncoder
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.detection.pyramid_rcnn import PyramidRCNN
from jaxret.models.detection.region_detector import RegionDetector
from jaxret.retrieval.encode import canvas_for
from jaxret.retrieval.region import Box
from jaxret.retrieval.systems.base import register_system
from jaxret.retrieval.systems.described import Described, cropped_maps, refuse_settings_of_words
from jaxret.retrieval.systems.gallery import Gallery, Located
from jaxret.retrieval.systems.two_pass import TwoPassSystem
from jaxret.visual_words.inverted_file import rounded_distances

__all__ = ["ProposalVectors", "RegionGallery", "RegionVectors", "SquareVectors"]

_IMAGES, _REGIONS = "frame", "regions"
_BLOCK_ROWS = 4096

Vectors = NDArray[np.float32]


class RegionVectors(TwoPassSystem[Vectors]):
    """An image is one vector and those of its regions; a query is the vector of the box.

    Args:
      encoder: a detector or an R-MAC encoder.
      regions: P, the most that an image has.
    """

    encoder: RegionDetector | RegionalEncoder

    def __init__(self, encoder: RegionDetector | RegionalEncoder, regions: int):
        super().__init__(encoder)
        self._regions, size = regions, encoder.vector_size
        # Half precision: boxes in shares of the image are good to a two-thousandth of its side.
        self.record_spaces = (Space(_IMAGES, size), Space.of_records(_REGIONS, regions * (4 + size), "float16"))

    def row(self, image_vector: Vectors, boxes: Vectors, vectors: Vectors, size: tuple[int, int]) -> Vectors:
        """The image's vector (C,), boxes (P, 4) in its pixels and their vectors (P, C) in one row."""
        height, width = size
        kept = np.zeros((self._regions, 4 + vectors.shape[-1]), np.float32)
        kept[: len(boxes)] = np.concatenate([boxes / np.array([width, height, width, height]), vectors], axis=1)
        return np.concatenate([image_vector, kept.reshape(-1)])

    def record_rows(self, frames: Rows) -> Mapping[str, Rows]:
        """The vectors of whole images, and the records of their regions."""
        size = self.encoder.vector_size
        parts = {_IMAGES: frames.vectors[:, :size], _REGIONS: frames.vectors[:, size:]}
        return {name: Rows(part, frames.items, frames.starts, frames.ends) for name, part in parts.items()}

    def query(self, image: Pixels, box: Box | None, *, min_words: int, surroundings: float) -> Vectors:
        """See `TwoPassSystem.query`; of a whole image it is the image's own vector.

        Raises:
          ValueError: a setting is one of visual words.
        """
        refuse_settings_of_words(min_words, surroundings)
        if box is None:
            return np.asarray(self.finish(self.described(image))[: self.encoder.vector_size], np.float32)
        return self.box_vector(image, box)

    @abc.abstractmethod
    def box_vector(self, image: Pixels, box: Box) -> Vectors:
        """The vector (C,) of a box in pixels of an image."""

    def gallery(self, index: MediaIndex) -> RegionGallery:
        """See `TwoPassSystem.gallery`."""
        return RegionGallery(index, self.encoder.vector_size)


@register_system(RegionalEncoder.kind)
class SquareVectors(RegionVectors):
    """R-MAC: the regions are squares of a grid.

    Args:
      encoder: whose whitening, if any, is fitted.
    """

    encoder: RegionalEncoder

    def __init__(self, encoder: RegionalEncoder):
        super().__init__(encoder, encoder.region_count)
        self.described_size = encoder.backbone.map_channels
        if encoder.backbone.backbone.takes_sizes:
            self.canvas = canvas_for(encoder.preprocessing)

    def describe(self, images: Any, sizes: Any = None) -> list[Described]:
        """See `TwoPassSystem.describe`: the largest activations in squares."""
        found = cropped_maps(self.encoder.maps, images, sizes, self.encoder.stride)
        return [Described(size, self.encoder.largest_in_squares(one)) for size, one in found]

    def finish(self, described: Described) -> Vectors:
        """See `TwoPassSystem.finish`."""
        rows, columns = (side // self.encoder.stride for side in described.size)
        return self.row(*self.encoder.vectors_of(described.local, rows, columns), described.size)

    def box_vector(self, image: Pixels, box: Box) -> Vectors:
        """See `RegionVectors.box_vector`."""
        ((_, one),) = cropped_maps(self.encoder.maps, *self.padded(image), self.encoder.stride)
        return self.encoder.box_vector(one, box)


@register_system(FasterRCNN.kind, PyramidRCNN.kind)
class ProposalVectors(RegionVectors):
    """Faster R-CNN: the regions are proposals. Nothing is fitted but the detector.

    Args:
      encoder: a trained detector.
    """

    encoder: RegionDetector

    def __init__(self, encoder: RegionDetector):
        super().__init__(encoder, encoder.settings.regions)
        self.described_size = 4 + encoder.vector_size
        if isinstance(encoder, PyramidRCNN):
            self.canvas = canvas_for(encoder.preprocessing)

    def describe(self, images: Any, sizes: Any = None) -> list[Described]:
        """See `TwoPassSystem.describe`: the image with its vector, then proposals with theirs; boxes in pixels."""
        found = self.encoder.regions(images, sizes)
        own = np.asarray(found.image_vector)
        regions = np.concatenate([np.asarray(found.boxes), np.asarray(found.vectors)], axis=-1)
        whole = np.concatenate([np.zeros((len(own), 4), np.float32), own], axis=1)
        within = np.broadcast_to(images.shape[1:3], (len(images), 2)) if sizes is None else np.asarray(sizes)
        return [
            Described((height, width), np.concatenate([first[None], some[there]]))
            for (height, width), first, some, there in zip(
                within.tolist(), whole, regions, np.asarray(found.valid), strict=True
            )
        ]

    def finish(self, described: Described) -> Vectors:
        """See `TwoPassSystem.finish`."""
        boxes, vectors = described.local[:, :4], described.local[:, 4:]
        return self.row(vectors[0], boxes[1:], vectors[1:], described.size)

    def box_vector(self, image: Pixels, box: Box) -> Vectors:
        """See `RegionVectors.box_vector`."""
        batch, sizes = self.padded(image)
        return np.asarray(self.encoder.region_vectors(batch, np.array([[box]], np.float32), sizes))[0, 0]


class RegionGallery(Gallery[Vectors]):
    """The vectors of whole images in memory; those of regions are read for candidates alone.

    The weighted cosine multiplies each number by the logarithm of how rare it is, after CroW's channel weights
    (Kalantidis, Mellina and Osindero 2016, arXiv:1512.04065): log(sum of all channels' means / its own mean), the
    means of absolute values over the images of the index.

    Args:
      index: with the spaces of images and regions.
      size: C, of a vector.
    """

    def __init__(self, index: MediaIndex, size: int):
        super().__init__(index, _IMAGES)
        self._size = size
        self._vectors = np.asarray(index.rows(_IMAGES).vectors, np.float32)
        self._weights = _rarity(self._vectors, size)
        self._lengths: dict[bool, Vectors] = {}  # of the images' vectors, plain and weighted

    def distances(self, query: Vectors, *, idf: bool, centre: bool) -> NDArray[np.float32]:
        """See `Gallery.distances`.

        Raises:
          ValueError: a prior for the centre, which these vectors have no use for.
        """
        if centre:
            raise ValueError("a prior for the centre weights visual words, and the index has none")
        if idf not in self._lengths:
            self._lengths[idf] = self._lengths_of(self._vectors, idf)
        return rounded_distances(self._cosines(query, self._vectors, self._lengths[idf], idf))

    def locate(self, query: Vectors, rows: NDArray[np.int64], *, idf: bool) -> Located:
        """See `Gallery.locate`: each region against the query."""
        boxes, vectors = self._regions_of(rows)
        cosines = self._cosines(query, vectors, self._lengths_of(vectors, idf), idf)
        cosines = np.where(boxes[..., 2] > boxes[..., 0], cosines, -np.inf)
        best = cosines.argmax(axis=1)
        numbers = np.arange(len(rows))
        found = np.where(np.isfinite(cosines[numbers, best])[:, None], boxes[numbers, best], np.nan)
        distances = rounded_distances(np.maximum(cosines[numbers, best], -1.0))
        order = np.lexsort((rows, distances))
        return Located(rows[order], distances[order], found[order])

    def expanded(self, query: Vectors, found: Located, *, idf: bool) -> Vectors:
        """See `Gallery.expanded`: with the vectors of the regions found."""
        boxes, vectors = self._regions_of(found.rows)
        chosen = [query / max(float(np.linalg.norm(query)), 1e-12)]
        for own, of_row, box in zip(boxes, vectors, found.boxes, strict=True):
            if not np.isnan(box).any():
                chosen.append(of_row[int(np.abs(own - box).sum(axis=1).argmin())])
        return np.mean(chosen, axis=0, dtype=np.float32)

    def _lengths_of(self, vectors: Vectors, idf: bool) -> Vectors:
        weights = self._weights if idf else np.ones_like(self._weights)
        # In one pass: a second array as large as the gallery is too much of one.
        return np.sqrt(np.einsum("...c,...c,c->...", vectors, vectors, weights**2))

    def _cosines(self, query: Vectors, vectors: Vectors, lengths: Vectors, idf: bool) -> NDArray[np.float64]:
        weights = self._weights if idf else np.ones_like(self._weights)
        weighted = query * weights
        weighted = weighted / max(float(np.linalg.norm(weighted)), 1e-12)
        return (vectors @ (weighted * weights)).astype(np.float64) / np.where(lengths > 0, lengths, np.inf)

    def _regions_of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], Vectors]:
        """Boxes (K, P, 4) in shares and vectors (K, P, C) of some rows; only their items are read."""
        records = np.asarray(self.stored(_REGIONS, rows).vectors).astype(np.float32)
        regions = records.reshape(len(rows), -1, 4 + self._size)
        return regions[..., :4].astype(np.float64), regions[..., 4:]


def _rarity(vectors: Vectors, size: int) -> Vectors:
    """The logarithm of how rare each number is, (C,); 1 where there is nothing to tell it by."""
    means = np.zeros(size)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        means += np.abs(vectors[start : start + _BLOCK_ROWS]).sum(axis=0, dtype=np.float64) / len(vectors)
    if not means.any():
        return np.ones(size, np.float32)
    return np.log(means.sum() / np.maximum(means, means[means > 0].min())).astype(np.float32)
