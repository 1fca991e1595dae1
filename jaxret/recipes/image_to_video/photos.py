"""Screen photos of moments of films, encoded: the queries that an encoder of shots will get."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.frames import frames_on_display
from jaxret.data.sampling.screen_photos import photograph
from jaxret.data.sampling.transforms import centre_geometry, resize_frame
from jaxret.files import write_atomically
from jaxret.models.encoder import VideoEncoder
from jaxret.retrieval.encode import Shot, encode_in_batches

__all__ = ["random_moments", "screen_photo_vectors"]


def random_moments(shots: Sequence[Shot], count: int, *, seed: int) -> npt.NDArray[np.float64]:
    """Seconds of `count` random moments of each shot, (N, count), ascending within a shot."""
    spans = np.array([(shot.start, shot.end) for shot in shots]).reshape(len(shots), 2)
    return np.sort(np.random.default_rng([seed, 31]).uniform(spans[:, :1], spans[:, 1:], (len(shots), count)), axis=1)


def screen_photo_vectors(
    dataset: MediaDataset,
    encoder: VideoEncoder,
    films: npt.ArrayLike,
    moments: npt.NDArray[np.float64],
    store: Path,
    *,
    seed: int,
) -> npt.NDArray[np.float32]:
    """Vectors of screen photos of moments of films, computed once. Films are read in one pass each, a frame at a time.

    Args:
      dataset: the films.
      encoder: its backbone makes the vectors, of images as its preprocessing wants them.
      films: (N,), item indices of films.
      moments: (N, K), seconds in each.
      store: a .npy file that keeps the vectors; one that is there and fits is read.
      seed: of what is bad about the photos.

    Returns:
      float32 (N, K, D).

    Raises:
      MediaError: a film no longer reads.
    """
    shape = (*moments.shape, encoder.frame_embedding_size)
    if store.exists():
        stored = np.load(store, allow_pickle=False)
        if stored.shape == shape:
            return np.asarray(stored, np.float32)
    vectors = np.empty((moments.size, encoder.frame_embedding_size), np.float32)
    images = _screen_photos(dataset, encoder, np.asarray(films, np.int64), moments, seed)
    for row, encoded in encode_in_batches(images, encoder.encode_frames):
        vectors[row] = encoded[0]
    with write_atomically(store) as partial:
        np.save(partial, vectors.reshape(shape), allow_pickle=False)
    return vectors.reshape(shape)


def _screen_photos(
    dataset: MediaDataset,
    encoder: VideoEncoder,
    films: npt.NDArray[np.int64],
    moments: npt.NDArray[np.float64],
    seed: int,
) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Each screen photo as (1, H, W, C), with its position among all moments."""
    settings = encoder.preprocessing.of_images
    seconds, owners = moments.ravel(), np.repeat(films, moments.shape[1])
    for film in np.unique(films).tolist():
        positions = np.flatnonzero(owners == film)
        positions = positions[np.argsort(seconds[positions], kind="stable")]  # so that the film is read forwards
        with dataset.open(film) as reader:
            frames = reader.frames(frames_on_display(reader.times, seconds[positions]))
            for position, frame in zip(positions.tolist(), frames, strict=True):
                photo = photograph(frame, np.random.default_rng([seed, 37, position]))
                geometry = centre_geometry(photo.shape[0], photo.shape[1], settings)
                yield position, resize_frame(photo, geometry, settings.channels)[None]
