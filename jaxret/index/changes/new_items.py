"""Items on their way into an index: their keys, and their columns."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jaxret.data.items import MediaItem
from jaxret.index.items.columns import BATCH_ITEMS, batches_of_items
from jaxret.index.items.item_table import ItemTable
from jaxret.index.items.keys import key_hashes
from jaxret.index.items.media_root import stored_path
from jaxret.index.new_segment import ItemBatches

__all__ = ["NewItems"]


class NewItems:
    """Items that are to be added.

    Args:
      items: objects, or a table, which stays one.

    Attributes:
      keys: of all.

    Raises:
      TypeError: an item is something else.
      ValueError: there is none, or two have one key.
    """

    def __init__(self, items: Sequence[MediaItem]):
        if not len(items):
            raise ValueError("items must hold at least one MediaItem, got none")
        self._items = items
        if isinstance(items, ItemTable):
            self.keys: list[str] = items.table.column("key").to_pylist()
        else:
            if odd := [item for item in items if not isinstance(item, MediaItem)]:
                raise TypeError(f"items must be MediaItem, got {type(odd[0]).__name__}")
            self.keys = [item.key for item in items]
        if not (np.diff(np.sort(self.key_hashes)) > 0).all():
            key, count = collections.Counter(self.keys).most_common(1)[0]
            if count > 1:
                raise ValueError(f"items hold the key {key!r} {count} times")

    def __len__(self) -> int:
        return len(self.keys)

    @functools.cached_property
    def key_hashes(self) -> NDArray[np.uint64]:
        """uint64 (len,), see `jaxret.index.items.keys`."""
        return key_hashes(self.keys)

    def batches(self, media_root: str | None) -> ItemBatches:
        """The items as columns, with paths relative to the folder where they lie below it.

        Raises:
          ValueError: a column of the user's own holds values of several kinds.
        """
        if isinstance(self._items, ItemTable):
            table = self._items.table
            return table.schema, (_rooted(batch, media_root) for batch in table.to_batches(BATCH_ITEMS))
        return batches_of_items([_with_stored_path(item, media_root) for item in self._items])


def _rooted(batch: pa.RecordBatch, media_root: str | None) -> pa.RecordBatch:
    if media_root is None:
        return batch
    number = batch.schema.get_field_index("path")
    paths = [stored_path(path, media_root) for path in batch.column(number).to_pylist()]
    columns = [*batch.columns]
    columns[number] = pa.array(paths, pa.string())
    return pa.record_batch(columns, schema=batch.schema)


def _with_stored_path(item: MediaItem, media_root: str | None) -> MediaItem:
    """The item as it is stored; most are as they are, and to make one anew takes as long as to write it."""
    path = stored_path(item.path, media_root)
    return item if path == item.path else dataclasses.replace(item, path=path)
