"""Systems that describe images by what is fitted later: the descriptions of images, and the rows that are kept of them.

A row is an image, or a frame of a video.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Chunk, Pixels
from jaxret.data.rows import Rows
from jaxret.data.sampling.reading import chunks_of, open_item
from jaxret.errors import ConfigError, MediaError
from jaxret.index import MediaIndex, Space
from jaxret.models.base import Unit
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.encode import Canvas, FrameEncoder, FrameVectors, frame_rows, frame_vectors
from jaxret.retrieval.systems.base import System
from jaxret.retrieval.systems.described import Described

__all__ = ["SIZES", "DescribingSystem"]

SIZES = "sizes"
"""The space of the sizes that images had, which their boxes are of."""

_FEW = 200  # images whose padding costs less than the programs for smaller batches, some ten of them


class DescribingSystem(System):
    """What such systems share.

    Attributes:
      preprocessing, unit: of the encoder, as `jaxret.retrieval.encode.frame_vectors` wants them.
      canvas: how images of several sizes share batches; None: they do not.
      described_size: D, numbers of a local descriptor of `describe`.
      record_spaces: of an index, without the sizes of the images.
    """

    preprocessing: Preprocessing
    unit: Unit
    record_spaces: tuple[Space, ...]
    canvas: Canvas | None = None
    described_size: int

    def __init__(self, encoder: Any):
        super().__init__(encoder)
        self.preprocessing = encoder.preprocessing
        self.unit = "frame"

    @abc.abstractmethod
    def describe(self, images: Any, sizes: Any = None) -> list[Described]:
        """What is computed of images before all that is fitted.

        Args:
          images: uint8 (B, H, W, C).
          sizes: (B, 2), height and width of each within the batch; None: that of the batch.
        """

    @abc.abstractmethod
    def finish(self, described: Described) -> NDArray[Any]:
        """A described image as the one row (L,) that is kept of it."""

    def encode_frames(self, frames: Any, sizes: Any = None) -> Any:
        """Images uint8 (B, H, W, C) to the rows (B, L) that are kept of them; `sizes` as in `describe`."""
        return np.stack([self.finish(one) for one in self.describe(frames, sizes)])

    def described(self, image: Pixels) -> Described:
        """One image (H, W, C) described, in a batch of a size that many images share."""
        return self.describe(*self.padded(image))[0]

    def padded(self, image: Pixels) -> tuple[Pixels, NDArray[np.int32] | None]:
        """One image (H, W, C) as a batch of a size that all images share, and its size within; None: it fills it."""
        canvas = self._canvas_for(1)
        if canvas is None:
            return image[None], None
        height, width = image.shape[:2]
        down, across = canvas(height, width)
        batch = np.pad(image, [(0, down - height), (0, across - width), (0, 0)])[None]
        return batch, np.array([(height, width)], np.int32)

    def _canvas_for(self, count: int) -> Canvas | None:
        """How so many images share batches: of few each is padded to the largest size, for which one program does."""
        if self.canvas is None or count > _FEW:
            return self.canvas
        whole = self.canvas(self.preprocessing.height, self.preprocessing.width)
        return lambda height, width: whole

    @abc.abstractmethod
    def record_rows(self, frames: Rows) -> Mapping[str, Rows]:
        """Such rows as they are kept, by space."""

    def spaces(self, *, frames: bool = True) -> list[Space]:
        """See `System.spaces`."""
        if not frames:
            raise ConfigError("regions lie in single frames: leave --without-frames (frames=False) out")
        return [*self.record_spaces, Space.of_records(SIZES, 2, "uint32")]

    def vectors(
        self,
        dataset: MediaDataset,
        indices: Sequence[int] | None = None,
        *,
        threads: int = 2,
        on_item: Callable[[int], None] | None = None,
    ) -> Iterator[tuple[int, FrameVectors | MediaError]]:
        """See `System.vectors`. Each frame that the preprocessing samples of a video is an image with its time."""
        return self._vectors(self, dataset, indices, threads, on_item)

    def descriptions(
        self,
        dataset: MediaDataset,
        indices: Sequence[int],
        *,
        threads: int = 2,
        on_item: Callable[[int], None] | None = None,
    ) -> Iterator[tuple[int, FrameVectors | MediaError]]:
        """As `vectors`, but of packed descriptions (`Described.pack`), which `finished` makes them of."""
        return self._vectors(_Describer(self), dataset, indices, threads, on_item)

    def finished(self, found: FrameVectors) -> FrameVectors:
        """What `vectors` gives, from what `descriptions` gave."""
        rows = found.vectors.reshape(-1, found.vectors.shape[-1])
        kept = np.stack([self.finish(Described.unpack(row, self.described_size)) for row in rows])
        return dataclasses.replace(found, vectors=kept.reshape(*found.vectors.shape[:2], -1))

    def _vectors(
        self,
        encoder: FrameEncoder,
        dataset: MediaDataset,
        indices: Sequence[int] | None,
        threads: int,
        on_item: Callable[[int], None] | None,
    ) -> Iterator[tuple[int, FrameVectors | MediaError]]:
        sizes: dict[int, tuple[int, int]] = {}

        def read(number: int) -> Iterator[Chunk]:
            with open_item(dataset, number, self.preprocessing) as reader:
                sizes[number] = reader.info.height, reader.info.width
                is_image = dataset.items[number].kind == "image"
                yield from chunks_of(reader, self.preprocessing, is_image=is_image)

        canvas = self._canvas_for(len(dataset) if indices is None else len(indices))
        for number, found in frame_vectors(
            dataset, encoder, indices=indices, threads=threads, on_item=on_item, read=read, canvas=canvas
        ):
            if not isinstance(found, MediaError):
                found = dataclasses.replace(found, size=sizes[number])
            sizes.pop(number, None)
            yield number, found

    def rows(self, vectors: Mapping[int, FrameVectors]) -> dict[str, Rows]:
        """See `System.rows`; the size that each image had is kept for its boxes."""
        frames = frame_rows(vectors)
        sizes = np.array([vectors[number].size for number in frames.items.tolist()], np.int64).reshape(-1, 2)
        return {**self.record_rows(frames), SIZES: dataclasses.replace(frames, vectors=sizes)}

    def image_sizes(self, index: MediaIndex, ids: NDArray[np.int64]) -> dict[int, tuple[int, int]]:
        """(height, width) of the images of some items, by id."""
        rows = index.rows(SIZES, np.unique(ids))
        return {int(n): (h, w) for n, (h, w) in zip(rows.items, rows.vectors.tolist(), strict=True)}


class _Describer:
    """The first half of a system as `frame_vectors` wants it."""

    def __init__(self, system: DescribingSystem):
        self._system = system
        self.preprocessing, self.unit = system.preprocessing, system.unit

    def encode_frames(self, frames: Any, sizes: Any = None) -> Any:
        return Described.pack(self._system.describe(frames, sizes))
