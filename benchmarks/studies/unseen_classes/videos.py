"""Frame vectors of labelled videos, classes dealt to those that are trained on and others, and how both are found."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common.own_data import LabelledVideos
from common.paths import JHMDB_CLIPS, MOBILENET_WEIGHTS, UCF101_FEATURES
from common.study_program import StudyParser
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.groups import group_numbers

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
LEAST_CLASSES = 4  # of other data: three are trained on, for one of them is held out in rounds
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


@dataclasses.dataclass(frozen=True)
class OwnBackbone:
    """What sees the frames of video files that are not named here.

    Attributes:
      name: of a backbone.
      weights: "imagenet" or a file.
      split_column: of a CSV.
    """

    name: str = "mobilenet-v1"
    weights: str = str(MOBILENET_WEIGHTS)
    split_column: str = "split"

    @classmethod
    def add_options(cls, parser: StudyParser, named: Sequence[str] = DATA) -> None:
        """Add the options of a program that takes some of DATA, all by default, and data of its user's own."""
        parser.add_argument(
            "--data",
            nargs="+",
            default=list(named),
            help=f"{', '.join(named)}, or labelled videos as `jaxret train --data` takes them, which are only printed",
        )
        parser.add_setting("--backbone", default=cls.name, help="frozen, for other data than those named")
        parser.add_setting("--weights", default=cls.weights, help="of --backbone: imagenet or a file")
        parser.add_setting("--split-column", default=cls.split_column, help="of a CSV of other data")

    @classmethod
    def of(cls, args: argparse.Namespace) -> OwnBackbone:
        """What the command line says."""
        return cls(args.backbone, args.weights, args.split_column)


def open_videos(name: str, cache: Path, own: OwnBackbone = OwnBackbone()) -> Videos:
    """The data of that name, one of DATA, or another data set; frame vectors of video files are kept in `cache`."""
    if name == "ucf101":
        return ucf101()
    if name in BACKBONES:
        backbone, weights = BACKBONES[name]
        found = LabelledVideos.open(str(JHMDB_CLIPS), split_column="split1")
        return through_backbone(NAMES[name], found, 14, backbone, weights, cache)
    found = LabelledVideos.open(name, split_column=own.split_column)
    if len(found.classes) < LEAST_CLASSES:
        raise SystemExit(f"{name} has {len(found.classes)} classes: {LEAST_CLASSES} are needed, one not to train on")
    # Two thirds are trained on, as of the named data.
    return through_backbone(name, found, round(len(found.classes) * 2 / 3), own.name, own.weights, cache)


def folder_name(data: str) -> str:
    """What folders of the work on a data set are called: its name, or of others a number beside their spelling."""
    if data in DATA:
        return data
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', data)[-40:].strip('-')}-{zlib.crc32(data.encode()):08x}"


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


def through_backbone(
    name: str, videos: LabelledVideos, seen: int, backbone_name: str, weights: Any, cache: Path
) -> Videos:
    """Video files, frames of 224 pixels through a frozen backbone.

    Args:
      name: what the tables call them.
      videos: the files.
      seen: how many classes are trained on.
      backbone_name, weights: of the backbone.
      cache: folder of frame vectors.
    """

    @functools.cache  # of another part of the videos they are the same
    def read() -> NDArray[np.float32]:
        backbone = create_backbone(backbone_name, rngs=nnx.Rngs(0))
        load_pretrained(backbone, weights)
        mean = Mean(backbone.embedding_size, rngs=nnx.Rngs(0))
        encoder = VideoEncoder(backbone, mean, Preprocessing(height=224, width=224))
        features = FrozenFeatures(videos.dataset, encoder, cache, views=1, augment=Augmentation(), seed=0)
        if broken := features.prepare(threads=2, show=True):
            raise SystemExit(f"does not read: {broken[0]}")
        media = features.frame_vectors(videos.numbers.tolist())
        # A longer video is its first chunk.
        return np.stack([media[number].vectors[0] for number in videos.numbers.tolist()])

    train, test = np.flatnonzero(~videos.test), np.flatnonzero(videos.test)
    return Videos(name, seen, videos.labels, videos.sources, train, test, read)


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
