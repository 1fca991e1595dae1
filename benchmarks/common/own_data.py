"""Labelled videos of any data set that `jaxret train --data` takes, for programs that judge claims about classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.data.splits import split_dataset
from jaxret.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class LabelledVideos:
    """The labelled videos of a data set that train or test.

    Attributes:
      dataset: that they are of.
      numbers: (N,) which of its items they are, ascending.
      labels, sources: (N,) class number, and number of what each was cut from.
      classes: names of the classes, ascending.
      test: (N,) whether a video tests; the others train, those for validation among them.
    """

    dataset: MediaDataset
    numbers: NDArray[np.int64]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]
    classes: Sequence[str]
    test: NDArray[np.bool_]

    @property
    def items(self) -> list[MediaItem]:
        """What each is."""
        return [self.dataset.items[number] for number in self.numbers.tolist()]

    @classmethod
    def open(cls, data: str, *, split_column: str = "split", seed: int = 0) -> LabelledVideos:
        """Those of a folder, a CSV or a named data set; what names no splits is dealt by source, as a training does.

        Args:
          data: as `jaxret train --data` takes it (`jaxret.data.open.open_dataset`).
          split_column: of a CSV.
          seed: of what is dealt.

        Raises:
          ConfigError: it is no data set, a training could not split it, or no labelled video trains or tests.
        """
        dataset = open_dataset(data, split_column=split_column)
        splits = split_dataset(dataset, unseen_fraction=0.0, seed=seed)
        of_split = {"train": np.concatenate([splits.train, splits.validation]), "test": splits.test}
        parts = {
            name: np.array([n for n in numbers.tolist() if dataset.items[n].kind == "video"], np.int64)
            for name, numbers in of_split.items()
        }
        for name, part in parts.items():
            if not len(part):
                raise ConfigError(f"{data} has no labelled video that is to {name} (column {split_column})")
        numbers = np.sort(np.concatenate(list(parts.values())))
        items = [dataset.items[number] for number in numbers.tolist()]
        classes, labels = np.unique([str(item.label) for item in items], return_inverse=True)
        sources = np.unique([item.source for item in items], return_inverse=True)[1]
        test = np.isin(numbers, parts["test"])
        return cls(dataset, numbers, labels.astype(np.int64), sources.astype(np.int64), classes.tolist(), test)
