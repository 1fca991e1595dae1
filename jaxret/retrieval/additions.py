"""Additions to an index, committed in parts, so that one that was stopped goes on where it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import ColumnValue, MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import MediaError
from jaxret.index import MediaIndex
from jaxret.remote import real_path
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.matches import Matches, changed_items, match_items, stale_keys, state_of

__all__ = ["AddReport", "add_media", "beside_known", "fresh_items", "other_columns", "until"]

Each = TypeVar("Each")

# Between commits of a long addition, what a kill can lose: so many items, or frame vectors, which of films are many.
_ITEMS_A_COMMIT, _BYTES_A_COMMIT = 512, 256 << 20


@dataclasses.dataclass(frozen=True)
class AddReport:
    """What an addition did.

    Attributes:
      added: keys that are new in the index.
      present: keys of items that were there already and were left as they are.
      skipped: files that could not be read, with the reason.
      damaged: items that were added although something is missing from them, with what.
      renewed: keys of items that were there, and were described anew because their files are others now.
      stale: keys of items that stay as they were although their files changed, because these cannot be read now.
      described: keys of items that were there, and whose columns of the user's own have other values now.
      renamed: keys of added items that belong to other files of the index -> the keys that the items have instead.
    """

    added: tuple[str, ...]
    present: tuple[str, ...]
    skipped: tuple[MediaError, ...]
    damaged: tuple[MediaError, ...] = ()
    renewed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    described: tuple[str, ...] = ()


def fresh_items(dataset: MediaDataset, index: MediaIndex) -> list[int]:
    """Numbers of the items that are not in the index yet, or whose files are others now."""
    matches = match_items(dataset, index)
    return sorted({**matches.fresh, **changed_items(dataset, index, matches)})


def beside_known(
    numbers: Sequence[int],
    known: Mapping[int, FrameVectors],
    encode: Callable[[Sequence[int]], Iterator[tuple[int, FrameVectors | MediaError]]],
    on_item: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, FrameVectors | MediaError]]:
    """Items in order, those that are known as they are and the others encoded.

    Args:
      numbers: of the items.
      known: frame vectors of some of them.
      encode: the others, in order; not called where there are none.
      on_item: called with the number of each that is known.
    """
    unknown = [number for number in numbers if number not in known]
    encoded = encode(unknown) if unknown else iter(())
    for number in numbers:
        if number not in known:
            yield next(encoded)
            continue
        yield number, known[number]
        if on_item is not None:
            on_item(number)


def until(stop: Callable[[], bool], stream: Iterator[Each]) -> Iterator[Each]:
    """The stream until `stop` says true, which is called before each item is taken."""
    while not stop():
        for each in stream:
            yield each
            break
        else:
            return


def add_media(
    index: MediaIndex,
    dataset: MediaDataset,
    media: Iterable[tuple[int, FrameVectors | MediaError]],
    rows_of: Callable[[Mapping[int, FrameVectors]], Mapping[str, Rows]],
) -> AddReport:
    """Add items to an index as they are embedded; those that are in it already are left alone, unless their
    files are others now.

    An item whose key another file has in the index is added under its origin, see `jaxret.retrieval.matches`. Other
    programs may remove items meanwhile: those stay removed, but for files that are new or others now.

    Args:
      index: that grows.
      dataset: whose items they are.
      media: numbers of fresh items (`fresh_items`) with what the encoder made of them, or why it could not.
      rows_of: a part of them, by number, to the rows of each space; `Rows.items` are their numbers.

    Returns:
      What came of it; items that `media` lacks are not mentioned.
    """
    matches = match_items(dataset, index)
    changed = changed_items(dataset, index, matches)
    key_of = {**matches.fresh, **changed}
    added: list[int] = []
    skipped: list[MediaError] = []
    damaged: list[MediaError] = []
    block: dict[int, FrameVectors] = {}

    def new_item(number: int) -> MediaItem:
        item = _index_item(dataset, number, key_of[number], block[number])
        if number not in changed or item.key not in index:
            return item
        return dataclasses.replace(item, columns={**index.item_of(item.key).columns, **item.columns})

    def commit() -> None:
        numbers = np.array(sorted(block), np.int64)
        index.add(
            [new_item(int(number)) for number in numbers],
            {name: rows.of_items(numbers) for name, rows in rows_of(block).items()},
            replace=True,
        )
        added.extend(numbers.tolist())
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
    done = set(added)
    described = other_columns(dataset, index, matches, done)
    index.set_columns(described, missing_ok=True)
    return AddReport(
        tuple(matches.fresh[number] for number in added if number in matches.fresh),
        tuple(key for number, key in matches.known.items() if number not in done),
        tuple(skipped),
        tuple(damaged),
        tuple(changed[number] for number in added if number in changed),
        tuple(stale_keys(index, (*dataset.skipped, *skipped))),
        {dataset.items[number].key: matches.fresh[number] for number in matches.clashes if number in done},
        tuple(described),
    )


def other_columns(
    dataset: MediaDataset, index: MediaIndex, matches: Matches, without: Collection[int]
) -> dict[str, Mapping[str, ColumnValue]]:
    """By key, the user's own columns of items that are in the index still, where it has other values.

    Args:
      dataset: with the columns.
      index: that they are compared with.
      matches: of both, see `jaxret.retrieval.matches.match_items`.
      without: numbers of items that are passed over.
    """
    columns = {key: dataset.items[number].columns for number, key in matches.known.items() if number not in without}
    here = {key: own for key, own in columns.items() if own and key in index}
    return {key: own for key, own in here.items() if not own.items() <= index.item_of(key).columns.items()}


def _index_item(dataset: MediaDataset, number: int, key: str, vectors: FrameVectors) -> MediaItem:
    item = dataset.items[number]
    path = None if item.path is None else real_path(item.path)
    origin = dataset.origin(number)
    return dataclasses.replace(
        item,
        key=key,
        source=key if item.source == item.key else item.source,
        path=path,
        duration=float(vectors.spans.max()) if item.kind == "video" else 0.0,
        origin=None if origin == path else origin,
        file=state_of(dataset, number),
    )
