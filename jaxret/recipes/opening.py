"""How trainings begin: the data are opened, dealt to splits, and logged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from jaxret.data.dataset import MediaDataset
from jaxret.data.direction import direction_is_class
from jaxret.data.merge import merge_datasets, names_of_specs, read_label_map
from jaxret.data.open import open_dataset, table_of_spec
from jaxret.data.sampling.transforms import Augmentation
from jaxret.data.splits import DataSplits, split_dataset
from jaxret.errors import ConfigError
from jaxret.recipes.clip_settings import ClipConfig
from jaxret.training import RunContext

__all__ = [
    "NOTHING_MEASURED",
    "DataConfig",
    "LabelledData",
    "augmentation_of",
    "open_clip_data",
    "open_data",
    "open_labelled_data",
    "opened",
    "said_of_splits",
]

NOTHING_MEASURED = (
    "No test item shares its class with another source: there is nothing to measure. Of a class of fewer than 8 to"
    " 10 files at most one is dealt to the test split: add files, or name the splits in a CSV (column split)"
)
"""What is logged where the test split measures nothing, before the training and in the place of its figures."""


class DataConfig(Protocol):
    """The settings that name the data."""

    @property
    def data(self) -> str:
        """What `jaxret.data.open.open_dataset` takes."""

    @property
    def split_column(self) -> str:
        """For a CSV: the column that names each item's split."""

    @property
    def download(self) -> bool:
        """For tfds: fetch what is missing."""


@dataclasses.dataclass(frozen=True)
class LabelledData:
    """A data set with classes, and its splits.

    Attributes:
      dataset: all items.
      splits: which of them train, validate and test, and which classes are unseen.
    """

    dataset: MediaDataset
    splits: DataSplits


def open_data(config: DataConfig, what: str, *, probe: bool = True) -> MediaDataset:
    """The data set that the settings name.

    Args:
      config: the settings.
      what: it should hold, such as "the films", for the message.
      probe: whether every file is checked first; False where all are read at once anyway, and the broken ones found.

    Raises:
      ConfigError: they name none.
    """
    if not config.data:
        raise ConfigError(f"data must name {what}: --data FOLDER")
    refuse_idle_options(config, [config.data])
    return open_dataset(config.data, split_column=config.split_column, download=config.download, probe=probe)


def refuse_idle_options(config: DataConfig, specs: Sequence[str]) -> None:
    """Refuse settings that none of the named data sets has a use for.

    Raises:
      ConfigError: a split column for data sets without a table, or a download for data sets that are not downloaded.
    """
    names = ", ".join(specs)
    if config.split_column != "split" and not any(table_of_spec(spec) for spec in specs):
        raise ConfigError(f"split_column names a column of a CSV, and {names} is none and holds none: leave it out")
    if config.download and not any(spec.startswith("tfds:") for spec in specs):
        raise ConfigError(f"download fetches data sets named tfds:..., and {names} is none: leave it out")


def open_clip_data(config: ClipConfig, what: str) -> MediaDataset:
    """The data set that the settings name, with the further ones to train and test on; see `open_data`.

    Raises:
      ConfigError: see `open_data`, `jaxret.data.merge.read_label_map` and `merge_datasets`.
    """
    if config.data:
        refuse_idle_options(config, config.all_data)
    datasets = [open_data(_of_one(config, spec), what) for spec in config.all_data]
    named = list(zip(names_of_specs(config.all_data), datasets, strict=True))
    trained = 1 + len(config.train_data)
    return merge_datasets(
        dict(named[:trained]),
        dict(named[trained:]),
        label_map=None if config.label_map is None else read_label_map(config.label_map),
        least_class_size=config.least_class_size,
    )


def _of_one(config: ClipConfig, spec: str) -> ClipConfig:
    """The settings of one of several data sets, without what that one has no use for."""
    table, fetched = table_of_spec(spec) is not None, spec.startswith("tfds:")
    return dataclasses.replace(
        config,
        data=spec,
        split_column=config.split_column if table else "split",
        download=config.download and fetched,
    )


def augmentation_of(config: ClipConfig, dataset: MediaDataset) -> Augmentation:
    """How training clips are varied: clips are not flipped by default where left and right are classes."""
    mirror = config.mirror
    if mirror is None:
        mirror = 0.0 if direction_is_class(dataset.labels) else 0.5
    return Augmentation(config.zoom, mirror, config.changes)


def opened(data: str, dataset: MediaDataset, *, probed: bool = True) -> str:
    """The first words of the log: how many items there are, and what a user should know of them."""
    unread = f"{len(dataset.skipped)} unreadable" if probed else "unreadable ones are told when they were read"
    left_out = "".join(f"; left out {line}" for line in dataset.left_out)
    notes = "".join(f"; note: {line}" for line in dataset.notes)
    return f"{data}: {len(dataset)} items ({unread}{left_out}{notes})"


def said_of_splits(splits: DataSplits) -> str | None:
    """That no item is left to validate or to test, what that costs and what to do; None where both have some."""
    costs = {"validation": "the last weights are kept in the place of the best", "test": "nothing is measured"}
    empty = [name for name in costs if not len(getattr(splits, name))]
    if not empty:
        return None
    return (
        f"warning: no item is left for {' and '.join(empty)}, so that {' and '.join(costs[name] for name in empty)}:"
        " the classes have too few sources to deal. Add files to them, cut long videos (rgbd,frames=N,"
        "own_source=yes:FOLDER), or name the splits in a CSV (column split)"
    )


def open_labelled_data(config: ClipConfig, context: RunContext) -> LabelledData:
    """The data set split by class, and logged.

    Raises:
      ConfigError: fewer than two classes can train; or see `open_data`.
    """
    dataset = open_clip_data(config, "the media")
    context.check_data(dataset)
    splits = split_dataset(dataset, unseen_fraction=config.unseen_fraction, seed=config.seed)
    context.log(
        f"{opened(config.data_in_words, dataset)}, {len(splits.seen)} classes to train on and"
        f" {len(splits.unseen)} unseen;"
        f" {len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test"
    )
    if (warning := said_of_splits(splits)) is not None:
        context.log(warning)
    tested = {(dataset.items[n].label, dataset.items[n].source) for n in splits.test.tolist()}
    if len(tested) == len({label for label, _ in tested}):
        context.log(f"note: {NOTHING_MEASURED}")
    return LabelledData(dataset, splits)
