"""What an encoder of visual words is fitted with, from training images: whitening, codebook, weights of the words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.even_draw import EvenDraw
from jaxret.errors import ConfigError
from jaxret.models.descriptors.visual_words import MapWordEncoder, SiftWordEncoder
from jaxret.recipes.instances.descriptions import Descriptions, rows_of
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.systems.base import system_of
from jaxret.retrieval.systems.word_records import bags_of_records
from jaxret.retrieval.systems.words import WordSystem
from jaxret.training.pca import fit_pca
from jaxret.visual_words import Codebook, WordBags, inverse_document_frequency

__all__ = ["fit_words"]

_SAMPLE_BYTES = 1 << 30
_SAMPLE_A_WORD = 256


def fit_words(
    encoder: MapWordEncoder | SiftWordEncoder,
    dataset: MediaDataset,
    indices: Sequence[int],
    *,
    threads: int = 2,
    seed: int = 0,
    log: Callable[[str], None] = print,
    on_item: Callable[[int], None] | None = None,
) -> dict[int, FrameVectors]:
    """Fit an encoder of words on images (of a video, on its sampled frames).

    Of descriptors drawn at random, 256 a word and 1 GiB at most, come the whitening, where the encoder has one (Jegou
    and Chum 2012), and the words (`jaxret.visual_words.Codebook.fit`). The weights of the words tell in how many
    images each is. An image that cannot be read is passed over.

    Args:
      encoder: whose arrays are replaced.
      dataset: with the images.
      indices: of the training items.
      threads: files decoded at once.
      seed: of the sample and of k-means.
      log: told what is being done.
      on_item: called with each item's index when it is described; a second time for those that memory did not hold.

    Returns:
      what an index keeps of the training items, see `jaxret.retrieval.Retriever.add`.

    Raises:
      ConfigError: the images cannot be read or give fewer different descriptors than words; or OpenCV is missing.
    """
    described = Descriptions(encoder, dataset, indices, threads=threads, on_item=on_item)
    width = described.size
    limit = max(4 * encoder.n_words, min(_SAMPLE_A_WORD * encoder.n_words, _SAMPLE_BYTES // (4 * width)))
    sample = EvenDraw(limit, width, seed)
    log(f"drawing {limit:,} descriptors at most")
    for image in described:
        sample.add(image.local)
    held = sample.drawn()
    del sample
    if not len(held):
        raise ConfigError(f"none of the {len(indices)} training images has a key point: take others, or larger ones")
    if isinstance(encoder, MapWordEncoder) and encoder.whitening is not None:
        fitted = fit_pca(held, components=encoder.whitening.size, whiten=True)
        encoder.whitening.assign(fitted.mean, fitted.components)
    held = _words(encoder).compared(held)
    log(f"{encoder.n_words} words by k-means of {len(held):,} descriptors of {described.read} images and videos")
    try:
        codebook = Codebook.fit(held, encoder.n_words, seed=seed)
    except ValueError as error:
        raise ConfigError(f"the codebook: {error}") from error
    del held
    log("counting in how many images each word is")
    encoder.assign(codebook.centres, np.ones(encoder.n_words))
    media = described.finished(encoder)
    encoder.assign(codebook.centres, inverse_document_frequency(_filled_bags(encoder, media)))
    return media


def _words(encoder: MapWordEncoder | SiftWordEncoder) -> WordSystem:
    system = system_of(encoder)
    assert isinstance(system, WordSystem)
    return system


def _filled_bags(encoder: MapWordEncoder | SiftWordEncoder, media: dict[int, FrameVectors]) -> WordBags:
    """The bags of the images that have a word."""
    bags = bags_of_records(_words(encoder).layout, rows_of(media).astype(np.int64))
    return WordBags.of_matrix(bags.matrix[np.flatnonzero(np.diff(bags.offsets))])
