"""From an item to what an encoder takes: sampled chunks for indexing, one random clip for training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxret.data.frame_sampling import chunk_spans, even_samples, random_chunk, random_samples
from jaxret.data.media_item import Chunk, MediaDataset, MediaReader, Pixels
from jaxret.data.transforms import Augmentation, centre_geometry, random_geometry
from jaxret.preprocessing import Preprocessing

__all__ = ["chunks_of", "read_chunks", "read_training_clip"]


def read_chunks(dataset: MediaDataset, index: int, preprocessing: Preprocessing) -> Iterator[Chunk]:
    """The road of evaluation, indexing and queries: every chunk of an item, evenly sampled, centre window.

    A video is cut into max(1, round(duration / chunk_seconds)) equal chunks and read in one forward pass
    with one chunk in memory at a time. An image gives one chunk of one frame.

    Yields:
      `Chunk` with pixels uint8 (preprocessing.frames, height, width, channels); (1, ...) for an image.

    Raises:
      MediaError: the item cannot be read (to the end: chunks before the break have been yielded).
    """
    with dataset.open(index) as reader:
        yield from chunks_of(reader, preprocessing, is_image=dataset.items[index].kind == "image")


def chunks_of(reader: MediaReader, preprocessing: Preprocessing, *, is_image: bool) -> Iterator[Chunk]:
    """The chunks of an item that is open; see `read_chunks`."""
    info = reader.info
    geometry = centre_geometry(info.height, info.width, preprocessing)
    if is_image:
        yield Chunk(reader.read([0], geometry, preprocessing.channels), np.zeros(1), 0.0, 0.0)
        return
    spans = chunk_spans(info.duration, preprocessing.chunk_seconds)
    samples = [even_samples(reader.times, start, end, preprocessing.frames) for start, end in spans.tolist()]
    frames = reader.frames(np.concatenate(samples), geometry, preprocessing.channels)
    for (start, end), chosen in zip(spans.tolist(), samples, strict=True):
        pixels = np.stack([next(frames) for _ in chosen])
        yield Chunk(pixels, reader.times[chosen], start, end)


def read_training_clip(
    dataset: MediaDataset,
    index: int,
    preprocessing: Preprocessing,
    rng: np.random.Generator,
    augment: Augmentation | None = Augmentation(),
) -> Pixels:
    """One random clip of an item: a random chunk, one random frame of each segment, one crop and flip.

    Args:
      dataset, index: the item.
      preprocessing: size, frame count and chunk length.
      rng: everything random comes from here.
      augment: what is varied; None takes the centre window and evenly spaced frames of a random chunk.

    Returns:
      uint8 (T, height, width, channels), T = preprocessing.frames, or 1 for an image.

    Raises:
      MediaError: the item cannot be read.
    """
    with dataset.open(index) as reader:
        info = reader.info
        is_image = dataset.items[index].kind == "image"
        start, end = (0.0, 0.0) if is_image else random_chunk(info.duration, preprocessing.chunk_seconds, rng)
        if augment is None:
            geometry = centre_geometry(info.height, info.width, preprocessing)
        else:
            geometry = random_geometry(info.height, info.width, preprocessing, rng, augment)
        if is_image:
            chosen = np.zeros(1, np.int64)
        elif augment is None:
            chosen = even_samples(reader.times, start, end, preprocessing.frames)
        else:
            chosen = random_samples(reader.times, start, end, preprocessing.frames, rng)
        return reader.read(chosen, geometry, preprocessing.channels)
