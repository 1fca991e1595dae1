"""From an item to what an encoder takes: sampled chunks for indexing, one random clip for training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxret.data.frame_sampling import chunk_spans, even_samples, random_chunk, random_samples
from jaxret.data.media_item import Chunk, Indices, MediaDataset, MediaReader, Pixels, check_indices
from jaxret.data.modalities import modality_picture, require_modalities, snippet_indices
from jaxret.data.transforms import Augmentation, FrameGeometry, centre_geometry, random_geometry
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing

__all__ = ["chunks_of", "open_item", "read_chunks", "read_pictures", "read_training_clip"]


def open_item(dataset: MediaDataset, index: int, preprocessing: Preprocessing) -> MediaReader:
    """A reader of an item, after finding out whether the modalities of `preprocessing` can be made of it.

    Raises:
      MediaError: the item cannot be read, or is a picture and a modality shows motion.
      ConfigError: a modality needs an extra that is not installed.
    """
    require_modalities(preprocessing.modalities)
    item = dataset.items[index]
    if item.kind == "image":
        _refuse_motion(item.path or item.key, preprocessing)
    return dataset.open(index)


def read_pictures(
    reader: MediaReader, moments: Indices, geometry: FrameGeometry, preprocessing: Preprocessing
) -> Iterator[Pixels]:
    """What the encoder sees of the frames at `moments`, in one forward pass over the item.

    For `rgb` alone it is the frames. Otherwise each moment's pictures, one a modality, are stacked along the
    channel axis; frames that several moments or modalities need are decoded once, and at most as many as the
    longest snippet has are held.

    Args:
      reader: an open item.
      moments: frame numbers, which must not decrease; a repeated one repeats its picture.
      geometry: how each frame is scaled and cut.
      preprocessing: its channels and modalities.

    Yields:
      uint8 (height, width, preprocessing.pixel_channels).

    Raises:
      MediaError: a frame does not decode.
      IndexError: a moment is out of range. ValueError: moments decrease.
      ConfigError: at once, before the first picture: a modality needs an extra that is not installed.
    """
    if not preprocessing.motion:
        return reader.frames(moments, geometry, preprocessing.channels)
    require_modalities(preprocessing.modalities)
    return _stacked_pictures(reader, moments, geometry, preprocessing)


def _stacked_pictures(
    reader: MediaReader, moments: Indices, geometry: FrameGeometry, preprocessing: Preprocessing
) -> Iterator[Pixels]:
    count = reader.info.frame_count
    chosen = check_indices(moments, count)
    snippets = {name: snippet_indices(name, chosen, count) for name in preprocessing.modalities}
    wanted = np.unique(np.concatenate([numbers.ravel() for numbers in snippets.values()]))
    frames = zip(wanted.tolist(), reader.frames(wanted, geometry), strict=True)
    held: dict[int, Pixels] = {}
    pictures: Pixels | None = None
    for place, moment in enumerate(chosen):
        if pictures is not None and moment == chosen[place - 1]:
            yield pictures.copy()
            continue
        rows = {name: numbers[place].tolist() for name, numbers in snippets.items()}
        first, last = min(row[0] for row in rows.values()), max(row[-1] for row in rows.values())
        # Snippets of later moments begin and end no earlier, so what lies before this one is done with.
        held = {number: frame for number, frame in held.items() if number >= first}
        while last not in held:
            number, frame = next(frames)
            held[number] = frame
        pictures = np.concatenate(
            [modality_picture(name, np.stack([held[number] for number in row])) for name, row in rows.items()], axis=-1
        )
        yield pictures


def read_chunks(dataset: MediaDataset, index: int, preprocessing: Preprocessing) -> Iterator[Chunk]:
    """The road of evaluation, indexing and queries: every chunk of an item, evenly sampled, centre window.

    A video is cut into max(1, round(duration / chunk_seconds)) equal chunks and read in one forward pass
    with one chunk in memory at a time. An image gives one chunk of one frame.

    Yields:
      `Chunk` with pixels uint8 (preprocessing.frames, height, width, pixel_channels); (1, ...) for an image.

    Raises:
      MediaError: the item cannot be read (to the end: chunks before the break have been yielded), or is a
        picture and a modality shows motion.
      ConfigError: a modality needs an extra that is not installed.
    """
    with open_item(dataset, index, preprocessing) as reader:
        yield from chunks_of(reader, preprocessing, is_image=dataset.items[index].kind == "image")


def chunks_of(reader: MediaReader, preprocessing: Preprocessing, *, is_image: bool) -> Iterator[Chunk]:
    """The chunks of an item that is open; see `read_chunks`."""
    info = reader.info
    geometry = centre_geometry(info.height, info.width, preprocessing)
    if is_image:
        _refuse_motion(str(getattr(reader, "path", "the picture")), preprocessing)
        yield Chunk(reader.read([0], geometry, preprocessing.channels), np.zeros(1), 0.0, 0.0)
        return
    spans = chunk_spans(info.duration, preprocessing.chunk_seconds)
    samples = [even_samples(reader.times, start, end, preprocessing.frames) for start, end in spans.tolist()]
    pictures = read_pictures(reader, np.concatenate(samples), geometry, preprocessing)
    for (start, end), chosen in zip(spans.tolist(), samples, strict=True):
        pixels = np.stack([next(pictures) for _ in chosen])
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
      preprocessing: size, frame count, chunk length and modalities.
      rng: everything random comes from here.
      augment: what is varied; None takes the centre window and evenly spaced frames of a random chunk.

    Returns:
      uint8 (T, height, width, pixel_channels), T = preprocessing.frames, or 1 for an image.

    Raises:
      MediaError: the item cannot be read, or is a picture and a modality shows motion.
      ConfigError: a modality needs an extra that is not installed.
    """
    with open_item(dataset, index, preprocessing) as reader:
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
        return np.stack(list(read_pictures(reader, chosen, geometry, preprocessing)))


def _refuse_motion(picture: str, preprocessing: Preprocessing) -> None:
    if preprocessing.motion:
        raise MediaError(picture, f"a picture has no motion for the modality {preprocessing.motion[0]!r}")
