"""Which items train, validate and test, and which classes are kept unseen. All deterministic in a seed.

`split_dataset` is for labels, `split_items` for items of one kind without them, `split_for_autoencoder` for videos of
which only some have a label. All three follow the splits that the items name, and deal by source where none is named.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.moving_digits import is_moving_digits, unseen_labels
from jaxret.data.items import Kind, MediaItem
from jaxret.errors import ConfigError

__all__ = [
    "LABELLED_SHARES",
    "UNUSED",
    "AutoencoderData",
    "DataSplits",
    "named_splits",
    "split_by_source",
    "split_classes",
    "split_dataset",
    "split_for_autoencoder",
    "split_items",
]

Splits = dict[str, npt.NDArray[np.int64]]
"""Item numbers of each split, int64, ascending; the keys are train, validation and test."""

UNUSED = "unused"
"""The split of items that take no part."""

# Shares of what is dealt. Figures of classes need test items of every class; films are few and long, and training needs
# most of them. Where the items name a test split but none for validation, that is a part of the training items.
LABELLED_SHARES: Mapping[str, float] = MappingProxyType({"train": 1 - 0.1 - 0.2, "validation": 0.1, "test": 0.2})
"""The shares of items that are dealt by label."""
_LABELLED_TRAINING: Mapping[str, float] = {"train": 0.9, "validation": 0.1}
_ITEMS: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
_ITEMS_TRAINING: Mapping[str, float] = {"train": 0.8 / 0.9, "validation": 0.1 / 0.9}


@dataclasses.dataclass(frozen=True)
class DataSplits:
    """Item numbers of each split, and the classes that training never sees.

    Attributes:
      train, validation, test: int64, ascending.
      seen: names of the classes that training items have, sorted; it gives the class numbers of the softmax.
      unseen: names of the classes that only test items have, sorted.
    """

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class AutoencoderData:
    """The splits of a data set of videos.

    Attributes:
      splits: the labelled ones; all videos where no labels are needed and they are too few, or leave none to validate.
        Images are among the validation and test items only.
      unlabelled: int64, further videos to train an autoencoder on: without a label, in no split but `train`, and of a
        source that is not held out.
      labelled: whether `splits` follows labels.
    """

    splits: DataSplits
    unlabelled: npt.NDArray[np.int64]
    labelled: bool


def split_dataset(
    dataset: MediaDataset, *, unseen_fraction: float, seed: int, shares: Mapping[str, float] = LABELLED_SHARES
) -> DataSplits:
    """Split a labelled data set; clips of one source are never both in training and in validation.

    Where the items name their splits (`train`, `validation`, `test`), those hold; items that name none, or
    `unused`, as HMDB51's official lists do, take no part, and a missing validation split is taken from the
    training items, by source. Otherwise they are dealt by source, 70 % to train, 10 % to validate and 20 % to test.

    Items of unseen classes are all moved to the test split; moving digits name their own unseen ones. A class is unseen
    as well if it has test items and no training item.

    Args:
      dataset: with labels; items without one take no part.
      unseen_fraction: share of the classes that are kept from training, see `split_classes`.
      seed: of what is drawn.
      shares: of the splits train, validation and test, where items are dealt; they sum to 1.

    Raises:
      ConfigError: fewer than two seen classes have training items, or a split has an unknown name.
    """
    labels = [item.label for item in dataset.items]
    classes = sorted({label for label in labels if label is not None})
    kept_out: set[str] = set()
    if is_moving_digits(dataset):
        kept_out = set(unseen_labels()) & set(classes)
    elif unseen_fraction and classes:
        kept_out = set(split_classes(classes, unseen_fraction, seed=seed)[1])
    used = [n for n, item in enumerate(dataset.items) if item.label is not None and item.split != UNUSED]
    usable = np.array([n for n in used if labels[n] not in kept_out], np.int64)
    splits = named_splits(dataset, usable) or _dealt(dataset, usable, shares, seed)
    if not len(splits["validation"]):
        splits |= _dealt(dataset, splits["train"], _LABELLED_TRAINING, seed)
    hidden = np.array([n for n in used if labels[n] in kept_out], np.int64)
    test = np.union1d(splits["test"], hidden)
    seen = {str(labels[n]) for n in splits["train"].tolist()}
    if len(seen) < 2:
        raise ConfigError(
            f"training needs at least two classes, found {len(seen)}"
            + "".join(f" ({label})" for label in seen)
            + ": put each class's media in a folder of its own, or name the classes in a CSV"
        )
    unseen = {str(labels[n]) for n in test.tolist()} - seen
    return DataSplits(splits["train"], splits["validation"], test, tuple(sorted(seen)), tuple(sorted(unseen)))


def split_items(dataset: MediaDataset, kind: Kind, *, seed: int) -> Splits:
    """Numbers of the items of a kind in each split: as the items name them, or else dealt by source.

    Where none is named for validation, some of the training items are taken for it.

    Raises:
      ConfigError: there are fewer sources to deal than splits, a split has an unknown name, or no training item is
        named.
    """
    of_kind = [n for n, item in enumerate(dataset.items) if item.kind == kind and item.split != UNUSED]
    numbers = np.array(of_kind, np.int64)
    splits = named_splits(dataset, numbers)
    if splits is None:
        return _dealt_to_each(dataset, numbers, kind, _ITEMS, seed)
    if not len(splits["train"]):
        raise ConfigError(f"no {kind} is in the split 'train', which training needs")
    if not len(splits["validation"]):
        splits |= _dealt_to_each(dataset, splits["train"], kind, _ITEMS_TRAINING, seed)
    return splits


def split_for_autoencoder(
    dataset: MediaDataset,
    *,
    steps_with_labels: tuple[str, ...],
    unseen_fraction: float,
    seed: int,
    shares: Mapping[str, float] = LABELLED_SHARES,
) -> AutoencoderData:
    """Split a data set of videos, with labels or without.

    Args:
      dataset: the media.
      steps_with_labels: the steps of the training that need them.
      unseen_fraction, seed, shares: see `split_dataset`.

    Raises:
      ConfigError: there are no videos, or too few classes, and a step needs them.
    """
    items = dataset.items
    if not any(item.kind == "video" for item in items):
        raise ConfigError("an autoencoder of clips trains on videos, and the data hold images only")
    classes = {item.label for item in items if item.label is not None and item.kind == "video"}
    if len(classes) < 2 and steps_with_labels:
        found = f"only the class {next(iter(classes))!r}" if classes else "none has a label"
        raise ConfigError(
            f"the steps {', '.join(steps_with_labels)} need labels of two classes or more, and of {len(items)} items "
            f"{found}: put each class's videos in a folder of its own, or choose --steps pretrain alone"
        )
    if len(classes) < 2:
        return _without_labels(dataset, seed)
    splits = split_dataset(dataset, unseen_fraction=unseen_fraction, seed=seed, shares=shares)
    if not steps_with_labels and not len(splits.validation) and len({item.source for item in items}) >= len(_ITEMS):
        return _without_labels(dataset, seed)  # classes of one source each, which reconstruction need not follow
    videos = np.array([n for n in splits.train.tolist() if items[n].kind == "video"], np.int64)
    if steps_with_labels and len({items[n].label for n in videos.tolist()}) < 2:
        raise ConfigError(f"the steps {', '.join(steps_with_labels)} need training videos of two classes or more")
    held_out = {items[n].source for numbers in (splits.validation, splits.test) for n in numbers.tolist()}
    unlabelled = [
        number
        for number, item in enumerate(items)
        if item.kind == "video" and item.label is None and item.split in (None, "train") and item.source not in held_out
    ]
    return AutoencoderData(dataclasses.replace(splits, train=videos), np.array(unlabelled, np.int64), labelled=True)


def _without_labels(dataset: MediaDataset, seed: int) -> AutoencoderData:
    dealt = split_items(dataset, "video", seed=seed)
    splits = DataSplits(dealt["train"], dealt["validation"], dealt["test"])
    return AutoencoderData(splits, np.zeros(0, np.int64), labelled=False)


def named_splits(dataset: MediaDataset, numbers: npt.NDArray[np.int64]) -> Splits | None:
    """Those of the items that are listed for each split, all three of them; None where no item names a split.

    Raises:
      ConfigError: a split has an unknown name.
    """
    items = [dataset.items[n] for n in numbers.tolist()]
    names = {item.split for item in items} - {None, UNUSED}
    if not names:
        return None
    if odd := names - {"train", "validation", "test"}:
        raise ConfigError(f"a split must be train, validation, test or unused, got {sorted(map(str, odd))[0]!r}")
    return {
        name: numbers[np.array([item.split == name for item in items], bool)]
        for name in ("train", "validation", "test")
    }


def split_by_source(
    items: Sequence[MediaItem], fractions: Mapping[str, float], *, seed: int = 0
) -> dict[str, npt.NDArray[np.int64]]:
    """Deal items to splits so that all clips of one source land together and labels stay in proportion.

    Sources are taken in random order, those of many clips first, and each goes to the split that is
    furthest behind its share of that source's labels. With few sources a class can miss a small split.

    Args:
      items: what to split.
      fractions: name of each split and its share; the shares sum to 1.
      seed: another seed, another split.

    Returns:
      Numbers of the items in each split, ascending int64; every item is in exactly one.

    Raises:
      ValueError: a share is negative, they do not sum to 1, or there are none.

    Example:
      >>> items = [MediaItem(f"{n}.jpg", "image", "ab"[n % 2], source=str(n // 2)) for n in range(40)]
      >>> split = split_by_source(items, {"train": 0.9, "test": 0.1})
      >>> len(split["train"]), len(split["test"])
      (36, 4)
    """
    names = tuple(fractions)
    shares = np.array([fractions[name] for name in names], float)
    if not len(names) or np.any(shares < 0) or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"fractions must be at least 0 and sum to 1, got {dict(fractions)}")
    members: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        members[item.source].append(number)
    labels = {label: row for row, label in enumerate(sorted({str(item.label) for item in items}))}
    # How many clips of each label each split should still get.
    totals = np.zeros(len(labels))
    for item in items:
        totals[labels[str(item.label)]] += 1
    owed = totals[:, None] * shares
    rng = np.random.default_rng(seed)
    sources = sorted(members)
    order = [sources[place] for place in rng.permutation(len(sources))]
    order.sort(key=lambda source: -len(members[source]))  # stable: random among equals
    dealt: dict[str, list[int]] = {name: [] for name in names}
    for source in order:
        counts = Counter(labels[str(items[number].label)] for number in members[source])
        rows, clips = np.array(list(counts)), np.array(list(counts.values()), float)
        # Whole need first, then the share of all data, so that rounding does not starve a small split.
        need = (np.minimum(owed[rows], clips[:, None]) / totals[rows, None]).sum(axis=0)
        need += 1e-6 * owed.sum(axis=0)
        need[shares == 0] = -np.inf
        best = int(np.argmax(need))
        owed[rows, best] -= clips
        dealt[names[best]].extend(members[source])
    return {name: np.array(sorted(numbers), np.int64) for name, numbers in dealt.items()}


def split_classes(
    labels: Sequence[str], unseen_fraction: float, *, seed: int = 0
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide class names into seen (trained on) and unseen (only ever searched).

    Args:
      labels: class names; repeats count once.
      unseen_fraction: share of unseen classes, rounded, at least 0 and below 1; above 0 gives at least one.
      seed: another seed, other classes.

    Returns:
      (seen, unseen), each sorted; at least one class is seen.

    Raises:
      ValueError: no labels, or the fraction is out of range.
    """
    names = sorted(set(labels))
    if not names:
        raise ValueError("labels must name at least one class, got none")
    if not 0 <= unseen_fraction < 1:
        raise ValueError(f"unseen_fraction must lie in 0..1 (1 excluded), got {unseen_fraction!r}")
    count = min(max(round(len(names) * unseen_fraction), int(unseen_fraction > 0)), len(names) - 1)
    order = np.random.default_rng(seed).permutation(len(names))
    unseen = {names[place] for place in order[:count]}
    return tuple(name for name in names if name not in unseen), tuple(sorted(unseen))


def _dealt(dataset: MediaDataset, numbers: npt.NDArray[np.int64], shares: Mapping[str, float], seed: int) -> Splits:
    dealt = split_by_source([dataset.items[n] for n in numbers.tolist()], shares, seed=seed)
    return {name: numbers[dealt[name]] for name in shares}


def _dealt_to_each(
    dataset: MediaDataset, numbers: npt.NDArray[np.int64], kind: Kind, shares: Mapping[str, float], seed: int
) -> Splits:
    """As `_dealt`, where every split gets a source even if there are few: the small ones before training."""
    sources = np.array([dataset.items[n].source for n in numbers.tolist()], object)
    if (found := len(set(sources))) < len(shares):
        raise ConfigError(f"{', '.join(shares)} need {kind}s of {len(shares)} sources or more, found {found}")
    splits = _dealt(dataset, numbers, shares, seed)
    for name in shares:
        if name != "train" and not len(splits[name]):
            of_source = np.array([dataset.items[n].source for n in splits["train"].tolist()], object)
            moved = of_source == of_source[-1]
            splits[name], splits["train"] = splits["train"][moved], splits["train"][~moved]
    return splits
