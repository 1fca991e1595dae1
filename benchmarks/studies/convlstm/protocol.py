"""The queries of the ConvLSTM benchmark: sequences of clip vectors by clip and by class, or by place."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from studies.convlstm.backwards import BackwardsVideos
from studies.convlstm.data import ClipData

from jaxret.data.dataset import MediaDataset
from jaxret.data.ground_truth.changed import ChangedVideos
from jaxret.data.items import MediaItem
from jaxret.data.readers import Chunk
from jaxret.data.sampling.changes import CHANGES
from jaxret.data.sampling.reading import read_encoded
from jaxret.errors import MediaError
from jaxret.metrics import average_precision, relevance_by_lists
from jaxret.models.backbones.thumbnail import ThumbnailBackbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing
from jaxret.rank import SequenceRanking, sequence_distances
from jaxret.retrieval.encode import clip_rows, frame_vectors

__all__ = [
    "MEASURES",
    "EncodedData",
    "Media",
    "by_clip",
    "by_place",
    "encode_at_shares",
    "encode_data",
    "figures",
    "sequences_of",
    "share_factors",
]

MEASURES = {
    "mean vector, cosine": "mean-cosine",
    "DTW": "dtw",
    "Bi-DTW as printed": "bi-dtw-printed",
    "Bi-DTW": "bi-dtw",
}
STRENGTHS = (0.25, 0.5, 1.0)
"""Of the changes of queries by clip (`jaxret.data.sampling.changes`), all together; 0.5 is a medium one."""
BACKWARDS = "backwards"
Sequences = Sequence[np.ndarray]


class Media:
    """What is compared of a data set: all its videos, and the queries cropped from test videos.

    Args:
      data: the data set.
      seed: of the crops.

    Attributes:
      dataset: the videos.
      tests: numbers of those that query the others.
      crops: the queries by clip.
      changed: those at each of `STRENGTHS` of the changes, by what figures are called; and of a walk, which can be gone
        either way, those played backwards.
      tests_backwards: of a walk its test videos played backwards; None: of other videos.
    """

    def __init__(self, data: ClipData, seed: int):
        self.data, self.dataset = data, data.dataset()
        self.tests = data.tests(self.dataset)
        self.crops = data.crops(self.dataset, seed)
        self.changed: dict[str, MediaDataset] = {
            f"strength {strength:g}": ChangedVideos(self.crops, CHANGES, strength, seed=seed) for strength in STRENGTHS
        }
        self.tests_backwards: MediaDataset | None = None
        if data.near is not None:
            self.changed[BACKWARDS] = BackwardsVideos(self.crops)
            self.tests_backwards = BackwardsVideos(self.dataset.subset(self.tests))
        self._read: dict[tuple[int, int, str], list[Chunk]] = {}

    def read(self, dataset: MediaDataset, index: int, preprocessing: Preprocessing) -> list[Chunk]:
        """The chunks of one of the videos; the second encoder that asks for them gets what was decoded for the first.

        Changing and decoding take longer than encoding, and clips of 32 x 32 pixels are small.
        """
        key = (id(dataset), index, repr(preprocessing))
        if key not in self._read:
            self._read[key] = list(read_encoded(dataset, index, preprocessing))
        return self._read[key]


class EncodedData:
    """The same as sequences of clip vectors.

    Args:
      media: what is compared.
      embed: gives the sequence of every video of a data set.
      colours: whether that of colours alone, which changes are of; they leave no depth.
    """

    def __init__(self, media: Media, embed: Callable[[MediaDataset], Sequences], *, colours: bool = True):
        self.media = media
        self.videos, self.queries = embed(media.dataset), embed(media.crops)
        changed = {name: each for name, each in media.changed.items() if colours or name == BACKWARDS}
        self.changed = {name: embed(videos) for name, videos in changed.items()}
        self.tests = [self.videos[number] for number in media.tests]
        self.tests_backwards = None if media.tests_backwards is None else embed(media.tests_backwards)


def encode_data(encoder: Any, media: Media) -> EncodedData:
    """Everything that is compared, embedded."""
    colours = encoder.preprocessing.depth is None
    return EncodedData(media, partial(sequences_of, encoder, media=media), colours=colours)


def encode_at_shares(encoder: VideoEncoder, media: Media, shares: Sequence[float]) -> list[EncodedData]:
    """Everything that is compared, with the thumbnail beside an encoder's vectors at each of some shares.

    Videos are embedded once: another share is another scale of either part.

    Args:
      encoder: with a thumbnail.
      media: what is compared.
      shares: of the squared distance, 0 to 1.
    """
    joined = encoder.backbone
    assert isinstance(joined, ThumbnailBackbone)
    embed = functools.cache(partial(sequences_of, encoder, media=media))

    def at(share: float) -> EncodedData:
        factors, colours = share_factors(joined, share), encoder.preprocessing.depth is None
        return EncodedData(media, lambda dataset: [each * factors for each in embed(dataset)], colours=colours)

    return [at(share) for share in shares]


def share_factors(joined: ThumbnailBackbone, share: float) -> np.ndarray:
    """What vectors with a thumbnail beside them are multiplied by for another share of it, float32 (D,)."""
    sizes = (joined.backbone.embedding_size, joined.embedding_size - joined.backbone.embedding_size)
    scales = np.sqrt([(1 - share) / (1 - joined.share), share / joined.share])
    return np.repeat(scales, sizes).astype(np.float32)


def sequences_of(encoder: Any, dataset: MediaDataset, *, media: Media) -> list[np.ndarray]:
    """The clip vectors of every video, in order of time."""
    found = {}
    for number, vectors in frame_vectors(
        dataset, encoder, read=lambda index: media.read(dataset, index, encoder.preprocessing)
    ):
        if isinstance(vectors, MediaError):
            raise vectors
        found[number] = vectors
    rows = clip_rows(found, encoder)
    return [rows.vectors[rows.items == number] for number in range(len(dataset))]


def figures(encoded: EncodedData, measure: str) -> dict[str, float]:
    """mAP by clip and by class (of a walk by place), mAP = mean of i / rank of the i-th relevant.

    Args:
      encoded: sequences.
      measure: of `jaxret.rank.SequenceRanking`.
    """
    own, found = encoded.media.crops.videos, {}
    for name, queries in {"": encoded.queries, **encoded.changed}.items():
        found[f"{name}: mAP by clip".removeprefix(": ")] = by_clip(queries, encoded.videos, own, measure)
    if encoded.tests_backwards is None:
        found["mAP by class"] = _by_class(encoded, measure)
    else:
        found["mAP by place"] = _by_place(encoded, encoded.tests, measure)
        found[f"{BACKWARDS}: mAP by place"] = _by_place(encoded, encoded.tests_backwards, measure)
    return found


def by_clip(queries: Sequences, videos: Sequences, own: Sequence[int] | np.ndarray, measure: str) -> float:
    """mAP where of all videos only that is right which a query was cropped from, `own`."""
    distances = sequence_distances(queries, videos, SequenceRanking(measure))
    return _map(distances, [{int(video): 1.0} for video in own])


def _by_place(encoded: EncodedData, queries: Sequences, measure: str) -> float:
    """Test pieces of a walk query all others."""
    near = encoded.media.data.near
    assert near is not None
    return by_place(sequence_distances(queries, encoded.videos, SequenceRanking(measure)), near, encoded.media.tests)


def by_place(distances: np.ndarray, near: np.ndarray, tests: Sequence[int]) -> float:
    """mAP of pieces of a walk that query all but themselves and those beside them in time.

    Args:
      distances: (Q, N), from the queries to all pieces.
      near: bool (N, N), which pieces are right answers to which; a query without any does not count.
      tests: numbers of the queries.
    """
    relevant = [dict.fromkeys(np.flatnonzero(row).tolist(), 1.0) for row in near[tests]]
    return _map(distances, relevant, [set(range(max(0, n - 1), min(n + 2, len(near)))) for n in tests])


def _by_class(encoded: EncodedData, measure: str) -> float:
    """Test videos query the videos of other sources: training ones where there are any, or else each other."""
    items: Sequence[MediaItem] = encoded.media.dataset.items
    tests = encoded.media.tests
    others = [number for number in range(len(items)) if number not in set(tests)] or tests
    distances = sequence_distances(
        encoded.tests, [encoded.videos[number] for number in others], SequenceRanking(measure)
    )
    relevant, junk = [], []
    for number in tests:
        same = [items[other].label == items[number].label for other in others]
        source = [other == number or items[other].source == items[number].source for other in others]
        relevant.append({n: 1.0 for n in range(len(others)) if same[n] and not source[n]})
        junk.append({n for n in range(len(others)) if source[n]})
    return _map(distances, relevant, junk)


def _map(
    distances: np.ndarray, relevant: Sequence[Mapping[int, float]], junk: Sequence[set[int]] | None = None
) -> float:
    order = np.argsort(distances, axis=1, kind="stable")
    return average_precision(relevance_by_lists(order, relevant, distances.shape[1], junk=junk)).mean
