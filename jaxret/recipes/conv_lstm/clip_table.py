"""The clips that trainings on clips of their own draw from: every chunk of every training video is a sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.data.batches.loader import read_in_parallel
from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import MediaInfo, Pixels
from jaxret.data.sampling.frames import chunk_spans, evenly_spaced
from jaxret.data.sampling.reading import open_item, read_training_clip
from jaxret.data.sampling.transforms import Augmentation
from jaxret.data.splits import AutoencoderData, split_for_autoencoder
from jaxret.errors import ConfigError, MediaError
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.conv_lstm.settings import StepsConfig
from jaxret.recipes.opening import open_clip_data, opened, said_of_splits
from jaxret.training import RunContext

__all__ = [
    "ClipTable",
    "StepsData",
    "batches_of_clips",
    "clip_table",
    "held_out_clips",
    "open_videos",
    "pixel_statistics",
    "plane_shares",
    "steps_data",
    "training_reader",
]

Indices = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class ClipTable:
    """Clips of a data set, in order of items and time.

    Attributes:
      items: int64 (N,), the item index of the video that each is of.
      spans: float64 (N, 2), start and end in seconds.
    """

    items: Indices
    spans: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: npt.ArrayLike) -> ClipTable:
        """Some of the clips."""
        chosen = np.asarray(rows)
        return ClipTable(self.items[chosen], self.spans[chosen])


def clip_table(
    dataset: MediaDataset, indices: Sequence[int] | Indices, preprocessing: Preprocessing, *, threads: int
) -> tuple[ClipTable, dict[int, MediaError]]:
    """The clips that videos are cut into when they are indexed; and the videos that cannot be opened, with reasons.

    Args:
      dataset: the media.
      indices: of its videos.
      preprocessing: how long a clip is, and what of a video is needed.
      threads: files opened at once.

    Raises:
      ConfigError: none of the videos can be opened; with the reason of the first.
    """

    def info_of(index: int) -> MediaInfo | MediaError:
        try:
            with open_item(dataset, index, preprocessing) as reader:
                return reader.info
        except MediaError as error:
            return error

    items, spans, broken = [], [np.zeros((0, 2))], {}
    chosen = [int(index) for index in indices]
    for index, found in zip(chosen, read_in_parallel(info_of, chosen, threads=threads), strict=True):
        if isinstance(found, MediaError):
            broken[index] = found
            continue
        length, overlap = preprocessing.chunk_seconds, preprocessing.chunk_overlap
        of_item = chunk_spans(found.duration, length, overlap, found.parts)
        items += [index] * len(of_item)
        spans.append(of_item)
    if broken and not items:
        raise ConfigError(f"none of {len(broken)} videos can be used: {next(iter(broken.values()))}")
    return ClipTable(np.array(items, np.int64), np.concatenate(spans)), broken


@dataclasses.dataclass(frozen=True)
class StepsData:
    """What a training in steps draws from.

    Attributes:
      dataset: the media.
      splits: which videos train, with labels or without, validate and test.
      table: the clips of the training videos, those without a label included.
    """

    dataset: MediaDataset
    splits: AutoencoderData
    table: ClipTable


def open_videos(config: StepsConfig, context: RunContext) -> tuple[MediaDataset, AutoencoderData]:
    """The data set and its splits, logged; ConfigError where they do not have what the steps need."""
    dataset = open_clip_data(config, "the videos")
    context.check_data(dataset)
    data = split_for_autoencoder(
        dataset,
        steps_with_labels=config.needs_labels,
        unseen_fraction=config.unseen_fraction,
        seed=config.seed,
        shares=dict(zip(("train", "validation", "test"), config.split_shares, strict=True)),
    )
    splits = data.splits
    context.log(
        f"{opened(config.data_in_words, dataset)}, {len(splits.seen)} classes to train on and"
        f" {len(splits.unseen)} unseen;"
        f" {len(splits.train)} train, {len(data.unlabelled)} more without a label,"
        f" {len(splits.validation)} validation, {len(splits.test)} test"
    )
    if (warning := said_of_splits(splits)) is not None:
        context.log(warning)
    return dataset, data


def steps_data(dataset: MediaDataset, splits: AutoencoderData, config: StepsConfig, context: RunContext) -> StepsData:
    """With the clips of all training videos; those that do not open are logged. See `clip_table`."""
    indices = np.union1d(splits.splits.train, splits.unlabelled)
    table, broken = clip_table(dataset, indices, config.preprocessing(), threads=config.threads)
    for index, error in broken.items():
        context.log(f"left out of the training: {dataset.items[index].key}: {error.reason}")
    return StepsData(dataset, splits, table)


def held_out_clips(
    dataset: MediaDataset, indices: Indices, preprocessing: Preprocessing, *, limit: int, threads: int
) -> ClipTable:
    """Clips of the videos among some items, at most `limit`, evenly chosen; none where no video opens."""
    videos = [n for n in indices.tolist() if dataset.items[n].kind == "video"]
    # Each gives at least one clip, so of more videos than clips are wanted some need not be opened.
    videos = [videos[row] for row in evenly_spaced(len(videos), limit)]
    try:
        table = clip_table(dataset, videos, preprocessing, threads=threads)[0]
    except ConfigError:
        return ClipTable(np.zeros(0, np.int64), np.zeros((0, 2)))
    return table.take(evenly_spaced(len(table), limit))


def training_reader(
    dataset: MediaDataset,
    table: ClipTable,
    preprocessing: Preprocessing,
    augment: Augmentation,
    labels: Sequence[int] | Indices | None = None,
) -> Callable[[int, np.random.Generator], dict[str, Any]]:
    """`read(row, rng)` for `TrainingInput`: clip `row` of the table, varied, as `inputs`, its class as `labels` and its
    video as `items`.

    A frame of each segment of the clip is drawn at random, and the window.
    """

    def read(row: int, rng: np.random.Generator) -> dict[str, Any]:
        start, end = table.spans[row].tolist()
        clip = read_training_clip(dataset, int(table.items[row]), preprocessing, rng, augment, span=(start, end))
        if labels is None:
            return {"inputs": clip}
        return {"inputs": clip, "labels": np.int32(labels[row]), "items": np.int32(table.items[row])}

    return read


def batches_of_clips(
    dataset: MediaDataset,
    table: ClipTable,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    threads: int,
    first: int = 0,
) -> Generator[tuple[int, npt.NDArray[np.uint8], npt.NDArray[np.bool_]]]:
    """The clips of a table as they are indexed, batch by batch, each filled up to one shape.

    Args:
      dataset: the media.
      table: which clips.
      preprocessing: as the encoder expects.
      batch_size: clips together, at least 1.
      threads: files decoded at once.
      first: the batch to begin with; a batch is the same wherever one begins.

    Yields:
      The index of the batch, pixels (batch_size, T, H, W, C) and which of them are clips, bool (batch_size,): one that
      does not read and those behind the end are black.
    """

    def read(row: int) -> Pixels | None:
        if row >= len(table):
            return None
        start, end = table.spans[row].tolist()
        rng = np.random.default_rng(0)  # nothing is drawn
        try:
            return read_training_clip(dataset, int(table.items[row]), preprocessing, rng, None, span=(start, end))
        except MediaError:
            return None

    count = -(-len(table) // batch_size)
    rows = range(first * batch_size, count * batch_size)
    clips = read_in_parallel(read, rows, threads=threads, ahead=2 * batch_size)
    black = np.zeros(
        (preprocessing.frames, preprocessing.height, preprocessing.width, preprocessing.pixel_channels), np.uint8
    )
    for batch in range(first, count):
        found = [next(clips) for _ in range(batch_size)]
        readable = np.array([clip is not None for clip in found])
        yield batch, np.stack([black if clip is None else clip for clip in found]), readable


def pixel_statistics(
    dataset: MediaDataset, table: ClipTable, preprocessing: Preprocessing, *, threads: int, limit: int = 256
) -> tuple[float, float]:
    """Mean and standard deviation of the colours of about `limit` clips, evenly chosen, over all channels, 0..255.

    Raises:
      ConfigError: none of them can be read.
    """
    rows = evenly_spaced(len(table), limit)
    total = squares = count = 0.0
    colours = preprocessing.pixel_channels - (preprocessing.depth is not None)
    for _, clips, readable in batches_of_clips(dataset, table.take(rows), preprocessing, batch_size=1, threads=threads):
        if readable[0]:
            values = clips[..., :colours].astype(np.float64)
            total, squares, count = total + values.sum(), squares + (values**2).sum(), count + values.size
    if not count:
        raise ConfigError(f"none of {len(rows)} clips that were tried can be read")
    mean = total / count
    return mean, float(np.sqrt(max(squares / count - mean**2, 0)))


def plane_shares(
    dataset: MediaDataset, table: ClipTable, preprocessing: Preprocessing, *, threads: int, limit: int = 16
) -> npt.NDArray[np.float64]:
    """Of the pixels of about `limit` clips, evenly chosen, the share of each depth plane.

    Returns:
      float64 (planes + 1,), the first of pixels without a reading; they sum to 1, or are 0 where no clip can be read.
    """
    assert preprocessing.depth is not None
    counts = np.zeros(preprocessing.depth.count + 1)
    some = table.take(evenly_spaced(len(table), limit))
    for _, clips, readable in batches_of_clips(dataset, some, preprocessing, batch_size=1, threads=threads):
        if readable[0]:
            counts += np.bincount(clips[..., -1].ravel(), minlength=len(counts))
    return counts / max(1.0, counts.sum())
