"""Several data sets as one: some to train on, some to test on, with one name for each class.

The protocol of A. Ravi and A. Nandakumar (arXiv:2105.08665) trains on UCF50 and tests on KTH, UCF101 and HMDB51. Which
classes of one are those of another, a label map says; what is seen and what unseen is decided after it.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.csv_lines import read_csv_lines
from jaxret.data.items import MediaItem
from jaxret.data.readers import MediaInfo, MediaReader
from jaxret.data.splits import UNUSED, DataSplits
from jaxret.errors import ConfigError

__all__ = ["LabelMap", "RelistedDataset", "merge_datasets", "names_of_specs", "read_label_map", "with_splits"]

_COLUMNS = ("dataset", "label", "name")
_TRAINING = (None, "train", "validation")


class RelistedDataset(MediaDataset):
    """The media of one or several data sets, listed anew: with other keys, labels, sources or splits.

    Args:
      parts: the data sets.
      items: as many as theirs together, in their order.
      notes: further ones, before those of the parts.

    Raises:
      ValueError: there are more or fewer items.
    """

    def __init__(self, parts: Sequence[MediaDataset], items: Sequence[MediaItem], notes: Sequence[str] = ()):
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *map(len, self._parts)])
        if len(items) != self._starts[-1]:
            raise ValueError(f"items must be the {self._starts[-1]} of the data sets, got {len(items)}")
        self.items = tuple(items)
        self.skipped = tuple(error for part in self._parts for error in part.skipped)
        self.damaged = tuple(error for part in self._parts for error in part.damaged)
        passed_over: Counter[str] = Counter()
        for part in self._parts:
            passed_over.update(part.passed_over)
        self.passed_over = dict(passed_over)
        self.left_out = tuple(line for part in self._parts for line in part.left_out)
        self.notes = (*notes, *(line for part in self._parts for line in part.notes))

    def _place(self, index: int) -> tuple[MediaDataset, int]:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._parts[part], index - int(self._starts[part])

    def open(self, index: int) -> MediaReader:
        """A reader of item `index`."""
        part, number = self._place(index)
        return part.open(number)

    def info(self, index: int) -> MediaInfo:
        """Size and length of item `index`."""
        part, number = self._place(index)
        return part.info(number)

    def content_hash(self, index: int) -> str:
        """The hash of item `index`."""
        part, number = self._place(index)
        return part.content_hash(number)

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Size and time of item `index`."""
        part, number = self._place(index)
        return part.stamp(number)

    def origin(self, index: int) -> str | None:
        """Where item `index` comes from."""
        part, number = self._place(index)
        return part.origin(number)


def with_splits(dataset: MediaDataset, splits: DataSplits) -> RelistedDataset:
    """A data set whose items name the splits that they were dealt to; those in none are `unused`."""
    split_of = dict.fromkeys(range(len(dataset)), UNUSED)
    for name in ("train", "validation", "test"):
        split_of |= dict.fromkeys(getattr(splits, name).tolist(), name)
    return RelistedDataset(
        [dataset], [dataclasses.replace(item, split=split_of[n]) for n, item in enumerate(dataset.items)]
    )


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """One name for each class, whatever it is called in each data set.

    Attributes:
      names: data set (empty: any) and label there -> the name of the class; None: it takes no part.
    """

    names: Mapping[tuple[str, str], str | None]

    def name_of(self, dataset: str, label: str | None) -> str | None:
        """The class of a label; a label that the map does not list keeps its name. None: it takes no part."""
        if label is None:
            return None
        return self.names.get((dataset, label), self.names.get(("", label), label))

    def notes(self, datasets: Mapping[str, MediaDataset]) -> list[str]:
        """A line on the entries that name a class which is not there, if there are any.

        Raises:
          ConfigError: an entry names a data set that is not there.
        """
        for dataset, _ in self.names:
            if dataset and dataset not in datasets:
                raise ConfigError(f"the label map names the data set {dataset!r}; there are {', '.join(datasets)}")
        there = {(name, item.label) for name, dataset in datasets.items() for item in dataset.items}
        labels = {label for _, label in there}
        lost = [
            f"{dataset} {label}".strip()
            for dataset, label in self.names
            if (label not in labels if not dataset else (dataset, label) not in there)
        ]
        shown = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
        note = f"{len(lost)} of {len(self.names)} lines of the label map name no class that is there: {shown}"
        return [note] if lost else []


def read_label_map(table: str | os.PathLike[str]) -> LabelMap:
    """A CSV (UTF-8) with a header and the columns dataset, label and name, such as `kth,boxing,Punch`.

    An empty `dataset` stands for all data sets, an empty `name` for a class that takes no part. Labels that are not
    listed keep their names.

    Raises:
      ConfigError: the file cannot be read, a column is missing or unknown, a line has too many or too few cells or no
        label, or a label is listed twice. The message names the line.
    """
    lines = read_csv_lines(table)
    header = [name.strip() for name in lines[0][1]] if lines else []
    if sorted(header) != sorted(_COLUMNS):
        raise ConfigError(f"{table}: the header must be {','.join(_COLUMNS)}, got {','.join(header) or 'nothing'}")
    names: dict[tuple[str, str], str | None] = {}
    for number, line in lines[1:]:
        if not line:
            continue
        place = f"{table}, line {number}"
        if len(line) != len(header):
            raise ConfigError(f"{place}: {len(line)} cells, but the header names {len(header)}")
        cells = {column: cell.strip() for column, cell in zip(header, line, strict=True)}
        entry = cells["dataset"], cells["label"]
        if not entry[1]:
            raise ConfigError(f"{place}: the label is empty")
        if entry in names:
            raise ConfigError(f"{place}: the label {entry[1]!r} is listed twice for {entry[0] or 'all data sets'}")
        names[entry] = cells["name"] or None
    return LabelMap(names)


def names_of_specs(specs: Sequence[str]) -> list[str]:
    """What data sets are called in label maps and keys: the word before the colon, of `tfds:` the one after it, or the
    last part of a path without its ending. Later ones of one name are numbered.

    Example:
      >>> names_of_specs(["ucf101,split=2:videos/UCF-101", "films/mine", "moving-digits", "tfds:ucf101", "b/mine"])
      ['ucf101', 'mine', 'moving-digits', 'ucf101-2', 'mine-2']
    """
    names: list[str] = []
    for spec in specs:
        head, colon, rest = spec.partition(":")
        if spec.startswith("tfds:"):
            name = rest.partition(":")[0]
        elif colon and not os.path.exists(spec):
            name = head.partition(",")[0]
        else:
            name = Path(spec).stem or Path(spec).resolve().name
        number, taken = 2, name
        while taken in names:
            taken, number = f"{name}-{number}", number + 1
        names.append(taken)
    return names


def merge_datasets(
    train: Mapping[str, MediaDataset],
    test: Mapping[str, MediaDataset] | None = None,
    *,
    label_map: LabelMap | None = None,
    least_class_size: int = 0,
) -> MediaDataset:
    """One data set of several, whose items name the splits that `jaxret.data.splits.split_dataset` follows.

    - Training data keep the splits that they name; those that name none train whole, where there is test data or
      another set that names some. Of test data, the items of their own test split are tested, or all where they name
      none.
    - Classes are called as the label map says; the items of those that it drops are `unused`.
    - Test items of a source that trains are left out (`unused`): UCF101 holds the clips of UCF50.
    - Training classes with fewer than `least_class_size` items take no part in training.

    Keys begin with the name of the data set where there are several, and so do sources that are the items' own; a
    source that is named in two data sets is one and the same.

    Args:
      train, test: data sets by their names.
      label_map: see `LabelMap`; None: every label is a class, the same in all data sets.
      least_class_size: training items, train and validation together, that a class needs; 0: any number.

    Returns:
      The data set, with notes on what was left out; the one that was given, where there is nothing to change.

    Raises:
      ConfigError: the label map names a data set that is not there, or two data sets have one name.
      ValueError: `least_class_size` is negative, or there is no training data.
    """
    if not train:
        raise ValueError("train must name a data set, got none")
    if least_class_size < 0:
        raise ValueError(f"least_class_size must be at least 0, got {least_class_size}")
    tests = test or {}
    if both := sorted(set(train) & set(tests)):
        raise ConfigError(f"a data set to train on and one to test on are both called {both[0]!r}")
    parts = {**train, **tests}
    if len(parts) == 1 and label_map is None and not least_class_size:
        return next(iter(parts.values()))
    splits_named = bool(tests) or any(_named_splits(part) for part in train.values())
    items: list[MediaItem] = []
    for name, part in parts.items():
        split_of = _tested(part) if name in tests else _trained(part, splits_named=splits_named)
        for item in part.items:
            key = item.key if len(parts) == 1 else f"{name}/{item.key}"
            label = item.label if label_map is None else label_map.name_of(name, item.label)
            source = key if item.source == item.key else item.source
            split = UNUSED if label is None and item.label is not None else split_of(item.split)
            items.append(dataclasses.replace(item, key=key, label=label, source=source, split=split))
    notes = [] if label_map is None else label_map.notes(parts)
    first_test = sum(map(len, train.values()))
    notes += _leave_out_small_classes(items[:first_test], items, least_class_size)
    notes += _leave_out_sources(items, first_test)
    return RelistedDataset(list(parts.values()), items, notes)


SplitChange = Callable[[str | None], str | None]
"""What becomes of the split that an item names."""


def _named_splits(dataset: MediaDataset) -> set[str]:
    return {item.split for item in dataset.items if item.split is not None} - {UNUSED}


def _tested(dataset: MediaDataset) -> SplitChange:
    kept = {"test"} if _named_splits(dataset) else {None}
    return lambda split: "test" if split in kept else UNUSED


def _trained(dataset: MediaDataset, *, splits_named: bool) -> SplitChange:
    whole = splits_named and not _named_splits(dataset)
    return lambda split: "train" if whole and split is None else split


def _leave_out_small_classes(training: Sequence[MediaItem], items: list[MediaItem], least: int) -> list[str]:
    """Mark the training items of small classes in `items`, which begins with them."""
    sizes = Counter(item.label for item in training if item.label is not None and item.split in _TRAINING)
    small = {label for label, size in sizes.items() if size < least}
    for number, item in enumerate(training):
        if item.label in small:
            items[number] = dataclasses.replace(item, split=UNUSED)
    note = f"{len(small)} of {len(sizes)} training classes have fewer than {least} items and take no part in training"
    return [note] if small else []


def _leave_out_sources(items: list[MediaItem], first_test: int) -> list[str]:
    """Mark the test items whose source trains."""
    trained = {item.source for item in items[:first_test] if item.split in _TRAINING}
    shared = [n for n in range(first_test, len(items)) if items[n].split == "test" and items[n].source in trained]
    for number in shared:
        items[number] = dataclasses.replace(items[number], split=UNUSED)
    return [f"{len(shared)} test items of sources that train were left out"] if shared else []
