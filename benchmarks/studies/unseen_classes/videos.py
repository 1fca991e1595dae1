"""Frame vectors of labelled videos, classes dealt to those that are trained on and others, and how both are found."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common.paths import JHMDB_CLIPS, MOBILENET_WEIGHTS, UCF101_FEATURES
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.groups import group_numbers

from jaxret.data.open import open_dataset
from jaxret.data.rows import Rows
from jaxret.data.sampling.transforms import Augmentation
from jaxret.evaluation import Ranking, Reranking, rank_items, reranked
from jaxret.metrics import RankedRelevance, average_precision, chance_summary, relevance_by_label
from jaxret.models import Mean, SequenceEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.weights.load import load_pretrained
from jaxret.preprocessing import Preprocessing
from jaxret.rank import METRICS
from jaxret.recipes.clips.features import FrozenFeatures

NAMES = {
    "ucf101": "UCF101, 15 classes, VGG16",
    "jhmdb": "JHMDB, 21 classes, MobileNet V1",
    "jhmdb-efficientnet": "JHMDB, 21 classes, EfficientNet-Lite0",
}
"""What the tables call the data."""
DATA = tuple(NAMES)
BACKBONES: dict[str, tuple[str, Any]] = {
    "jhmdb": ("mobilenet-v1", MOBILENET_WEIGHTS),
    "jhmdb-efficientnet": ("efficientnet-lite0", "imagenet"),
}
Numbers = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Videos:
    """Frame vectors of labelled videos.

    Attributes:
      name: of the data.
      seen: how many classes are trained on.
      labels: class number of each.
      sources: what each was cut from.
      train, test: indices.
      read: gives `vectors`.
    """

    name: str
    seen: int
    labels: Numbers
    sources: Numbers
    train: Numbers
    test: Numbers
    read: Callable[[], NDArray[np.float32]]

    @functools.cached_property
    def vectors(self) -> NDArray[np.float32]:
        """(N, T, D), made when they are asked for."""
        return self.read()

    def draw(self, seed: int, classes: int | None = None, most: int | None = None) -> tuple[Numbers, Numbers]:
        """The classes that a draw trains on, ascending, and the training videos of those.

        Args:
          seed: of the draw.
          classes: so many; None: `seen`.
          most: of the videos of a class, drawn; None: all.
        """
        rng = np.random.default_rng(seed)
        seen = np.sort(rng.permutation(self.labels.max() + 1)[: classes or self.seen])
        of_class = [self.train[self.labels[self.train] == label] for label in seen]
        return seen, np.sort(np.concatenate([rng.permutation(own)[:most] for own in of_class]))


def open_videos(name: str, cache: Path) -> Videos:
    """The data of that name, one of DATA; frame vectors of video files are kept in `cache`."""
    return ucf101() if name == "ucf101" else jhmdb(name, cache)


def ucf101() -> Videos:
    """UCF101-15, official split 1: groups 8 to 25 train, 1 to 7 test."""
    with np.load(UCF101_FEATURES) as stored:
        vectors, names, split = stored["features"].astype(np.float32), stored["label"], stored["split"]
    labels = np.unique(names, return_inverse=True)[1].astype(np.int64)
    means = unit_means(vectors)
    sources = np.zeros(len(labels), np.int64)
    for label in range(labels.max() + 1):
        for part, first, count in (("test", 0, 7), ("train", 7, 18)):
            own = np.flatnonzero((labels == label) & (split == part))
            sources[own] = 25 * label + first + group_numbers(means[own], count)
    train, test = (np.flatnonzero(split == part) for part in ("train", "test"))
    return Videos(NAMES["ucf101"], 10, labels, sources, train, test, lambda: vectors)


def jhmdb(name: str, cache: Path) -> Videos:
    """JHMDB through a frozen backbone with ImageNet weights; HMDB51's official split 1."""
    dataset = open_dataset(JHMDB_CLIPS, split_column="split1")
    numbers = [n for n, item in enumerate(dataset.items) if item.split in ("train", "test")]
    items = [dataset.items[number] for number in numbers]
    labels = np.unique([str(item.label) for item in items], return_inverse=True)[1].astype(np.int64)
    sources = np.unique([item.source for item in items], return_inverse=True)[1].astype(np.int64)
    split = np.array([str(item.split) for item in items])
    train, test = (np.flatnonzero(split == part) for part in ("train", "test"))

    @functools.cache  # of another part of the videos they are the same
    def read() -> NDArray[np.float32]:
        backbone_name, weights = BACKBONES[name]
        backbone = create_backbone(backbone_name, rngs=nnx.Rngs(0))
        load_pretrained(backbone, weights)
        mean = Mean(backbone.embedding_size, rngs=nnx.Rngs(0))
        encoder = VideoEncoder(backbone, mean, Preprocessing(height=224, width=224))
        features = FrozenFeatures(dataset, encoder, cache, views=1, augment=Augmentation(), seed=0)
        if broken := features.prepare(threads=2, show=True):
            raise SystemExit(f"does not read: {broken[0]}")
        media = features.frame_vectors(numbers)
        return np.stack([media[number].vectors[0] for number in numbers])

    return Videos(NAMES[name], 14, labels, sources, train, test, read)


def unit_means(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each video's frame vectors (N, T, D), scaled to length 1: (N, D)."""
    means = vectors.mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def embedded(encoder: SequenceEncoder, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip vectors of all videos, in evaluation mode."""
    encoder.eval()
    return np.asarray(jax.jit(lambda module, x: module(x).embedding)(encoder, jnp.asarray(vectors)))


def scores(videos: Videos, rows: NDArray[Any], seen: Numbers, distance: str) -> dict[str, float]:
    """mAP of test videos of classes trained on and of others, if any, among the training videos of all classes.

    Args:
      videos: what the rows are of; a query's own source is left out of its gallery.
      rows: (N, E) vectors, or packed codes.
      seen: classes that were trained on.
      distance: a name of `jaxret.rank.METRICS`.
    """
    queries, gallery = videos.test, videos.train
    ranked = METRICS[distance].topk(rows[queries], rows[gallery], len(gallery))
    return _by_group(videos, ranked.ids, seen)


def reranked_scores(
    videos: Videos, codes: NDArray[np.uint8], vectors: NDArray[np.float32], seen: Numbers, count: int
) -> dict[str, float]:
    """As `scores` of packed codes (N, B), the nearest `count` of other sources in order again by vectors (N, E)."""

    def rows(of: NDArray[Any], numbers: Numbers) -> Rows:
        return Rows(of[numbers], np.arange(len(numbers)))

    queries, gallery = videos.test, videos.train
    own = videos.sources[queries][:, None] == videos.sources[gallery]
    ranked = rank_items(rows(codes, queries), rows(codes, gallery), Ranking("hamming"), excluded=own)
    again = Reranking(count, rows(vectors, queries), rows(vectors, gallery))
    return _by_group(videos, reranked(ranked, again).ids, seen)


def _by_group(videos: Videos, ids: NDArray[np.int64], seen: Numbers) -> dict[str, float]:
    """mAP of rankings of the training videos, by test videos of classes trained on and of others."""
    queries = videos.test
    found = average_precision(_relevance(videos, queries, ids))
    known = np.isin(videos.labels[queries], seen)
    groups = {"seen": found.counted & known, "unseen": found.counted & ~known}
    return {f"mAP, {name}": float(found.values[own].mean()) for name, own in groups.items() if own.any()}


def random_scores(videos: Videos, seen: Numbers) -> dict[str, float]:
    """mAP that a random ranking is expected to have, and the relevant videos of a query, for queries as of `scores`."""
    known = np.isin(videos.labels[videos.test], seen)
    groups = {"seen": videos.test[known], "unseen": videos.test[~known]}
    found = {
        group: chance_summary(_relevance(videos, queries, np.zeros((len(queries), 0), np.int64)))
        for group, queries in groups.items()
    }
    return {f"{name}, {group}": found[group][name] for name in ("mAP", "relevant items") for group in groups}


def _relevance(videos: Videos, queries: Numbers, ids: NDArray[np.int64]) -> RankedRelevance:
    """Of rankings of the training videos; those of a query's own source are left out of its gallery."""
    return relevance_by_label(
        ids,
        videos.labels[queries],
        videos.labels[videos.train],
        query_sources=videos.sources[queries],
        gallery_sources=videos.sources[videos.train],
    )
