"""Which films train and test, and frames of them to fit a whitening on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxret.data.frame_sampling import frames_on_display
from jaxret.data.media_item import MediaDataset
from jaxret.data.reading import open_item, read_pictures
from jaxret.data.splits import split_by_source
from jaxret.data.transforms import centre_geometry
from jaxret.errors import ConfigError
from jaxret.preprocessing import Preprocessing

__all__ = ["split_films", "training_frames"]

_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def split_films(dataset: MediaDataset, *, seed: int) -> dict[str, np.ndarray]:
    """Numbers of the videos of each part: as the items say, or else dealt by source.

    Raises:
      ConfigError: there are fewer than three sources to deal, or no training or validation video is named.
    """
    videos = [number for number, item in enumerate(dataset.items) if item.kind == "video"]
    if any(dataset.items[number].split for number in videos):
        parts = {name: np.array([n for n in videos if dataset.items[n].split == name], np.int64) for name in _SHARES}
        for name in ("train", "validation"):
            if not len(parts[name]):
                raise ConfigError(f"no video is in the split {name!r}, which training needs")
        return parts
    items = [dataset.items[number] for number in videos]
    sources = len({item.source for item in items})
    if sources < len(_SHARES):
        raise ConfigError(f"training, validation and test need videos of 3 sources or more, found {sources}")
    dealt = split_by_source(items, _SHARES, seed=seed)
    parts = {name: np.array(videos, np.int64)[chosen] for name, chosen in dealt.items()}
    # Few long films: the small parts get one each before training has the rest.
    for name in ("validation", "test"):
        if not len(parts[name]):
            moved = dataset.items[int(parts["train"][-1])].source
            of_source = np.array([dataset.items[int(n)].source == moved for n in parts["train"]])
            parts[name], parts["train"] = parts["train"][of_source], parts["train"][~of_source]
    return parts


def training_frames(
    dataset: MediaDataset, numbers: np.ndarray, preprocessing: Preprocessing, limit: int
) -> Iterator[np.ndarray]:
    """About `limit` frames, evenly from evenly chosen videos, in batches of those of one video."""
    chosen = numbers[np.linspace(0, len(numbers) - 1, min(limit, len(numbers))).round().astype(int)]
    each = max(1, limit // len(chosen))
    for number in chosen.tolist():
        with open_item(dataset, number, preprocessing) as reader:
            info = reader.info
            moments = (np.arange(each) + 0.5) * info.duration / each
            places = np.unique(frames_on_display(reader.times, moments))
            geometry = centre_geometry(info.height, info.width, preprocessing)
            yield np.stack(list(read_pictures(reader, places, geometry, preprocessing)))
