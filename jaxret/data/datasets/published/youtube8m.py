"""YouTube-8M (Abu-El-Haija et al., arXiv:1609.08675): its published labels, and videos labelled by them.

The data set gives out no videos, but TFRecord files of features: video-level ones (tf.train.Example: `id`, `labels`,
`mean_rgb` of 1,024 floats, `mean_audio` of 128) and frame-level ones (tf.train.SequenceExample: context `id`, `labels`;
lists `rgb` and `audio` of 1,024 and 128 bytes, one a second); and `vocabulary.csv` with what each label number means.
The records are read as they are, without TensorFlow: their format is small (`tf_records` beside this), and nothing else
that is published says which video has which labels. Nothing is downloaded; who has the videos names them by their ids.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from jaxret.data.datasets.folders import MediaFiles, media_kind
from jaxret.data.datasets.published.tf_records import Feature, parse_example, read_tf_records
from jaxret.data.datasets.walk import walk_folder
from jaxret.data.items import MediaItem
from jaxret.data.splits import UNUSED
from jaxret.errors import ConfigError, MediaError
from jaxret.files import open_regular

__all__ = [
    "Youtube8mLabel",
    "open_youtube8m",
    "read_labels",
    "read_vocabulary",
]

_COLUMNS = ("Index", "TrainVideoCount", "Name", "Vertical1")
_IDS = ("id", "video_id")  # records of 2017 and before say video_id
_SPLITS = {"train": "train", "validate": "test", "test": "test"}


@dataclasses.dataclass(frozen=True)
class Youtube8mLabel:
    """One label of the vocabulary: its number, name, how many training videos have it, and its first vertical."""

    number: int
    name: str
    videos: int
    vertical: str


def read_vocabulary(path: str | os.PathLike[str]) -> dict[int, Youtube8mLabel]:
    """The labels in `vocabulary.csv`, by number.

    Raises:
      ConfigError: the file cannot be read, lacks a column, or a number is none.
    """
    name = os.fspath(path)
    labels: dict[int, Youtube8mLabel] = {}
    try:
        with io.TextIOWrapper(open_regular(name), encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if missing := [column for column in _COLUMNS if column not in (table.fieldnames or ())]:
                raise ConfigError(f"{name}: no column {missing[0]!r}; the vocabulary has {', '.join(_COLUMNS)}")
            for row in table:
                number = int(row["Index"])
                labels[number] = Youtube8mLabel(number, row["Name"], int(row["TrainVideoCount"]), row["Vertical1"])
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise ConfigError(f"{name}, after {len(labels)} labels: {error}") from error
    return labels


def read_labels(path: str | os.PathLike[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Id and label numbers of each video in a file of features of either kind, in its order.

    Raises:
      MediaError: the file cannot be read, or holds something else.
    """
    for record in read_tf_records(path):
        # An Example's features and a SequenceExample's context are one and the same field.
        yield _id_and_labels(path, _parsed(path, record))


def open_youtube8m(root: str | os.PathLike[str], *, probe: bool = True) -> MediaFiles:
    """The videos that are on disk, labelled by the records: a folder with `vocabulary.csv`, anywhere below it files of
    features of either kind, and videos named ID.mp4 or with another ending.

    A video has several labels and an item has one: the rarest of them in training, which says most about it (a
    decision). Splits are by the name of the file, train0093.tfrecord, validate..., test.... The labels of the last are
    not published, so what is reported is measured on the second: it is the test split, and the videos of the last are
    `unused`. Where labelled videos of one of them alone are there they name no split, and are dealt.

    Raises:
      ConfigError: the vocabulary cannot be read, there are no files of features, a label is not in the vocabulary, or
        no video is there.
      MediaError: a file of features cannot be read.
    """
    base = Path(root)
    vocabulary = read_vocabulary(base / "vocabulary.csv")
    paths = [base / path for path in walk_folder(base).files]
    files = {path.stem: path for path in paths if media_kind(path) == "video"}
    features = sorted(path for path in paths if path.suffix == ".tfrecord")
    if not features:
        raise ConfigError(f"{base} holds no features *.tfrecord, which say what is in a video")
    items: dict[str, MediaItem] = {}
    for path in features:
        split = next((split for start, split in _SPLITS.items() if path.name.startswith(start)), None)
        for name, labels in read_labels(path):
            if name in files and name not in items:
                label = _rarest(name, labels, vocabulary)
                split_of = UNUSED if label is None and split == "test" else split
                items[name] = MediaItem(name, "video", label, split=split_of, path=str(files[name]))
    if not items:
        raise ConfigError(f"{base} holds no video named by the id of a record")
    found = tuple(items.values())
    if len({item.split for item in found} - {UNUSED}) == 1:
        found = tuple(item if item.split == UNUSED else dataclasses.replace(item, split=None) for item in found)
    return MediaFiles(found, probe=probe)


def _rarest(video: str, labels: tuple[int, ...], vocabulary: Mapping[int, Youtube8mLabel]) -> str | None:
    if odd := [number for number in labels if number not in vocabulary]:
        raise ConfigError(f"video {video} has label {odd[0]}, which the vocabulary lacks")
    known = sorted((vocabulary[number] for number in labels), key=lambda label: (label.videos, label.number))
    return known[0].name if known else None


def _parsed(path: str | os.PathLike[str], record: bytes) -> dict[str, Feature]:
    try:
        return parse_example(record)
    except ValueError as error:
        raise MediaError(os.fspath(path), str(error)) from error


def _id_and_labels(path: str | os.PathLike[str], features: Mapping[str, Feature]) -> tuple[str, tuple[int, ...]]:
    name = next((features[key] for key in _IDS if key in features), None)
    labels = features.get("labels", [])
    if not isinstance(name, list) or len(name) != 1 or (len(labels) and isinstance(labels, list)):
        raise MediaError(os.fspath(path), "a record has no id, or labels that are no numbers")
    return name[0].decode("utf-8"), tuple(int(label) for label in labels)
