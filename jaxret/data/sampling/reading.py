"""From an item to what an encoder takes: chunks or a steady rate for indexing, one random clip for training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import Chunk, Indices, MediaReader, Pixels, check_indices
from jaxret.data.sampling.changed_frames import ChangedReader, random_change
from jaxret.data.sampling.depth_planes import plane_numbers
from jaxret.data.sampling.frames import (
    chunk_spans,
    even_samples,
    frames_on_display,
    moments_at_rate,
    random_chunk,
    random_samples,
)
from jaxret.data.sampling.modalities import modality_image, require_modalities, snippet_indices
from jaxret.data.sampling.transforms import Augmentation, FrameGeometry, centre_geometry, random_geometry
from jaxret.errors import MediaError
from jaxret.preprocessing import DepthPlanes, Preprocessing

__all__ = [
    "chunks_of",
    "open_item",
    "read_at_rate",
    "read_chunks",
    "read_encoded",
    "read_images",
    "read_sampled_chunks",
    "read_training_clip",
    "varied",
]

_SPARE = 2  # frames that are changed for training are first made smaller, to so many times what the encoder sees
_RATE_BLOCK = 8  # frames of a steady rate that travel together: a chunk of large ones is soon much memory


def open_item(dataset: MediaDataset, index: int, preprocessing: Preprocessing) -> MediaReader:
    """A reader of an item, after finding out whether the modalities of `preprocessing` can be made of it.

    Raises:
      MediaError: the item cannot be read, is an image and a modality shows motion, or has no depth and the encoder
        sees depth.
      ConfigError: a modality needs an extra that is not installed.
    """
    require_modalities(preprocessing.modalities)
    item = dataset.items[index]
    if item.kind == "image":
        _refuse_motion(item.path or item.key, preprocessing)
    reader = dataset.open(index)
    try:
        _require_depth(reader, item.path or item.key, preprocessing)
    except MediaError:
        reader.close()
        raise
    return reader


def read_images(
    reader: MediaReader, moments: Indices, geometry: FrameGeometry, preprocessing: Preprocessing
) -> Iterator[Pixels]:
    """What the encoder sees of the frames at `moments`, in one forward pass over the item.

    For `rgb` alone it is the frames. Otherwise each moment's images, one a modality, are stacked along the
    channel axis; frames that several moments or modalities need are decoded once, and at most as many as the
    longest snippet has are held. With `preprocessing.depth` the number of each pixel's depth plane is the last channel.

    Args:
      reader: an open item.
      moments: frame numbers, which must not decrease; a repeated one repeats its image.
      geometry: how each frame is scaled and cut.
      preprocessing: its channels, modalities and depth planes.

    Yields:
      uint8 (height, width, preprocessing.pixel_channels).

    Raises:
      MediaError: a frame does not decode; at once, before the first image: depth is wanted and there is none.
      IndexError: a moment is out of range. ValueError: moments decrease.
      ConfigError: at once: a modality needs an extra that is not installed.
    """
    _require_depth(reader, _name_of(reader), preprocessing)
    if not preprocessing.motion:
        images = reader.frames(moments, geometry, preprocessing.channels)
    else:
        require_modalities(preprocessing.modalities)
        images = _stacked_images(reader, moments, geometry, preprocessing)
    if preprocessing.depth is None:
        return images
    return _with_planes(images, reader.depths(moments, geometry), preprocessing.depth)


def _with_planes(
    images: Iterator[Pixels], depths: Iterator[npt.NDArray[np.float32]], planes: DepthPlanes
) -> Iterator[Pixels]:
    for image, depth in zip(images, depths, strict=True):
        yield np.concatenate([image, plane_numbers(depth, planes)[..., None]], axis=-1)


def _stacked_images(
    reader: MediaReader, moments: Indices, geometry: FrameGeometry, preprocessing: Preprocessing
) -> Iterator[Pixels]:
    count = reader.info.frame_count
    chosen = check_indices(moments, count)
    snippets = {name: snippet_indices(name, chosen, count) for name in preprocessing.modalities}
    wanted = np.unique(np.concatenate([numbers.ravel() for numbers in snippets.values()]))
    frames = zip(wanted.tolist(), reader.frames(wanted, geometry), strict=True)
    held: dict[int, Pixels] = {}
    images: Pixels | None = None
    for place, moment in enumerate(chosen):
        if images is not None and moment == chosen[place - 1]:
            yield images.copy()
            continue
        rows = {name: numbers[place].tolist() for name, numbers in snippets.items()}
        first, last = min(row[0] for row in rows.values()), max(row[-1] for row in rows.values())
        # Snippets of later moments begin and end no earlier, so what lies before this one is done with.
        held = {number: frame for number, frame in held.items() if number >= first}
        while last not in held:
            number, frame = next(frames)
            held[number] = frame
        images = np.concatenate(
            [modality_image(name, np.stack([held[number] for number in row])) for name, row in rows.items()], axis=-1
        )
        yield images


def read_chunks(dataset: MediaDataset, index: int, preprocessing: Preprocessing) -> Iterator[Chunk]:
    """The road of evaluation, indexing and queries: every chunk of an item, evenly sampled, centre window.

    A video is cut into equal chunks of about `chunk_seconds` that follow each other, or overlap by `chunk_overlap`
    (`chunk_spans`), and read in one forward pass with one chunk in memory at a time, and what the next ones show again.
    An image gives one chunk of one frame.

    Yields:
      `Chunk` with pixels uint8 (preprocessing.frames, height, width, pixel_channels); (1, ...) for an image.

    Raises:
      MediaError: the item cannot be read (to the end: chunks before the break have been yielded), is an image and
        a modality shows motion, or has no depth and the encoder sees depth.
      ConfigError: a modality needs an extra that is not installed.
    """
    with open_item(dataset, index, preprocessing) as reader:
        yield from chunks_of(reader, preprocessing, is_image=dataset.items[index].kind == "image")


def read_encoded(dataset: MediaDataset, index: int, preprocessing: Preprocessing) -> Iterator[Chunk]:
    """Everything of an item that its encoder sees: chunks, or frames at a steady rate where it works on shots.

    Of a steady rate each `Chunk` holds a few frames and the span up to the next ones; an image is one chunk of one
    frame, with span 0 to 0. Errors are those of `read_chunks`.
    """
    if preprocessing.shots is None:
        yield from read_chunks(dataset, index, preprocessing)
        return
    if dataset.items[index].kind == "image":
        yield from read_chunks(dataset, index, preprocessing.of_images)
        return
    with open_item(dataset, index, preprocessing) as reader:
        rate, end = preprocessing.shots.rate, reader.info.duration
        for times, pixels in read_at_rate(reader, rate, preprocessing, block=_RATE_BLOCK):
            yield Chunk(pixels, times, float(times[0]), min(float(times[-1]) + 1 / rate, end), reader.damage)


def chunks_of(reader: MediaReader, preprocessing: Preprocessing, *, is_image: bool) -> Iterator[Chunk]:
    """The chunks of an item that is open; see `read_chunks`."""
    info = reader.info
    geometry = centre_geometry(info.height, info.width, preprocessing)
    if is_image:
        _refuse_motion(_name_of(reader), preprocessing)
        (image,) = read_images(reader, [0], geometry, preprocessing)
        yield Chunk(image[None], np.zeros(1), 0.0, 0.0, reader.damage)
        return
    spans = chunk_spans(info.duration, preprocessing.chunk_seconds, preprocessing.chunk_overlap, info.parts)
    samples = [even_samples(reader.times, start, end, preprocessing.frames) for start, end in spans.tolist()]
    yield from read_sampled_chunks(reader, spans, samples, geometry, preprocessing)


def read_sampled_chunks(
    reader: MediaReader,
    spans: npt.NDArray[np.float64],
    samples: Sequence[npt.NDArray[np.int64]],
    geometry: FrameGeometry,
    preprocessing: Preprocessing,
) -> Iterator[Chunk]:
    """Chunks of the frames that are chosen for each, in one forward pass; frames that several show are read once.

    Args:
      reader: an open item.
      spans: (N, 2) seconds, what each chunk stands for.
      samples: N times frame numbers, which do not decrease within a chunk, and whose first and last do not decrease
        from chunk to chunk.
      geometry: how each frame is scaled and cut.
      preprocessing: its channels, modalities and depth planes.

    Yields:
      `Chunk`; errors are those of `read_images`.
    """
    wanted = np.unique(np.concatenate(samples))
    images = zip(wanted.tolist(), read_images(reader, wanted, geometry, preprocessing), strict=True)
    held: dict[int, Pixels] = {}
    for place, ((start, end), chosen) in enumerate(zip(spans.tolist(), samples, strict=True)):
        while chosen[-1] not in held:
            number, image = next(images)
            held[number] = image
        pixels = np.stack([held[number] for number in chosen.tolist()])
        yield Chunk(pixels, reader.times[chosen], start, end, reader.damage)
        following = samples[place + 1][0] if place + 1 < len(samples) else np.inf
        held = {number: image for number, image in held.items() if number >= following}


def read_at_rate(
    reader: MediaReader, rate: float, preprocessing: Preprocessing, *, block: int = 16
) -> Iterator[tuple[npt.NDArray[np.float64], Pixels]]:
    """The images on display `rate` times a second, in one forward pass, a few at a time, whatever the length.

    Moment k is at k / rate seconds, before the end of the item, or of each of its parts between gaps: an image, or a
    video shorter than 1 / rate, gives one. Where a frame is on display for several moments (a low or variable frame
    rate) it is given as often.

    Args:
      reader: an open item, see `open_item`.
      rate: images a second of the item's time, above 0.
      preprocessing: size, resizing and modalities; its `frames` and `chunk_seconds` are for chunks.
      block: images yielded together, at least 1. These and the decoder's own are all that is held.

    Yields:
      The moments float64 (M,) in seconds and the images uint8 (M, height, width, pixel_channels), M = block but
      for the last; the size is the same for all of an item.

    Raises:
      ValueError: rate or block is out of range; at once.
      MediaError: a frame does not decode; the blocks before it have been yielded.
      ConfigError: at once: a modality needs an extra that is not installed.

    Example:
      >>> from jaxret.data.readers import ArrayReader
      >>> reader = ArrayReader(np.zeros((50, 36, 64, 3), np.uint8), times=np.arange(50) / 25, duration=2.0)
      >>> blocks = list(read_at_rate(reader, 3.0, Preprocessing(height=64, width=64, resize="limit"), block=4))
      >>> [(times.round(2).tolist(), pixels.shape) for times, pixels in blocks]
      [([0.0, 0.33, 0.67, 1.0], (4, 32, 64, 3)), ([1.33, 1.67], (2, 32, 64, 3))]
    """
    if block < 1:
        raise ValueError(f"block must be at least 1 image, got {block!r}")
    info = reader.info
    moments = moments_at_rate(info.duration, rate, info.parts)
    geometry = centre_geometry(info.height, info.width, preprocessing)
    images = read_images(reader, frames_on_display(reader.times, moments), geometry, preprocessing)
    return _blocks(moments, images, block)


def _blocks(
    moments: npt.NDArray[np.float64], images: Iterator[Pixels], block: int
) -> Iterator[tuple[npt.NDArray[np.float64], Pixels]]:
    for start in range(0, len(moments), block):
        times = moments[start : start + block]
        yield times, np.stack([next(images) for _ in times])


def read_training_clip(
    dataset: MediaDataset,
    index: int,
    preprocessing: Preprocessing,
    rng: np.random.Generator,
    augment: Augmentation | None = Augmentation(),
    *,
    span: tuple[float, float] | None = None,
) -> Pixels:
    """One random clip of an item: a random chunk, one random frame of each segment, one change, crop and flip.

    Args:
      dataset, index: the item.
      preprocessing: size, frame count, chunk length, modalities and depth planes.
      rng: everything random comes from here.
      augment: what is varied; None takes the centre window and evenly spaced frames of the chunk.
      span: start and end, in seconds, of the chunk of a video to take; None: a random one.

    Returns:
      uint8 (T, height, width, pixel_channels), T = preprocessing.frames, or 1 for an image.

    Raises:
      MediaError: the item cannot be read, is an image and a modality shows motion, or has no depth and the encoder
        sees depth.
      ConfigError: a modality needs an extra that is not installed.
    """
    with open_item(dataset, index, preprocessing) as opened:
        info = opened.info
        is_image = dataset.items[index].kind == "image"
        start, end = 0.0, 0.0
        if span is not None:
            start, end = span
        elif not is_image:
            length, overlap = preprocessing.chunk_seconds, preprocessing.chunk_overlap
            start, end = random_chunk(info.duration, length, rng, overlap, info.parts)
        if augment is None:
            reader, geometry = opened, centre_geometry(info.height, info.width, preprocessing)
        else:
            reader, geometry = varied(opened, preprocessing, rng, augment)
        if is_image:
            chosen = np.zeros(1, np.int64)
        elif augment is None:
            chosen = even_samples(reader.times, start, end, preprocessing.frames)
        else:
            chosen = random_samples(reader.times, start, end, preprocessing.frames, rng)
        return np.stack(list(read_images(reader, chosen, geometry, preprocessing)))


def varied(
    reader: MediaReader, preprocessing: Preprocessing, rng: np.random.Generator, augment: Augmentation
) -> tuple[MediaReader, FrameGeometry]:
    """An opened item as training sees it: with its frames changed, where that is wanted, and the window to read.

    Args:
      reader: an open item.
      preprocessing: size and resizing.
      rng: everything random comes from here.
      augment: what is varied.
    """
    if augment.changes:
        shortest = _SPARE * max(preprocessing.height, preprocessing.width)
        reader = ChangedReader(reader, random_change(augment.changes, rng), shortest=shortest)
    return reader, random_geometry(reader.info.height, reader.info.width, preprocessing, rng, augment)


def _name_of(reader: MediaReader) -> str:
    return str(getattr(reader, "path", "the medium"))


def _require_depth(reader: MediaReader, name: str, preprocessing: Preprocessing) -> None:
    if preprocessing.depth is not None and not reader.has_depth:
        raise MediaError(name, "it has no depth, and the encoder sees depth planes: it takes RGB-D videos alone")


def _refuse_motion(image: str, preprocessing: Preprocessing) -> None:
    if preprocessing.motion:
        raise MediaError(image, f"an image has no motion for the modality {preprocessing.motion[0]!r}")
