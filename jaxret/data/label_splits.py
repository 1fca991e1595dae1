"""Which items train, validate and test, and which classes are kept unseen, for any data set."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.moving_digits import is_moving_digits, unseen_labels
from jaxret.data.splits import split_by_source, split_classes
from jaxret.errors import ConfigError

__all__ = ["UNUSED", "DataSplits", "named_parts", "split_dataset"]

_VALIDATION_SHARE, _TEST_SHARE = 0.1, 0.2
UNUSED = "unused"
"""The split of items that take no part."""


@dataclasses.dataclass(frozen=True)
class DataSplits:
    """Item numbers of each part, and the classes that training never sees.

    Attributes:
      train, validation: items of seen classes; int64, ascending.
      test: the rest of the seen classes, and all items of the unseen ones.
      seen, unseen: class names, sorted; `seen` gives the class numbers of the softmax.
    """

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]


def split_dataset(dataset: MediaDataset, *, unseen_fraction: float, seed: int) -> DataSplits:
    """Split a labelled data set; clips of one source never stand on two sides of training and validation.

    Where the items name their splits (`train`, `validation`, `test`), those hold; items that name none, or
    `unused`, as HMDB51's official lists do, take no part, and a missing validation part is taken from the
    training items, by source. Otherwise 70 % train, 10 % validate and 20 % test, by
    source. Items of unseen classes are all moved to the test part; moving digits name their own unseen ones.

    Raises:
      ConfigError: fewer than two seen classes have training items, or a split has an unknown name.
    """
    labels = sorted({item.label for item in dataset.items if item.label is not None})
    if is_moving_digits(dataset):
        unseen = tuple(sorted(set(unseen_labels()) & set(labels)))
    elif unseen_fraction and labels:
        unseen = split_classes(labels, unseen_fraction, seed=seed)[1]
    else:
        unseen = ()
    usable = [
        number for number, item in enumerate(dataset.items) if item.label is not None and item.label not in unseen
    ]
    parts = named_parts(dataset, usable) or _dealt_parts(
        dataset,
        usable,
        {"train": 1 - _VALIDATION_SHARE - _TEST_SHARE, "validation": _VALIDATION_SHARE, "test": _TEST_SHARE},
        seed,
    )
    if not len(parts["validation"]):
        shares = {"train": 1 - _VALIDATION_SHARE, "validation": _VALIDATION_SHARE}
        parts |= _dealt_parts(dataset, parts["train"].tolist(), shares, seed)
    hidden = [number for number, item in enumerate(dataset.items) if item.label in unseen]
    test = np.unique(np.concatenate([parts["test"], np.array(hidden, np.int64)]))
    seen = tuple(sorted({str(dataset.items[number].label) for number in parts["train"]}))
    if len(seen) < 2:
        raise ConfigError(
            f"training needs at least two classes, found {len(seen)}"
            + (f" ({seen[0]})" if seen else "")
            + ": put each class's media in a folder of its own, or name the classes in a CSV"
        )
    return DataSplits(parts["train"], parts["validation"], test, seen, unseen)


def named_parts(dataset: MediaDataset, numbers: list[int]) -> dict[str, npt.NDArray[np.int64]] | None:
    """The items that each split names, with keys train, validation and test; None where no item names a split.

    Raises:
      ConfigError: a split has an unknown name.
    """
    names = {dataset.items[number].split for number in numbers} - {None, UNUSED}
    if not names:
        return None
    if odd := names - {"train", "validation", "test"}:
        raise ConfigError(f"a split must be train, validation, test or unused, got {sorted(map(str, odd))[0]!r}")
    return {
        name: np.array([n for n in numbers if dataset.items[n].split == name], np.int64)
        for name in ("train", "validation", "test")
    }


def _dealt_parts(
    dataset: MediaDataset, numbers: list[int], shares: dict[str, float], seed: int
) -> dict[str, npt.NDArray[np.int64]]:
    if not numbers:
        return {name: np.zeros(0, np.int64) for name in shares}
    dealt = split_by_source([dataset.items[number] for number in numbers], shares, seed=seed)
    return {name: np.asarray(numbers, np.int64)[chosen] for name, chosen in dealt.items()}
