"""Data sets of tensorflow-datasets, read at random without TensorFlow.

Images work with the extra `tfds` alone: the encoded bytes are decoded by `image_decoding` like any file.
Videos work where they are stored as plain arrays (a `Tensor` feature); the library's own `Video` feature
needs TensorFlow to be installed as well. Nothing is downloaded unless the caller says so.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from jaxret.data.dataset import MediaDataset, stamp_of
from jaxret.data.decode.image import ImageReader
from jaxret.data.items import Kind, MediaItem
from jaxret.data.readers import ArrayReader, MediaReader
from jaxret.errors import ConfigError

__all__ = ["VIDEO_FPS", "TfdsDataset"]

VIDEO_FPS = 25.0
"""Frames a second that arrays of frames are taken to have, since the library stores no times."""


class TfdsDataset(MediaDataset):
    """A data set prepared on disk by tensorflow-datasets in a format with random access (array_record).

    The medium is the feature called `image` or `video`, or else the only image-like one; the label is the
    only `ClassLabel`, or the one called `label`. Items are called SPLIT/NUMBER.

    Args:
      name: NAME or NAME/CONFIG as tensorflow-datasets knows it.
      data_dir: where data sets are kept; None is the library's default.
      download: whether to download and prepare what is not there yet.

    Raises:
      ConfigError: the library (or, for its video features, TensorFlow) is not installed; there is no such
        data set; it is not prepared, or in a format without random access; it has no image or video.
    """

    def __init__(self, name: str, *, data_dir: str | os.PathLike[str] | None = None, download: bool = False):
        if not name.strip("/"):
            raise ConfigError("tfds: names no data set: write tfds:NAME or tfds:NAME:CONFIG")
        tfds = _import_tfds()
        self.name = name
        builder = _builder(tfds, name, data_dir, download)
        self._media, self._label = _choose_features(tfds, builder.info.features, name)
        feature = builder.info.features[self._media]
        self._is_video = not isinstance(feature, tfds.features.Image) and len(feature.shape) == 4
        skip = {self._media: tfds.decode.SkipDecoding()}
        decoders = skip if isinstance(feature, tfds.features.Image) else None
        names = builder.info.features[self._label].names if self._label else ()
        items: list[MediaItem] = []
        kind: Kind = "video" if self._is_video else "image"
        self._places: list[tuple[str, int]] = []
        self._sources: dict[str, Any] = {}
        self._stamps: dict[str, tuple[int, int] | None] = {}
        for split in sorted(builder.info.splits):
            self._sources[split] = builder.as_data_source(split, decoders=decoders)
            self._stamps[split] = stamp_of(builder.info.splits[split].filepaths)
            labels = _read_labels(builder.as_data_source(split, decoders=skip), self._label)
            for number in range(len(self._sources[split])):
                label = names[labels[number]] if labels is not None and labels[number] >= 0 else None
                items.append(MediaItem(f"{split}/{number:07d}", kind, label, split=split))
                self._places.append((split, number))
        self.items = tuple(items)

    def open(self, index: int) -> MediaReader:
        """A reader of item `index`."""
        medium = self._medium(index)
        if isinstance(medium, bytes):
            return ImageReader(self.origin(index), data=medium)
        frames = medium if self._is_video else medium[None]
        if frames.shape[-1] == 1:
            frames = np.repeat(frames, 3, axis=-1)
        rate = VIDEO_FPS if self._is_video else np.inf
        return ArrayReader(frames, np.arange(len(frames)) / rate, len(frames) / rate)

    def origin(self, index: int) -> str:
        """The name of the data set and the item's key."""
        return f"tfds:{self.name}/{self.items[index].key}"

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Bytes of the files of the item's split, and the latest time that one was written."""
        split, _ = self._places[index]
        return self._stamps[split]

    def content_hash(self, index: int) -> str:
        """A hash of the item's bytes or pixels."""
        medium = self._medium(index)
        shape = b"" if isinstance(medium, bytes) else repr(medium.shape).encode()
        content = medium if isinstance(medium, bytes) else np.ascontiguousarray(medium).tobytes()
        return hashlib.blake2b(shape + content, digest_size=16).hexdigest()

    def _medium(self, index: int) -> Any:
        """Encoded bytes of an image, or an array of pixels."""
        split, number = self._places[index]
        return self._sources[split][number][self._media]


def _import_tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ConfigError("data sets named tfds:... need the extra `tfds`: pip install 'jaxret[tfds]'") from error
    return tensorflow_datasets


def _builder(tfds: Any, name: str, data_dir: str | os.PathLike[str] | None, download: bool) -> Any:
    """The builder of a data set that is prepared, or is being prepared now."""
    options = {} if data_dir is None else {"data_dir": os.fspath(data_dir)}
    not_found = tfds.core.registered.DatasetNotFoundError
    try:
        try:
            # Looks on disk alone, where tfds.builder would look in its bucket for data sets it knows.
            builder = tfds.core.read_only_builder.builder_from_files(name, **options)
        except not_found:
            if not download:
                raise
            builder = tfds.builder(name, file_format="array_record", **options)
            builder.download_and_prepare()
        builder.as_data_source(sorted(builder.info.splits)[0])
    except ImportError as error:
        package = (error.name or "").split(".")[0]
        reason = f"it needs the package {package!r}, which is not installed"
        if package == "tensorflow":
            reason = "it has features that need TensorFlow; install `tensorflow` beside the extra `tfds`"
        raise ConfigError(f"tfds:{name}: {reason}") from error
    except NotImplementedError as error:
        reason = "its format has no random access; prepare it with file_format=array_record"
        raise ConfigError(f"tfds:{name} in {builder.data_path}: {reason}") from error
    except not_found as error:
        place = data_dir or tfds.core.constants.DATA_DIR
        reason = f"tensorflow-datasets knows no {name!r}" if download else f"not prepared in {place}"
        hint = "" if download else "; allow the download, or check the name and the folder"
        raise ConfigError(f"tfds:{name}: {reason}{hint}") from error
    except ValueError as error:
        raise ConfigError(f"tfds:{name}: {str(error).splitlines()[0]}") from error
    return builder


def _choose_features(tfds: Any, features: Any, name: str) -> tuple[str, str | None]:
    """Names of the medium's and of the label's feature."""

    def is_medium(feature: Any) -> bool:
        if isinstance(feature, tfds.features.Image):
            return True
        is_pixels = np.dtype(feature.np_dtype) == np.uint8 if hasattr(feature, "np_dtype") else False
        return is_pixels and len(feature.shape) == 4 and feature.shape[-1] in (1, 3)

    media = [key for key, feature in features.items() if is_medium(feature)]
    preferred = [key for key in media if key in ("image", "video")]
    if len(media) != 1 and len(preferred) != 1:
        raise ConfigError(f"tfds:{name} has {len(media)} images or videos an example: {', '.join(media) or 'none'}")
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    label = "label" if "label" in labels else labels[0] if len(labels) == 1 else None
    return (media if len(media) == 1 else preferred)[0], label


def _read_labels(source: Any, label: str | None) -> list[int] | None:
    """The label numbers of a split, whose media are left undecoded."""
    return None if label is None else [int(example[label]) for example in source]
