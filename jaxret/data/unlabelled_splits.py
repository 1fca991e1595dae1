"""Who trains where labels are not needed by all: items without one train the autoencoder, and take no other part."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.item_splits import split_items
from jaxret.data.label_splits import DataSplits, split_dataset
from jaxret.errors import ConfigError

__all__ = ["AutoencoderData", "split_for_autoencoder"]


@dataclasses.dataclass(frozen=True)
class AutoencoderData:
    """The parts of a data set, of videos alone.

    Attributes:
      splits: the labelled ones; all videos where no labels are needed and there are too few. Pictures are among the
        validation and test items only.
      unlabelled: int64, further videos to train an autoencoder on: without a label, in no part but `train`, and of a
        source that is not held out.
      labelled: whether `splits` follows labels.
    """

    splits: DataSplits
    unlabelled: npt.NDArray[np.int64]
    labelled: bool


def split_for_autoencoder(
    dataset: MediaDataset, *, steps_with_labels: tuple[str, ...], unseen_fraction: float, seed: int
) -> AutoencoderData:
    """Split a data set of videos, with labels or without.

    Args:
      dataset: the media.
      steps_with_labels: the steps of the training that need them.
      unseen_fraction, seed: see `split_dataset`.

    Raises:
      ConfigError: there are no videos, or too few classes, and a step needs them.
    """
    items = dataset.items
    if not any(item.kind == "video" for item in items):
        raise ConfigError("an autoencoder of clips trains on videos, and the data hold pictures only")
    classes = {item.label for item in items if item.label is not None and item.kind == "video"}
    if len(classes) < 2 and steps_with_labels:
        found = f"only the class {next(iter(classes))!r}" if classes else "none has a label"
        raise ConfigError(
            f"the steps {', '.join(steps_with_labels)} need labels of two classes or more, and of {len(items)} items "
            f"{found}: put each class's videos in a folder of its own, or ask for --steps pretrain alone"
        )
    if len(classes) < 2:
        parts = split_items(dataset, "video", seed=seed)
        splits = DataSplits(parts["train"], parts["validation"], parts["test"], (), ())
        return AutoencoderData(splits, np.zeros(0, np.int64), labelled=False)
    splits = split_dataset(dataset, unseen_fraction=unseen_fraction, seed=seed)
    videos = np.array([n for n in splits.train.tolist() if items[n].kind == "video"], np.int64)
    if steps_with_labels and len({items[n].label for n in videos.tolist()}) < 2:
        raise ConfigError(f"the steps {', '.join(steps_with_labels)} need training videos of two classes or more")
    held_out = {items[n].source for part in (splits.validation, splits.test) for n in part.tolist()}
    unlabelled = [
        number
        for number, item in enumerate(items)
        if item.kind == "video" and item.label is None and item.split in (None, "train") and item.source not in held_out
    ]
    return AutoencoderData(dataclasses.replace(splits, train=videos), np.array(unlabelled, np.int64), labelled=True)
