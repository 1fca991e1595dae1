"""Search by patches of grids: the first pass looks at every cell of every image, the second at many windows."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.data.readers import Pixels
from jaxret.data.rows import Rows
from jaxret.index import MediaIndex, Space
from jaxret.models.descriptors.grid import PLACES, GridEncoder, grid_cells, window_cosines, window_means
from jaxret.models.descriptors.stage_maps import sizes_within, unit_rows
from jaxret.retrieval.encode import canvas_for
from jaxret.retrieval.region import Box
from jaxret.retrieval.systems.base import register_system
from jaxret.retrieval.systems.described import Described, refuse_settings_of_words
from jaxret.retrieval.systems.gallery import Gallery, Located
from jaxret.retrieval.systems.two_pass import TwoPassSystem
from jaxret.visual_words.inverted_file import rounded_distances
from jaxret.visual_words.window_reranking import WindowSettings, windows_of_shape

__all__ = ["GridGallery", "GridPatches", "GridQuery"]

_CELLS, _PLACES = "cells", "places"
_KEPT_BYTES = 256 << 20
_SIDES = {2: 1, 3: 1, 4: 1, 5: 2, 6: 2, 8: 2, 10: 2, 12: 1}  # of the windows of the second pass: places, and steps
_AGREEMENT = WindowSettings().least_agreement
_NEARLY = 0.02  # difference of cosines by which a window counts 1/e of the best one for the box

Vectors = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class GridQuery:
    """A query by patches.

    Attributes:
      vectors: (S, D), of length 1, one a size at which the region is seen; what is compared counts by the nearest.
      aspect: width / height of its box in pixels: windows of another shape are left out. None: windows of every shape.
    """

    vectors: Vectors
    aspect: float | None


@register_system(GridEncoder.kind)
class GridPatches(TwoPassSystem[GridQuery]):
    """An image is the vectors of the cells of its grids; a query is the vector of the box.

    Args:
      encoder: whose whitening, if any, is fitted.
    """

    scales = 3
    encoder: GridEncoder

    def __init__(self, encoder: GridEncoder):
        super().__init__(encoder)
        self.described_size = encoder.map_channels
        self._cells = grid_cells(encoder.levels)
        size = encoder.vector_size
        # Half precision: cosines are good to a thousandth.
        self.record_spaces = (
            Space.of_records(_CELLS, len(self._cells) * size, "float16"),
            Space.of_records(_PLACES, PLACES**2 * size, "float16"),
        )
        if encoder.backbone.takes_sizes:
            self.canvas = canvas_for(encoder.preprocessing)

    def describe(self, images: Any, sizes: Any = None) -> list[Described]:
        """See `TwoPassSystem.describe`: the map in 12 x 12 places, row by row."""
        places = self.encoder.places(images, sizes)
        return [
            Described(size, one.reshape(PLACES**2, -1))
            for size, one in zip(sizes_within(images, sizes), places, strict=True)
        ]

    def finish(self, described: Described) -> Vectors:
        """See `TwoPassSystem.finish`: the vectors of cells, then the places before they have length 1."""
        places = self.encoder.projected(described.local)
        cells = unit_rows(self.encoder.cells(places))
        return np.concatenate([cells.reshape(-1), places.reshape(-1)])

    def record_rows(self, frames: Rows) -> Mapping[str, Rows]:
        """See `TwoPassSystem.record_rows`."""
        end = len(self._cells) * self.encoder.vector_size
        parts = {_CELLS: frames.vectors[:, :end], _PLACES: frames.vectors[:, end:]}
        return {name: Rows(part, frames.items, frames.starts, frames.ends) for name, part in parts.items()}

    def query(self, image: Pixels, box: Box | None, *, min_words: int, surroundings: float) -> GridQuery:
        """See `TwoPassSystem.query`; of a whole image it is the one cell of the 1 x 1 grid.

        Raises:
          ValueError: a setting is one of visual words.
        """
        refuse_settings_of_words(min_words, surroundings)
        height, width = image.shape[:2]
        left, top, right, bottom = (0.0, 0.0, float(width), float(height)) if box is None else box
        batch, sizes = self.padded(image)
        vector = self.encoder.vectors(self.encoder.box_mean(batch, (left, top, right, bottom), sizes))
        return GridQuery(vector[None], None if box is None else (right - left) / (bottom - top))

    def together(self, queries: Sequence[GridQuery]) -> GridQuery:
        """See `TwoPassSystem.together`."""
        return GridQuery(np.concatenate([query.vectors for query in queries]), queries[0].aspect)

    def gallery(self, index: MediaIndex) -> GridGallery:
        """See `TwoPassSystem.gallery`."""
        return GridGallery(index, self.encoder.vector_size)


class GridGallery(Gallery[GridQuery]):
    """Cells in single precision in memory, up to 256 MB; of larger galleries they are read from their files in every
    search. Places are read for candidates alone.

    Args:
      index: with the spaces of cells and places.
      size: D, of a patch.
    """

    def __init__(self, index: MediaIndex, size: int):
        super().__init__(index, _CELLS)
        self._size = size
        numbers = len(self.items) * index.spaces[_CELLS].dimension
        self._kept = list(self._read()) if 4 * numbers <= _KEPT_BYTES else None

    def _read(self) -> Iterator[Vectors]:
        """The cells (n, P, D) of all rows, a block at a time."""
        for block in self.index.row_blocks(_CELLS):
            yield np.asarray(block.vectors, np.float32).reshape(len(block), -1, self._size)

    def distances(self, query: GridQuery, *, idf: bool, centre: bool) -> NDArray[np.float32]:
        """See `Gallery.distances`: of the cell that agrees best.

        Raises:
          ValueError: weights of words or channels, or a prior for the centre, which patches have no use for.
        """
        _refuse_weights(idf, centre)
        best = [(cells @ query.vectors.T).max(axis=(1, 2)) for cells in self._kept or self._read()]
        return rounded_distances(np.concatenate([np.zeros(0), *best]))

    def locate(self, query: GridQuery, rows: NDArray[np.int64], *, idf: bool) -> Located:
        """See `Gallery.locate`: windows of the places, of about the shape of the query.

        The distance is that of the best window; the box is the mean of all, each weighted by exp((its cosine - the best
        one) / 0.02).
        """
        _refuse_weights(idf, False)
        stored = np.asarray(self.stored(_PLACES, rows).vectors)
        sizes = self.stored("sizes", rows).vectors
        cosines, found = np.zeros(len(rows)), np.zeros((len(rows), 4))
        for number, (record, (height, width)) in enumerate(zip(stored, sizes.tolist(), strict=True)):
            windows = _windows() if query.aspect is None else _windows_like(query.aspect, width / height)
            of_windows = window_cosines(self._places(record), windows, query.vectors).max(axis=0)
            cosines[number] = of_windows.max()
            # Windows that agree nearly as well lie around the thing, too; their mean is finer than any of them.
            weights = np.exp((of_windows - cosines[number]) / _NEARLY)
            found[number] = (weights / weights.sum()) @ windows[:, [1, 0, 3, 2]] / PLACES
        distances = rounded_distances(cosines)
        order = np.lexsort((rows, distances))
        return Located(rows[order], distances[order], found[order])

    def expanded(self, query: GridQuery, found: Located, *, idf: bool) -> GridQuery:
        """See `Gallery.expanded`: with the vectors of the windows nearest to the boxes found, at each size."""
        chosen = []
        for record, box in zip(np.asarray(self.stored(_PLACES, found.rows).vectors), found.boxes, strict=True):
            window = np.round(box[[1, 0, 3, 2]] * PLACES).astype(np.int64)
            window[2:] = np.maximum(window[2:], window[:2] + 1)
            chosen.append(unit_rows(window_means(self._places(record), window[None]))[0])
        means = (query.vectors + np.sum(chosen, axis=0, dtype=np.float32)) / np.float32(1 + len(chosen))
        return dataclasses.replace(query, vectors=unit_rows(means))

    def _places(self, record: NDArray[Any]) -> Vectors:
        return record.astype(np.float32).reshape(PLACES, PLACES, self._size)


def _refuse_weights(idf: bool, centre: bool) -> None:
    if idf or centre:
        raise ValueError("idf and centre weight visual words and channels, and patches are compared as they are")


@functools.cache
def _windows() -> NDArray[np.int64]:
    """All windows of the second pass, int64 (W, 4): top, left, bottom, right in places."""
    every = [
        (start, start + side)
        for side, step in _SIDES.items()
        for start in sorted({*range(0, PLACES - side + 1, step), PLACES - side})
    ]
    return np.array([(top, left, bottom, right) for top, bottom in every for left, right in every], np.int64)


def _windows_like(aspect: float, image_aspect: float) -> NDArray[np.int64]:
    """Those of about the aspect of the query, in an image of this aspect; rounded, so that few are told apart."""
    return _windows_of(round(float(np.log(aspect / image_aspect)), 2))


@functools.lru_cache(maxsize=256)
def _windows_of(log_aspect: float) -> NDArray[np.int64]:
    windows = _windows()
    boxes = windows[:, [1, 0, 3, 2]].astype(np.float64)
    return windows[windows_of_shape(boxes, float(np.exp(log_aspect)), _AGREEMENT)]
