"""Additions to an index, committed in parts, so that one that was stopped goes on where it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import MediaError
from jaxret.index import MediaIndex
from jaxret.retrieval.encode import FrameVectors

__all__ = ["AddReport", "add_media", "fresh_items"]

# Between commits of a long addition, what a kill can lose: so many items, or frame vectors, which of films are many.
_ITEMS_A_COMMIT, _BYTES_A_COMMIT = 512, 256 << 20


@dataclasses.dataclass(frozen=True)
class AddReport:
    """What an addition did.

    Attributes:
      added: keys that are new in the index.
      present: keys that were there already and were left as they are.
      skipped: files that could not be read, with the reason.
      damaged: items that were added although something is missing from them, with what.
    """

    added: tuple[str, ...]
    present: tuple[str, ...]
    skipped: tuple[MediaError, ...]
    damaged: tuple[MediaError, ...] = ()


def fresh_items(dataset: MediaDataset, index: MediaIndex) -> list[int]:
    """Numbers of the items whose key is not in the index yet."""
    return [number for number, item in enumerate(dataset.items) if item.key not in index]


def add_media(
    index: MediaIndex,
    dataset: MediaDataset,
    media: Iterable[tuple[int, FrameVectors | MediaError]],
    rows_of: Callable[[Mapping[int, FrameVectors]], Mapping[str, Rows]],
) -> AddReport:
    """Add items to an index as they are embedded; those whose key is in it already are left alone.

    Args:
      index: that grows.
      dataset: whose items they are.
      media: numbers of fresh items (`fresh_items`) with what the encoder made of them, or why it could not.
      rows_of: a part of them, by number, to the rows of each space; `Rows.items` are their numbers.

    Returns:
      What came of it; items that `media` lacks are not mentioned.
    """
    present = tuple(item.key for item in dataset.items if item.key in index)
    added: list[str] = []
    skipped: list[MediaError] = []
    damaged: list[MediaError] = []
    block: dict[int, FrameVectors] = {}

    def commit() -> None:
        numbers = np.array(sorted(block), np.int64)
        index.add(
            [_index_item(dataset.items[number], block[int(number)]) for number in numbers],
            {name: rows.of_items(numbers) for name, rows in rows_of(block).items()},
        )
        added.extend(dataset.items[number].key for number in numbers)
        block.clear()

    for number, vectors in media:
        if isinstance(vectors, MediaError):
            skipped.append(vectors)
            continue
        if vectors.damage:
            item = dataset.items[number]
            damaged.append(MediaError(item.path or item.key, vectors.damage))
        block[number] = vectors
        if len(block) == _ITEMS_A_COMMIT or sum(v.vectors.nbytes for v in block.values()) >= _BYTES_A_COMMIT:
            commit()
    if block:
        commit()
    return AddReport(tuple(added), present, tuple(skipped), tuple(damaged))


def _index_item(item: MediaItem, vectors: FrameVectors) -> MediaItem:
    duration = float(vectors.spans.max()) if item.kind == "video" else 0.0
    path = None if item.path is None else str(Path(item.path).resolve())
    return dataclasses.replace(item, path=path, duration=duration)
