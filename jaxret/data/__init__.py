"""Media in: items and their frames, decoding, sampling, splits, training batches, feature caches.

Names are loaded on first use. Nothing here imports JAX, except that `TrainingInput` loads grain when it is made, and
grain does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxret.data.batches.cache import CachedFeatures, FeatureCache, FeatureTable
    from jaxret.data.batches.loader import TrainingInput, read_in_parallel
    from jaxret.data.batches.plans import BatchPlan, ChallengingBatches, ClassBatches, ShuffledBatches
    from jaxret.data.dataset import MediaDataset, MediaSubset
    from jaxret.data.datasets.folders import MediaFiles, open_media, read_csv, scan_folder
    from jaxret.data.datasets.moving_digits import MovingDigits
    from jaxret.data.decode.depth import read_depth, write_depth
    from jaxret.data.decode.image import read_image
    from jaxret.data.decode.rgbd import RgbdFrame, RgbdVideo, RgbdVideos
    from jaxret.data.decode.write import write_video
    from jaxret.data.items import MediaItem
    from jaxret.data.merge import LabelMap, RelistedDataset, merge_datasets, read_label_map
    from jaxret.data.open import open_dataset
    from jaxret.data.readers import ArrayReader, Chunk, MediaInfo, MediaReader
    from jaxret.data.rows import Rows
    from jaxret.data.sampling.reading import read_chunks, read_training_clip
    from jaxret.data.splits import DataSplits, split_by_source, split_dataset, split_items

_MODULES = {
    "batches.cache": (
        "CachedFeatures",
        "FeatureCache",
        "FeatureTable",
    ),
    "batches.loader": (
        "TrainingInput",
        "read_in_parallel",
    ),
    "batches.plans": (
        "BatchPlan",
        "ChallengingBatches",
        "ClassBatches",
        "ShuffledBatches",
    ),
    "dataset": (
        "MediaDataset",
        "MediaSubset",
    ),
    "datasets.folders": (
        "MediaFiles",
        "open_media",
        "read_csv",
        "scan_folder",
    ),
    "datasets.moving_digits": ("MovingDigits",),
    "decode.depth": (
        "read_depth",
        "write_depth",
    ),
    "decode.image": ("read_image",),
    "decode.rgbd": (
        "RgbdFrame",
        "RgbdVideo",
        "RgbdVideos",
    ),
    "decode.write": ("write_video",),
    "items": ("MediaItem",),
    "merge": (
        "LabelMap",
        "RelistedDataset",
        "merge_datasets",
        "read_label_map",
    ),
    "open": ("open_dataset",),
    "readers": (
        "ArrayReader",
        "Chunk",
        "MediaInfo",
        "MediaReader",
    ),
    "rows": ("Rows",),
    "sampling.reading": (
        "read_chunks",
        "read_training_clip",
    ),
    "splits": (
        "DataSplits",
        "split_by_source",
        "split_dataset",
        "split_items",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ArrayReader",
    "BatchPlan",
    "CachedFeatures",
    "ChallengingBatches",
    "Chunk",
    "ClassBatches",
    "DataSplits",
    "FeatureCache",
    "FeatureTable",
    "LabelMap",
    "MediaDataset",
    "MediaFiles",
    "MediaInfo",
    "MediaItem",
    "MediaReader",
    "MediaSubset",
    "MovingDigits",
    "RelistedDataset",
    "RgbdFrame",
    "RgbdVideo",
    "RgbdVideos",
    "Rows",
    "ShuffledBatches",
    "TrainingInput",
    "merge_datasets",
    "open_dataset",
    "open_media",
    "read_chunks",
    "read_csv",
    "read_depth",
    "read_image",
    "read_in_parallel",
    "read_label_map",
    "read_training_clip",
    "scan_folder",
    "split_by_source",
    "split_dataset",
    "split_items",
    "write_depth",
    "write_video",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"jaxret.data.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'jaxret.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
