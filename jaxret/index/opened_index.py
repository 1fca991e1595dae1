"""`OpenedIndex`: what one revision of an index holds, and searches of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import EncoderMismatchError, IndexFormatError
from jaxret.index.cells.recall import ProbeRecall, measure_recall
from jaxret.index.cells.term_lists import TermLists
from jaxret.index.changes.commit import require_known
from jaxret.index.items.columns import FIELDS, column_array
from jaxret.index.items.item_list import ItemList
from jaxret.index.manifest import EncoderRecord
from jaxret.index.search.item_search import gallery_of
from jaxret.index.search.media_search import rank_media
from jaxret.index.search.media_search_result import MediaSearchResult
from jaxret.index.search.request import SearchRequest
from jaxret.index.search.search_options import SearchOptions
from jaxret.index.snapshot import Snapshot
from jaxret.index.space import ARRAY_NAMES, Space
from jaxret.preprocessing import Preprocessing

__all__ = ["OpenedIndex"]

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")
Kept = TypeVar("Kept")


class OpenedIndex:
    """An index at one revision: its items, their rows, and searches; `MediaIndex` also changes it.

    Items have ids 0 .. len-1, their positions in `items`.

    Attributes:
      folder: where the index lies.
    """

    def __init__(self, folder: Path, snapshot: Snapshot):
        self.folder = folder
        self._snapshot = snapshot

    def __len__(self) -> int:
        return len(self._snapshot.items)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._snapshot.places([key])[0] is not None

    def __repr__(self) -> str:
        return f"MediaIndex({str(self.folder)!r}, {len(self)} items, spaces {', '.join(self.spaces)})"

    @property
    def items(self) -> ItemList:
        """The items, in the order they were added; positions are the ids that searches return. Each is read when it is
        needed; `values` reads a column of all.
        """
        return self._snapshot.items

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the user's own columns, see `MediaItem.columns`."""
        return tuple(self._snapshot.own_columns)

    def values(self, column: str) -> list[Any]:
        """A column of all items, in order of their ids; None where an item has no value.

        Args:
          column: a field of `MediaItem`; "size", "modified" (nanoseconds) or "content" of its file; one of `columns`.

        Raises:
          ValueError: there is no such column.
        """
        if column not in FIELDS and column not in self.columns:
            raise ValueError(f"column must be one of {', '.join((*FIELDS, *self.columns))}, got {column!r}")
        return self._snapshot.values(column)

    @property
    def spaces(self) -> dict[str, Space]:
        """The spaces by name."""
        return dict(self._snapshot.spaces)

    @property
    def cells(self) -> dict[str, int]:
        """How many cells are kept on disk of each space that has them, see `MediaIndex.make_cells`."""
        return {space: len(centroids) for space, centroids in self._snapshot.centroids.items()}

    @property
    def encoder(self) -> EncoderRecord:
        """What made the vectors."""
        return self._snapshot.manifest.encoder

    @property
    def media_root(self) -> Path | None:
        """The folder that paths of media are relative to on disk; None where they are absolute."""
        root = self._snapshot.manifest.media_root
        return None if root is None else Path(root)

    @property
    def revision(self) -> int:
        """The number of the revision that is open, from 1."""
        return self._snapshot.manifest.revision

    def table(self) -> pa.Table:
        """All items as an Arrow table, in order of their ids, with whole paths; most of it stays on disk.

        Its columns are those that `values` takes.
        """
        schema, batches = self._snapshot.item_batches()
        table = pa.Table.from_batches(list(batches), schema)
        if self.media_root is None:
            return table
        paths = column_array(self.values("path"), pa.string())
        return table.set_column(schema.get_field_index("path"), schema.field("path"), paths)

    def count_rows(self, space: str) -> int:
        """How many rows a space has; ValueError for an unknown space."""
        return self._snapshot.count_rows(self._known_space(space).name)

    def rows_per_item(self, space: str) -> NDArray[np.int64]:
        """int64 (len,): how many rows of a space each item has; ValueError for an unknown space."""
        return self._snapshot.rows_per_item(self._known_space(space).name)

    def id_of(self, key: str) -> int:
        """The id of the item with this key; ValueError where there is none."""
        (place,) = self._snapshot.places([key])
        if place is None:
            raise ValueError(f"key {key!r} is not in the index")
        segment, local = place
        return int(self._snapshot.positions[segment][local])

    def item_of(self, key: str) -> MediaItem:
        """The item with this key; ValueError where there is none."""
        return self.items[self.id_of(key)]

    def check_encoder(self, fingerprint: str, preprocessing: Preprocessing) -> None:
        """Refuse queries made in another way than the index.

        Raises:
          EncoderMismatchError: fingerprint or preprocessing differ; the message names both of each.
        """
        ours = self.encoder
        if fingerprint != ours.fingerprint:
            raise EncoderMismatchError(
                f"{self.folder} was made by encoder {ours.fingerprint!r}, the query by {fingerprint!r}"
            )
        if preprocessing != ours.preprocessing:
            theirs, here = preprocessing.to_json(), ours.preprocessing.to_json()
            differ = "; ".join(  # settings at their defaults may be left out
                f"{name}: index {here.get(name)!r}, query {theirs.get(name)!r}"
                for name in {**here, **theirs}
                if here.get(name) != theirs.get(name)
            )
            raise EncoderMismatchError(f"{self.folder} was made with other preprocessing ({differ})")

    def rows(self, space: str, items: ArrayLike | None = None) -> Rows:
        """The rows of a space, copied into memory; their `items` are ids, ascending.

        Args:
          space: its name.
          items: ids whose rows are wanted, in any order; only these are read. None for all.

        Raises:
          ValueError: the space is unknown, or there is no item of such an id.
        """
        declared = self._known_space(space)
        if items is None:
            blocks = list(self._snapshot.row_blocks(declared.name))
        else:
            ids = np.asarray(items)
            if ids.size and (ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= len(self)):
                raise ValueError(f"items must be ids in 0 .. {len(self) - 1}, got {items!r:.80}")
            blocks = list(self._snapshot.rows_of_items(declared.name, ids.astype(np.int64)))
        blocks.insert(0, Rows(np.zeros((0, declared.row_length), declared.dtype), []))
        return Rows(
            np.concatenate([block.vectors for block in blocks]),
            np.concatenate([block.items for block in blocks]),
            np.concatenate([block.starts for block in blocks]),
            np.concatenate([block.ends for block in blocks]),
            len(self),
        )

    def term_lists(self, space: str) -> list[tuple[TermLists, NDArray[np.bool_]]] | None:
        """Of each segment, in order, the lists of a space's terms, and which of its rows are of live items.

        Returns:
          None where no lists are kept, see `MediaIndex.keep_lists`.

        Raises:
          ValueError: the space is unknown.
          IndexFormatError: the files are damaged.
        """
        name = self._known_space(space).name
        return self._snapshot.term_lists(name) if name in self._snapshot.manifest.terms else None

    def row_blocks(self, space: str) -> Iterator[Rows]:
        """The rows of a space in order, a bounded number at a time; their `items` are ids.

        Raises:
          ValueError: the space is unknown.
        """
        yield from self._snapshot.row_blocks(self._known_space(space).name)

    def passing(self, kinds: Collection[str] | None = None, where: str | None = None) -> NDArray[np.bool_]:
        """bool (len,), the items that are of some kinds and pass a filter.

        Args:
          kinds: "image", "video"; None for both.
          where: a filter, such as `label = 'cat' and duration > 10`, see `docs/filters`; None for none.

        Raises:
          ValueError: a kind is unknown, or the filter is malformed or does not fit the columns; the message names the
            character.
        """
        return self._snapshot.ids_passing(_check_kinds(kinds), where)

    def searchable(
        self, space: str, kinds: Collection[str] | None = None, where: str | None = None
    ) -> NDArray[np.bool_]:
        """bool (len,), the items that a search of this space can find: the gallery of an evaluation.

        Raises:
          ValueError: the space or a kind is unknown, or the filter is none.
        """
        return gallery_of(self._snapshot, self._known_space(space).name, _check_kinds(kinds), where).searchable.copy()

    def search(
        self,
        space: str,
        vectors: ArrayLike,
        k: int,
        *,
        options: SearchOptions | None = None,
        kinds: Collection[str] | None = None,
        where: str | None = None,
        exclude_sources: Sequence[str | None] | None = None,
        threads: int | None = None,
    ) -> MediaSearchResult:
        """The k nearest distinct items of each query, each at its best row; exact without `SearchOptions.probes`.

        Items are ordered by (distance, id).

        Args:
          space: which space the queries belong to.
          vectors: float (Q, D), or (D,) for one query; for a space of codes uint8 (Q, bits / 8) or (bits / 8,).
          k: items a query, at least 1; more than there are fills up with id -1, up to 2^22 in all.
          options: the metric, PAR's threshold and indexes to search with; None: the space's default metric, exactly.
          kinds: find only these kinds ("image", "video"); None for both.
          where: find only what passes this filter, see `passing`; the k nearest are those of what passes.
          exclude_sources: for each query a source whose items are left out, or None: the query's own, so
            that what it was cut from does not answer for it.
          threads: of the ranking kernels; None lets them choose.

        Raises:
          TypeError: `vectors` are not floats (of codes: not uint8), or k or probes is not a whole number.
          ValueError: the space or a kind is unknown, the filter is malformed or does not fit, the options do not fit
            the space, shapes disagree, a vector is not finite, or k is out of range.
          IndexFormatError: what is stored turns out to be damaged.
        """
        chosen = _check_kinds(kinds)
        return self._find(
            SearchRequest(space, vectors, k, options or SearchOptions(), chosen, where, exclude_sources, threads)
        )

    def _find(self, request: SearchRequest) -> MediaSearchResult:
        return rank_media(self._snapshot, self._known_space(request.space), request)

    def rank_all(self, space: str, vectors: ArrayLike, **settings: Any) -> MediaSearchResult:
        """`search`, which takes the settings, for every item: the whole ranking that a full mAP needs; ids (Q, len), at
        least 1 wide.
        """
        return self.search(space, vectors, max(1, len(self)), **settings)

    def cell_recall(
        self, space: str, probes: Sequence[int], *, k: int = 10, queries: int = 200, seed: int = 0
    ) -> list[ProbeRecall]:
        """Measure what a search of some cells finds of the exact answer, and what both cost.

        Rows of the index are the queries, and their own items do not count. Queries of another kind than the rows,
        such as photos of what was filmed, may find less.

        Args:
          space: one that has `cells`.
          probes: each at least 1; more than there are cells means all.
          k: neighbours that are looked for.
          queries: rows to search with, of different items.
          seed: of the draw of the queries.

        Returns:
          The exact search first, then one for each of `probes`.

        Raises:
          TypeError, ValueError: the space has no cells, or a number is no whole number or out of range.
        """
        if space not in self.cells:
            raise ValueError(f"space must be one that has cells ({', '.join(self.cells) or 'none has'}), got {space!r}")
        return measure_recall(self._snapshot, self._known_space(space), probes, k, queries, seed)

    def each_part(
        self,
        function: Callable[Concatenate[OpenedIndex, Parameters], Answer],
        *args: Parameters.args,
        **options: Parameters.kwargs,
    ) -> list[Answer]:
        """`function(part, *args, **options)` of each part of the index: of the index itself, where it is searched here.

        A part has the items and ids of the whole, and rows of its own: what is nearest of all is among what is nearest
        in each, see `jaxret.index.sharded_index`.
        """
        return [function(self, *args, **options)]

    def kept(self, make: Callable[[Self], Kept]) -> Kept:
        """`make(index)`, made at the first call and kept until the index changes."""
        if make not in self._snapshot.kept:
            self._snapshot.kept[make] = make(self)
        found: Kept = self._snapshot.kept[make]
        return found

    def verify(self) -> None:
        """Read everything and check it: checksums of all files, items, rows against items, finite vectors.

        Raises:
          IndexFormatError: names every file that is wrong, and how.
        """
        problems = [
            problem
            for segment in self._snapshot.segments
            for problem in segment.problems(self._snapshot.manifest.terms)
        ]
        if not problems:
            problems = [f"{self.folder}: two items have the key {key!r}" for key in self._snapshot.repeated_keys()]
            for space in self._snapshot.spaces.values():
                known = space.representation in ARRAY_NAMES
                blocks = self._snapshot.row_blocks(space.name) if known else ()
                if not all(np.isfinite(block.vectors).all() for block in blocks):
                    problems.append(f"{self.folder}: space {space.name!r} holds non-finite numbers")
        if problems:
            raise IndexFormatError("; ".join(problems))

    def _space_of_vectors(self, name: str) -> Space:
        space = self._known_space(name)
        if space.representation != "vector":
            raise ValueError(f"cells are of spaces of vectors, and space {name!r} holds {space.representation}s")
        return space

    def _known_space(self, name: str) -> Space:
        if name not in self._snapshot.spaces:
            raise ValueError(f"space must be one of {', '.join(self._snapshot.spaces)}, got {name!r}")
        space = self._snapshot.spaces[name]
        require_known(space, "search or add to")
        return space


def _check_kinds(kinds: Collection[str] | None) -> frozenset[str] | None:
    if kinds is None:
        return None
    chosen = frozenset({kinds} if isinstance(kinds, str) else kinds)
    if not chosen or chosen - {"image", "video"}:
        raise ValueError(f"kinds must be image, video or both, got {sorted(chosen)}")
    return chosen
