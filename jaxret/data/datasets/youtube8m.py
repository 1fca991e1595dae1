"""YouTube-8M (Abu-El-Haija et al., arXiv:1609.08675): its published features and labels, and videos labelled by them.

The data set gives out no videos, but TFRecord files of features: video-level ones (tf.train.Example: `id`, `labels`,
`mean_rgb` of 1,024 floats, `mean_audio` of 128) and frame-level ones (tf.train.SequenceExample: context `id`, `labels`;
lists `rgb` and `audio` of 1,024 and 128 bytes, one a second); and `vocabulary.csv` with what each label number means.
The records are read as they are, without TensorFlow: their format is small (`jaxret.data.datasets.tf_records`), and
nothing else that is published says which video has which labels. Nothing is downloaded; who has the videos names
them by their ids.
"""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from jaxret.data.datasets.folders import MediaFiles, media_kind
from jaxret.data.datasets.tf_records import Feature, parse_example, parse_sequence_example, read_tf_records
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError, MediaError

__all__ = [
    "Youtube8mLabel",
    "Youtube8mVideo",
    "open_youtube8m",
    "read_frame_features",
    "read_labels",
    "read_video_features",
    "read_vocabulary",
]

Message = TypeVar("Message")

_COLUMNS = ("Index", "TrainVideoCount", "Name", "Vertical1")
_IDS = ("id", "video_id")  # records of 2017 and before say video_id
_SPLITS = {"train": "train", "validate": "validation", "test": "test"}
_LOWEST, _HIGHEST = -2.0, 2.0  # what the bytes of frame features were quantised from


@dataclasses.dataclass(frozen=True)
class Youtube8mLabel:
    """One label of the vocabulary: its number, name, how many training videos have it, and its first vertical."""

    number: int
    name: str
    videos: int
    vertical: str


@dataclasses.dataclass(frozen=True)
class Youtube8mVideo:
    """The features of one video.

    Attributes:
      id: as the records name it (4 characters since 2018).
      labels: label numbers; none where they are withheld (test).
      rgb: float32 (1024,), the mean over the video; or (T, 1024), one row a second.
      audio: float32 (128,) or (T, 128); None in records of before audio was added.
    """

    id: str
    labels: tuple[int, ...]
    rgb: npt.NDArray[np.float32]
    audio: npt.NDArray[np.float32] | None


def read_vocabulary(path: str | os.PathLike[str]) -> dict[int, Youtube8mLabel]:
    """The labels in `vocabulary.csv`, by number.

    Raises:
      ConfigError: the file cannot be read, lacks a column, or a number is none.
    """
    name = os.fspath(path)
    labels: dict[int, Youtube8mLabel] = {}
    try:
        with open(name, newline="", encoding="utf-8-sig") as file:
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


def read_video_features(path: str | os.PathLike[str]) -> Iterator[Youtube8mVideo]:
    """The videos of a file of video-level features, in its order.

    Raises:
      MediaError: the file cannot be read, or holds something else.
    """
    for record in read_tf_records(path):
        features = _parsed(path, parse_example, record)
        rgb, audio = features.get("mean_rgb"), features.get("mean_audio")
        if not _is_floats(rgb) or not (audio is None or _is_floats(audio)):
            raise MediaError(os.fspath(path), f"no video-level features: a record holds {', '.join(sorted(features))}")
        yield Youtube8mVideo(
            *_id_and_labels(path, features), np.asarray(rgb), None if audio is None else np.asarray(audio)
        )


def read_frame_features(path: str | os.PathLike[str]) -> Iterator[Youtube8mVideo]:
    """The videos of a file of frame-level features, in its order; their bytes are levels from -2 to 2.

    Raises:
      MediaError: the file cannot be read, or holds something else.
    """
    for record in read_tf_records(path):
        context, lists = _parsed(path, parse_sequence_example, record)
        if "rgb" not in lists:
            raise MediaError(os.fspath(path), "no frame-level features: a record holds no list `rgb`")
        rgb = _levels(path, lists["rgb"])
        audio = _levels(path, lists["audio"]) if "audio" in lists else None
        yield Youtube8mVideo(*_id_and_labels(path, context), rgb, audio)


def read_labels(path: str | os.PathLike[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Id and label numbers of each video in a file of features of either kind, in its order.

    Raises:
      MediaError: the file cannot be read, or holds something else.
    """
    for record in read_tf_records(path):
        # An Example's features and a SequenceExample's context are one and the same field.
        yield _id_and_labels(path, _parsed(path, parse_example, record))


def open_youtube8m(root: str | os.PathLike[str], *, probe: bool = True) -> MediaFiles:
    """The videos that are on disk, labelled by the records: a folder with `vocabulary.csv`, anywhere below it files of
    features of either kind, and videos named ID.mp4 or with another ending.

    A video has several labels and an item has one: the rarest of them in training, which says most about it (a
    decision); test videos have none. Splits are by the name of the file: train0093.tfrecord, validate..., test....

    Raises:
      ConfigError: the vocabulary cannot be read, there are no files of features, a label is not in the vocabulary, or
        no video is there.
      MediaError: a file of features cannot be read.
    """
    base = Path(root)
    vocabulary = read_vocabulary(base / "vocabulary.csv")
    paths = [Path(folder, name) for folder, _, names in os.walk(base, followlinks=True) for name in sorted(names)]
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
                items[name] = MediaItem(name, "video", label, split=split, path=str(files[name]))
    if not items:
        raise ConfigError(f"{base} holds no video named by the id of a record")
    return MediaFiles(items.values(), probe=probe)


def _rarest(video: str, labels: tuple[int, ...], vocabulary: Mapping[int, Youtube8mLabel]) -> str | None:
    if odd := [number for number in labels if number not in vocabulary]:
        raise ConfigError(f"video {video} has label {odd[0]}, which the vocabulary lacks")
    known = sorted((vocabulary[number] for number in labels), key=lambda label: (label.videos, label.number))
    return known[0].name if known else None


def _parsed(path: str | os.PathLike[str], parse: Callable[[bytes], Message], record: bytes) -> Message:
    try:
        return parse(record)
    except ValueError as error:
        raise MediaError(os.fspath(path), str(error)) from error


def _id_and_labels(path: str | os.PathLike[str], features: Mapping[str, Feature]) -> tuple[str, tuple[int, ...]]:
    name = next((features[key] for key in _IDS if key in features), None)
    labels = features.get("labels", [])
    if not isinstance(name, list) or len(name) != 1 or (len(labels) and isinstance(labels, list)):
        raise MediaError(os.fspath(path), "a record has no id, or labels that are no numbers")
    return name[0].decode("utf-8"), tuple(int(label) for label in labels)


def _is_floats(feature: Feature | None) -> bool:
    return isinstance(feature, np.ndarray) and feature.dtype == np.float32


def _levels(path: str | os.PathLike[str], rows: list[Feature]) -> npt.NDArray[np.float32]:
    """Quantised rows (T, D): as published, level q stands for 4 q / 255 + 4 / 512 - 2."""
    values = [row[0] for row in rows if isinstance(row, list) and len(row) == 1]
    if len(values) < len(rows) or len({len(value) for value in values}) > 1:
        raise MediaError(os.fspath(path), "the frames of a record are not bytes of one length")
    levels = np.stack([np.frombuffer(value, np.uint8) for value in values]) if values else np.zeros((0, 0), np.uint8)
    span = _HIGHEST - _LOWEST
    return (levels * np.float32(span / 255) + np.float32(span / 512 + _LOWEST)).astype(np.float32)
