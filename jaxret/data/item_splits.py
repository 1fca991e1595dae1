"""Which films train and test, and frames of them to fit a whitening on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import Kind
from jaxret.data.label_splits import UNUSED, named_parts
from jaxret.data.sampling.frames import frames_on_display
from jaxret.data.sampling.reading import open_item, read_pictures
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.data.splits import split_by_source
from jaxret.errors import ConfigError, MediaError
from jaxret.preprocessing import Preprocessing

__all__ = ["split_films", "split_items", "training_frames"]

_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def split_films(dataset: MediaDataset, *, seed: int) -> dict[str, np.ndarray]:
    """`split_items` of the videos."""
    return split_items(dataset, "video", seed=seed)


def split_items(dataset: MediaDataset, kind: Kind, *, seed: int) -> dict[str, np.ndarray]:
    """Numbers of the items of a kind in each part: as the items say, or else dealt by source.

    Where none is named for validation, some of the training items are taken for it.

    Raises:
      ConfigError: there are fewer sources to deal than parts, a split has an unknown name, or no training item is
        named.
    """
    numbers = [number for number, item in enumerate(dataset.items) if item.kind == kind and item.split != UNUSED]
    parts = named_parts(dataset, numbers)
    if parts is None:
        return _dealt(dataset, np.array(numbers, np.int64), kind, _SHARES, seed)
    if not len(parts["train"]):
        raise ConfigError(f"no {kind} is in the split 'train', which training needs")
    if not len(parts["validation"]):
        shares = {name: _SHARES[name] for name in ("train", "validation")}
        parts |= _dealt(dataset, parts["train"], kind, shares, seed)
    return parts


def _dealt(
    dataset: MediaDataset, numbers: np.ndarray, kind: Kind, shares: dict[str, float], seed: int
) -> dict[str, np.ndarray]:
    items = [dataset.items[number] for number in numbers.tolist()]
    sources = len({item.source for item in items})
    if sources < len(shares):
        raise ConfigError(f"{', '.join(shares)} need {kind}s of {len(shares)} sources or more, found {sources}")
    total = sum(shares.values())
    dealt = split_by_source(items, {name: share / total for name, share in shares.items()}, seed=seed)
    parts = {name: numbers[chosen] for name, chosen in dealt.items()}
    # Few long films: the small parts get one each before training has the rest.
    for name in shares:
        if name != "train" and not len(parts[name]):
            moved = dataset.items[int(parts["train"][-1])].source
            of_source = np.array([dataset.items[int(n)].source == moved for n in parts["train"]])
            parts[name], parts["train"] = parts["train"][of_source], parts["train"][~of_source]
    return parts


def training_frames(
    dataset: MediaDataset, numbers: np.ndarray, preprocessing: Preprocessing, limit: int
) -> Iterator[np.ndarray]:
    """About `limit` frames, evenly from evenly chosen videos, in batches of those of one video.

    A video with a frame that does not decode is passed over: it is left out, and listed, when all are encoded.
    """
    chosen = numbers[np.linspace(0, len(numbers) - 1, min(limit, len(numbers))).round().astype(int)]
    each = max(1, limit // len(chosen))
    for number in chosen.tolist():
        try:
            with open_item(dataset, number, preprocessing) as reader:
                info = reader.info
                moments = (np.arange(each) + 0.5) * info.duration / each
                places = np.unique(frames_on_display(reader.times, moments))
                geometry = centre_geometry(info.height, info.width, preprocessing)
                frames = np.stack(list(read_pictures(reader, places, geometry, preprocessing)))
        except MediaError:
            continue
        yield frames
