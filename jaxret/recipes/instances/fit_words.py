"""What an encoder of visual words is fitted with, from training images: whitening, codebook, weights of the words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.even_draw import EvenDraw
from jaxret.data.sampling.sift import sift_features
from jaxret.errors import ConfigError, MediaError
from jaxret.models.descriptors.visual_words import MapWordEncoder, SiftWordEncoder
from jaxret.retrieval.encode import FrameVectors, frame_vectors
from jaxret.training.pca import fit_pca
from jaxret.visual_words import Codebook, bags_of_words, inverse_document_frequency, words_of_map

__all__ = ["fit_words"]

_SAMPLE_BYTES = 1 << 30
_SAMPLE_A_WORD = 256

Descriptors = NDArray[np.float32]


def fit_words(
    encoder: MapWordEncoder | SiftWordEncoder,
    dataset: MediaDataset,
    indices: Sequence[int],
    *,
    threads: int = 2,
    seed: int = 0,
    log: Callable[[str], None] = print,
    on_item: Callable[[int], None] | None = None,
) -> None:
    """Fit an encoder of words on images (of a video, on its sampled frames), in two passes over them.

    The first draws descriptors at random, 256 a word and 1 GiB at most; of them come the whitening, where the encoder
    has one (Jegou and Chum 2012), and the words (`jaxret.visual_words.Codebook.fit`). The second counts in how many
    images each word is, for the weights. An image that cannot be read is passed over.

    Args:
      encoder: whose arrays are replaced.
      dataset: with the images.
      indices: of the training items.
      threads: files decoded at once.
      seed: of the sample and of k-means.
      log: told what is being done.
      on_item: called with each item's index when it is done, twice for each.

    Raises:
      ConfigError: the images cannot be read or give fewer different descriptors than words; or OpenCV is missing.
    """
    describe = _Describer(encoder)
    size = encoder.centres.shape[1] if describe.size is None else describe.size
    limit = max(4 * encoder.n_words, min(_SAMPLE_A_WORD * encoder.n_words, _SAMPLE_BYTES // (4 * size)))
    sample = EvenDraw(limit, size, seed)
    failures: list[MediaError] = []

    def descriptors() -> Iterator[Descriptors]:
        """Of each frame, (P, size)."""
        for _, found in frame_vectors(dataset, describe, indices=indices, threads=threads, on_item=on_item):
            if isinstance(found, FrameVectors):
                for frame in found.vectors.reshape(-1, found.vectors.shape[-1]):
                    yield describe.of_frame(frame)
            else:
                failures.append(found)

    log(f"drawing {limit:,} descriptors at most from {len(indices)} images and videos")
    for rows in descriptors():
        sample.add(rows)
    held = sample.drawn()
    del sample
    if failures and len(failures) == len(indices):
        raise ConfigError(f"none of the {len(indices)} training images can be read; the first: {failures[0]}")
    if not len(held):
        raise ConfigError(f"none of the {len(indices)} training images has a key point: take others, or larger ones")
    if isinstance(encoder, MapWordEncoder) and encoder.whitening is not None:
        fitted = fit_pca(held, components=encoder.whitening.size, whiten=True)
        encoder.whitening.assign(fitted.mean, fitted.components)
    held = describe.compared(held)
    log(f"{encoder.n_words} words by k-means of {len(held):,} descriptors")
    try:
        codebook = Codebook.fit(held, encoder.n_words, seed=seed)
    except ValueError as error:
        raise ConfigError(f"the codebook: {error}") from error
    del held
    log("counting in how many images each word is")
    # Where a word stands does not matter here.
    words = (codebook.assign(describe.compared(rows)) for rows in descriptors())
    bags = bags_of_words((words_of_map(row[None], (1.0, 1.0)) for row in words if len(row)), encoder.n_words)
    encoder.assign(codebook.centres, inverse_document_frequency(bags))


class _Describer:
    """The encoder's descriptors before the whitening as rows of `frame_vectors`, which want one length a frame.

    Attributes:
      size: length of a descriptor; None: those of the codebook.
    """

    def __init__(self, encoder: MapWordEncoder | SiftWordEncoder):
        self.encoder = encoder
        self.preprocessing = encoder.preprocessing
        self.unit: Any = "frame"
        whitening = getattr(encoder, "whitening", None)
        self.size: int | None = None if whitening is None else whitening.input_size

    def encode_frames(self, frames: Any) -> Any:
        if isinstance(self.encoder, MapWordEncoder):
            return np.asarray(self.encoder.maps(frames)).reshape(len(frames), -1)
        most = self.encoder.max_features
        rows = np.zeros((len(frames), 1 + most * self.encoder.centres.shape[1]), np.float32)
        for row, frame in zip(rows, np.asarray(frames), strict=True):
            found = sift_features(frame, most, root=True, what="fitting SIFT words").descriptors[:most]
            row[0] = len(found)
            row[1 : 1 + found.size] = found.reshape(-1)
        return rows

    def of_frame(self, row: Descriptors) -> Descriptors:
        """The descriptors (P, size) in a row."""
        if isinstance(self.encoder, MapWordEncoder):
            size = self.encoder.centres.shape[1] if self.size is None else self.size
            return row.reshape(-1, size)
        return row[1:].reshape(-1, self.encoder.centres.shape[1])[: int(row[0])]

    def compared(self, rows: Descriptors) -> Descriptors:
        """Descriptors as they are compared with words, (P, D)."""
        if isinstance(self.encoder, MapWordEncoder):
            return np.asarray(self.encoder.whitened(jnp.asarray(rows)))
        return rows
