"""What deep hashing trains on in accuracy_deep_hashing.py: labelled sequences of frame vectors, split for one seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common.paths import MOBILENET_WEIGHTS, UCF101_FEATURES

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.data.splits import DataSplits, split_dataset
from jaxret.recipes.clips.deep_hash import DeepHashConfig, make_encoder
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.recipes.clips.fit import Read
from jaxret.recipes.opening import augmentation_of

__all__ = ["FrameSource", "Sequences", "digits", "held_out_blocks", "ucf101_features", "videos"]

DIGIT_CLIPS = (10, 2, 8)  # of each class in training, validation and test
DIGIT_PIXELS, DIGIT_COMPONENTS = 64, 128
MOST_OF_A_GROUP = 7  # clips, in UCF101


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Labelled sequences of frame vectors, split for one seed.

    Attributes:
      name: of the data.
      size: D.
      streams: how many modalities stand one after the other in the D.
      items: what each is.
      train, validation, test: numbers of items.
      gallery: numbers of the items that test items query.
      read: `read(row, rng)` of training row `row`, see `fit_classifier`.
      evenly: numbers of items to their vectors, (N, T, D).
    """

    name: str
    size: int
    streams: int
    items: Sequence[MediaItem]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    gallery: np.ndarray
    read: Read
    evenly: Callable[[np.ndarray], np.ndarray]

    @property
    def labels(self) -> list[int]:
        """The class number of each training item."""
        return class_numbers(self.items, self.train)


@dataclasses.dataclass(frozen=True)
class FrameSource:
    """Where the frame vectors of video files come from.

    Attributes:
      data: folder or CSV of labelled videos.
      name: what the tables call them.
      split_columns: the CSV's columns with the splits, one a seed; empty: "split" for all.
      backbone, weights: frozen.
      cache: folder of the vectors.
    """

    data: str
    name: str
    split_columns: Sequence[str]
    backbone: str
    weights: str
    cache: Any

    def split_column(self, seed: int) -> str:
        """The CSV's column with the splits of a seed."""
        return self.split_columns[seed % len(self.split_columns)] if self.split_columns else "split"

    def dataset(self, seed: int) -> tuple[MediaDataset, DataSplits]:
        """The videos and their splits for a seed."""
        dataset = open_dataset(self.data, split_column=self.split_column(seed))
        return dataset, split_dataset(dataset, unseen_fraction=0.0, seed=seed)


def class_numbers(items: Sequence[MediaItem], numbers: np.ndarray) -> list[int]:
    """Classes of items, numbered in the order of their names."""
    names = sorted({str(item.label) for item in items if item.label is not None})
    return [names.index(str(items[number].label)) for number in numbers]


def ucf101_features(seed: int) -> Sequences:
    """The 15 classes of UCF101 as sequences of 25 VGG16 features; training sees 16 of them, one of each segment."""
    stored = np.load(UCF101_FEATURES)
    vectors = stored["features"].astype(np.float32)
    items = [
        MediaItem(name, "video", label=label)
        for name, label in zip(stored["name"].tolist(), stored["label"].tolist(), strict=True)
    ]
    given = np.flatnonzero(stored["split"] == "train")
    train, validation = held_out_blocks(given, stored["label"][given], seed)
    classes = class_numbers(items, train)

    def read(row: int, rng: np.random.Generator) -> dict[str, Any]:
        frames = ((np.arange(16) + rng.random(16)) * (vectors.shape[1] / 16)).astype(int)
        return {"inputs": vectors[train[row]][frames], "labels": np.int32(classes[row])}

    test = np.flatnonzero(stored["split"] == "test")
    return Sequences(
        "UCF101, 15 classes", vectors.shape[-1], 1, items, train, validation, test, given, read, lambda n: vectors[n]
    )


def held_out_blocks(numbers: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation numbers that share no group, of clips whose names do not tell their groups.

    UCF101 lists the clips of a class group after group, at most seven in each. Of every class a run of a tenth is held
    out, and the seven clips on either side of it, which may be of its first or last group, are in neither part.

    Args:
      numbers: (N,), in the order of the list.
      labels: (N,), the class of each.
      seed: where the runs begin.
    """
    rng = np.random.default_rng([seed, 5])
    train, held_out = [], []
    for label in np.unique(labels):
        listed = numbers[labels == label]
        count = len(listed) // 10
        start = int(rng.integers(len(listed) - count + 1))
        held_out.append(listed[start : start + count])
        train += [listed[: max(0, start - MOST_OF_A_GROUP)], listed[start + count + MOST_OF_A_GROUP :]]
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(held_out))


def digits(cache: Any, seed: int) -> Sequences:
    """The 60 classes of moving digits that have training clips, rendered for the seed.

    Frames go through MobileNet V1, and their vectors are brought to 128 principal components of the training clips' (as
    UCF101's have been), or an LSTM over them would be most of the work.
    """
    dataset = MovingDigits(*DIGIT_CLIPS, seed=seed)
    splits = split_dataset(dataset, unseen_fraction=0.0, seed=seed)
    seen = np.array([number for number in splits.test if dataset.items[number].label in splits.seen])
    splits = dataclasses.replace(splits, test=seen)
    config = DeepHashConfig(
        weights=str(MOBILENET_WEIGHTS), backbone="mobilenet-v1", image_size=DIGIT_PIXELS, freeze=True, mirror=0.0
    )
    whole = _through_backbones("moving digits, 60 classes", dataset, splits, [config], cache)
    known = whole.evenly(whole.train).reshape(-1, whole.size)
    mean = known.mean(axis=0)
    axes = np.linalg.eigh(np.cov(known, rowvar=False))[1][:, : -DIGIT_COMPONENTS - 1 : -1].astype(np.float32)

    def read(row: int, rng: np.random.Generator) -> dict[str, Any]:
        clip = whole.read(row, rng)
        return clip | {"inputs": (clip["inputs"] - mean) @ axes}

    return dataclasses.replace(
        whole, size=DIGIT_COMPONENTS, read=read, evenly=lambda numbers: (whole.evenly(numbers) - mean) @ axes
    )


def videos(source: FrameSource, seed: int, modalities: Sequence[str] = ("rgb",), **settings: Any) -> Sequences:
    """Labelled video files; every modality through the same frozen backbone.

    Args:
      source: which, and the backbone.
      seed: of the splits.
      modalities: streams.
      settings: of the recipe, such as its fusion, which decides whether a frame is a vector or a map.
    """
    dataset, splits = source.dataset(seed)
    shared: Any = {"weights": source.weights, "backbone": source.backbone, "image_size": 224, "freeze": True}
    configs = [DeepHashConfig(**shared, modalities=(modality,), **settings) for modality in modalities]  # type: ignore[arg-type]
    return _through_backbones(source.name, dataset, splits, configs, source.cache)


def _through_backbones(
    name: str, dataset: MediaDataset, splits: DataSplits, configs: Sequence[DeepHashConfig], cache: Any
) -> Sequences:
    """The videos' frame vectors, of one frozen backbone a modality."""
    caches = []
    for config in configs:
        encoder = make_encoder(config)
        augment = augmentation_of(config, dataset)
        cached = FrozenFeatures(dataset, encoder, cache, views=1, augment=augment, seed=0)
        cached.prepare(threads=1, show=False)
        caches.append(cached)
    train = np.array([n for n in splits.train if all(int(n) in cached for cached in caches)])
    classes = class_numbers(dataset.items, train)
    readers = [cached.reader(train.tolist(), classes) for cached in caches]

    def read(row: int, rng: np.random.Generator) -> dict[str, Any]:
        same = int(rng.integers(1 << 62))  # all streams show the same moments
        parts = [reader(row, np.random.default_rng(same)) for reader in readers]
        return {"inputs": np.concatenate([part["inputs"] for part in parts], axis=-1), "labels": parts[0]["labels"]}

    def evenly(numbers: np.ndarray) -> np.ndarray:
        parts = [cached.frame_vectors(numbers) for cached in caches]
        # These clips are shorter than a chunk; of a longer one its first chunk stands for it.
        return np.stack([np.concatenate([part[int(n)].vectors[0] for part in parts], axis=-1) for n in numbers])

    size = encoder.frame_embedding_size * len(configs)
    gallery = np.concatenate([train, splits.validation])
    return Sequences(
        name, size, len(configs), dataset.items, train, splits.validation, splits.test, gallery, read, evenly
    )
