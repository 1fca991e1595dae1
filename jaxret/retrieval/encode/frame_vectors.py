"""Media to frame vectors: the first half of every encoder, and the half that is worth keeping."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

import jax
import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Chunk
from jaxret.data.sampling.reading import read_encoded
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.encode.batches import Canvas, encode_in_batches
from jaxret.retrieval.encode.read_ahead import Read, read_ahead

__all__ = ["FrameEncoder", "FrameVectors", "frame_vectors"]


class FrameEncoder(Protocol):
    """An encoder that gives a vector for every frame, or for every chunk (`unit`)."""

    preprocessing: Preprocessing
    unit: Literal["frame", "chunk"]

    def encode_frames(self, frames: ArrayLike) -> jax.Array:
        """(B, H, W, C) uint8, or (B, T, H, W, C) for the unit chunk, to (B, D) float32."""
        ...


@dataclasses.dataclass(frozen=True)
class FrameVectors:
    """The frame vectors of one item.

    Attributes:
      vectors: (chunks, T, D) float32; T is 1 for an image, and for an encoder whose unit is a chunk. For an encoder
        of shots a video is one chunk with all its frames: shots are found in their vectors.
      times: (chunks, T) float64, seconds; of a whole chunk its middle.
      spans: (chunks, 2) float64, start and end of each chunk in seconds.
      size: (height, width) of the item's frames as they are stored; None where it is not needed.
      damage: one line on what is missing from the item, or None.
    """

    vectors: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64]
    spans: npt.NDArray[np.float64]
    size: tuple[int, int] | None = None
    damage: str | None = None


def frame_vectors(
    dataset: MediaDataset,
    encoder: FrameEncoder,
    *,
    indices: Sequence[int] | None = None,
    threads: int = 2,
    on_item: Callable[[int], None] | None = None,
    read: Read | None = None,
    canvas: Canvas | None = None,
) -> Iterator[tuple[int, FrameVectors | MediaError]]:
    """Decode items and encode their frames, in batches that cross item borders; results come in order.

    To an encoder whose unit is a chunk, an image is a chunk that stands still.

    Args:
      dataset: the media.
      encoder: a jitted `encode_frames` and the preprocessing it expects.
      indices: item numbers; None for all.
      threads: items decoded at once.
      on_item: called with the number of each item when it is done, for a progress bar.
      read: item number to the chunks that are encoded; None: `read_encoded`, what indexing and querying see.
      canvas: images of several sizes share batches, see `encode_in_batches`; for encoders whose `encode_frames` takes
        the sizes, too.

    Yields:
      `(index, FrameVectors)`, or `(index, MediaError)` for an item that cannot be read to its end.
    """
    chosen = range(len(dataset)) if indices is None else indices
    at_rate = encoder.preprocessing.shots is not None
    stream = read_ahead(
        read or (lambda index: read_encoded(dataset, index, encoder.preprocessing)), chosen, threads=threads
    )
    # Of the items under way alone: there may be a million.
    chunks: defaultdict[int, list[Chunk]] = defaultdict(list)
    vectors: defaultdict[int, list[npt.NDArray[np.float32]]] = defaultdict(list)
    failures: dict[int, MediaError] = {}
    order = iter(chosen)
    current = next(order, None)

    def readable() -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        for index, chunk in stream:
            if isinstance(chunk, MediaError):
                failures[index] = chunk
                continue
            # The pixels go on to the encoder; only times and span are kept (a view of none would keep them all).
            times, pixels = chunk.times, chunk.pixels
            if encoder.unit == "chunk":
                times = np.array([(chunk.start + chunk.end) / 2])
                pixels = _filled(pixels, encoder.preprocessing.frames)[None]
            chunks[index].append(dataclasses.replace(chunk, pixels=chunk.pixels[:0].copy(), times=times.copy()))
            yield index, pixels

    def finished(until: int | None) -> Iterator[tuple[int, FrameVectors | MediaError]]:
        nonlocal current
        while current is not None and current != until:
            parts = chunks.pop(current, []), vectors.pop(current, [])
            result = failures.get(current) or (_gather_film if at_rate else _gather)(*parts)
            if on_item is not None:
                on_item(current)
            yield current, result
            current = next(order, None)

    for index, encoded in encode_in_batches(readable(), encoder.encode_frames, canvas=canvas):
        yield from finished(until=index)
        vectors[index].append(encoded)
    yield from finished(until=None)


def _filled(pixels: npt.NDArray[np.uint8], frames: int) -> npt.NDArray[np.uint8]:
    """The one frame of an image as often as a chunk has frames; chunks as they are."""
    return pixels if len(pixels) == frames else np.repeat(pixels, frames, axis=0)


def _gather(chunks: list[Chunk], vectors: list[npt.NDArray[np.float32]]) -> FrameVectors:
    return FrameVectors(
        vectors=np.stack(vectors),
        times=np.stack([chunk.times for chunk in chunks]),
        spans=np.array([(chunk.start, chunk.end) for chunk in chunks], np.float64),
        damage=chunks[-1].damage,
    )


def _gather_film(chunks: list[Chunk], vectors: list[npt.NDArray[np.float32]]) -> FrameVectors:
    return FrameVectors(
        vectors=np.concatenate(vectors)[None],
        times=np.concatenate([chunk.times for chunk in chunks])[None],
        spans=np.array([(chunks[0].start, chunks[-1].end)], np.float64),
        damage=chunks[-1].damage,
    )
