"""`MediaIndex`: images and videos of one gallery, in one folder, that grows and shrinks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from jaxret.data.items import ColumnValue, MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError, WriteError
from jaxret.index.cells.term_lists import Terms
from jaxret.index.changes.cells import celled, listed, without_cells
from jaxret.index.changes.columns import described, media_folder, paths_below, relocated, rooted, upgraded
from jaxret.index.changes.commit import check_new, commit, create
from jaxret.index.changes.items import added, check_rows, without
from jaxret.index.changes.merging import compacted, merged, segments_to_merge
from jaxret.index.changes.new_items import NewItems
from jaxret.index.items.item_table import ItemTable
from jaxret.index.manifest import EncoderRecord, Manifest
from jaxret.index.opened_index import OpenedIndex
from jaxret.index.remote_copy import copy_of_index, refuse_copies
from jaxret.index.snapshot import Snapshot, open_snapshot
from jaxret.index.space import Space
from jaxret.index.write_lock import IndexBusyError, addition_lock
from jaxret.remote import real_path, url_of

__all__ = ["MediaIndex"]


class MediaIndex(OpenedIndex):
    """An index folder, opened at one revision.

    Every change is a new revision: a new immutable segment folder or a list of removed items, made real by
    the atomic replacement of `manifest.json`. A crash at any moment leaves the index as it was before or
    after the change. Readers take no lock and keep the revision that they opened until `refresh`. One
    writer at a time; a second waits up to `lock_timeout` seconds, then gets an `IndexBusyError`.

    Items have ids 0 .. len-1, their positions in `items`. Removing an item renumbers those after it; keys
    stay.

    Attributes:
      folder: where the index lies.
      lock_timeout: seconds that a change waits for another writer, and an addition for another.

    Example:
      >>> import tempfile
      >>> import numpy as np
      >>> from jaxret.preprocessing import Preprocessing
      >>> encoder = EncoderRecord("sha256:0", Preprocessing())
      >>> index = MediaIndex.create(tempfile.mkdtemp(), spaces=[Space("frame", 2)], encoder=encoder)
      >>> index.add([MediaItem("a.mp4", "video"), MediaItem("b.jpg", "image")],
      ...           {"frame": Rows(np.eye(3, 2), items=[0, 0, 1], starts=[0, 1, 0], ends=[0, 1, 0])})
      >>> found = index.search("frame", [0.0, 0.9], 2)
      >>> [(index.items[number].key, float(start)) for number, start in zip(found.ids[0], found.starts[0])]
      [('a.mp4', 1.0), ('b.jpg', 0.0)]
    """

    def __init__(self, folder: Path, snapshot: Snapshot, lock_timeout: float):
        super().__init__(folder, snapshot)
        self.lock_timeout = lock_timeout

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        spaces: Sequence[Space],
        encoder: EncoderRecord,
        lock_timeout: float = 10.0,
    ) -> MediaIndex:
        """Make an empty index.

        Args:
          folder: new, empty, or holding no more than the `encoder` folder that belongs to the index.
          spaces: at least one, with different names.
          encoder: what makes the vectors, see `check_encoder`.
          lock_timeout: see the class.

        Raises:
          ConfigError: the folder holds something else already.
          ValueError: no spaces, two of one name, or one of a representation that this version cannot write.
        """
        _refuse_url(folder)
        create(Path(folder), spaces, encoder, lock_timeout)
        return cls.open(folder, lock_timeout=lock_timeout)

    @staticmethod
    def check_new(folder: str | Path) -> None:
        """Refuse a folder in which `create` would make no index, before an encoder is written into it.

        Raises:
          ConfigError: as `create`.
        """
        _refuse_url(folder)
        check_new(Path(folder))

    @classmethod
    def open(cls, folder: str | Path, *, lock_timeout: float = 10.0) -> MediaIndex:
        """Open an index at its current revision; it may lie on a read-only disk, or behind a URL.

        Of one behind a URL a copy is made, or brought up to date, in the user's cache folder (`jaxret/indexes`), and
        searched; it cannot be changed.

        Sizes, headers, dtypes and shapes of all files are checked, contents of small ones; `verify` checks
        all.

        Raises:
          IndexFormatError: the folder is not an index, or a file is missing, truncated, altered, foreign or
            of a later format version. The message names the file.
          MediaError: the store that the URL leads to does not answer.
          ConfigError: the package for such URLs is not installed.
        """
        url = url_of(folder)
        folder = Path(folder) if url is None else copy_of_index(url)
        return cls(folder, open_snapshot(folder), lock_timeout)

    def refresh(self) -> bool:
        """Move to the current revision; whether it is another than before.

        Raises:
          IndexFormatError: as `open`.
          EncoderMismatchError: the index was made anew, by another encoder.
        """
        before = self._snapshot
        self._snapshot = open_snapshot(self.folder, before)
        return self._snapshot is not before

    @contextlib.contextmanager
    def addition(self) -> Iterator[None]:
        """Hold the index for an addition of several commits, at its current revision; other changes go on.

        Raises:
          IndexBusyError: another addition is under way, and has not ended after `lock_timeout` seconds.
          IndexFormatError, EncoderMismatchError: as `refresh`.
        """
        refuse_copies(self.folder)
        with addition_lock(self.folder, self.lock_timeout):
            self.refresh()
            yield

    def add(self, items: Sequence[MediaItem], rows: Mapping[str, Rows], *, replace: bool = False) -> None:
        """Add items with their rows, as one new segment: all of them, or on any error none.

        Small segments at the end are merged when there are many, as a revision of its own.

        Args:
          items: with keys that are new, at least one. Those of `items_of_table` stay columns, which is several times as
            fast as objects.
          rows: for each space, rows whose `items` are positions in `items`. Each item needs at least one row.
          replace: let items take the place of those with the same keys; they move to the end.

        Raises:
          TypeError, ValueError: a key exists already (without `replace`) or comes twice, a space is
            unknown, an item has no row, or the rows do not fit the space. The message names the key or space.
          IndexBusyError: another writer holds the index.
        """
        new = NewItems(items if isinstance(items, ItemTable) else list(items))
        checked = check_rows(self._snapshot.spaces, new, rows)
        self._commit(lambda now: added(self.folder, now, new, checked, replace))
        if segments_to_merge(self._snapshot):
            # The items are in the index, whether there is room and leave to merge or not; else a later addition does.
            with contextlib.suppress(WriteError, IndexBusyError):
                self._commit(lambda now: merged(self.folder, now))

    def remove(self, keys: Collection[str], *, missing_ok: bool = False) -> None:
        """Remove items: all of them, or on an error none. Their rows stay on disk until `compact`.

        Args:
          keys: of the items.
          missing_ok: pass over keys that are not in the index, as another program may have removed them by now.

        Raises:
          ValueError: a key is not in the index (without `missing_ok`); the message names it.
          IndexBusyError: another writer holds the index.
        """
        if isinstance(keys, str):
            raise TypeError(f"keys must be a collection of keys, got the string {keys!r}")
        wanted = list(keys)
        self._commit(lambda now: without(now, wanted, missing_ok))

    def set_columns(self, columns: Mapping[str, Mapping[str, ColumnValue | None]], *, missing_ok: bool = False) -> None:
        """Give items values in columns of the user's own: all of them, or on an error none. No row is written anew.

        Args:
          columns: by key of an item the values by column; None takes one away, columns that are not named stay.
          missing_ok: as of `remove`.

        Raises:
          TypeError, ValueError: a key is not in the index (without `missing_ok`), or a column or value cannot be, see
            `MediaItem`.
          IndexBusyError: another writer holds the index.
        """
        self._commit(lambda now: described(self.folder, now, columns, missing_ok))

    def set_media_root(self, folder: str | Path) -> None:
        """Keep the paths of media that lie below a folder relative to it, so that `relocate` can follow them.

        Args:
          folder: made absolute, without symbolic links; or a URL.

        Raises:
          IndexBusyError: another writer holds the index.
        """
        root = real_path(folder)
        self._commit(lambda now: rooted(self.folder, now, root))

    def relocate(self, folder: str | Path) -> None:
        """Tell the index that its media moved: what was below its media root is below another folder now.

        An index without a media root takes the deepest folder that holds all its media for the old one. No media are
        read.

        Args:
          folder: made absolute, without symbolic links; or a URL.

        Raises:
          ConfigError: no item is a file.
          IndexBusyError: another writer holds the index.
        """
        root = real_path(folder)
        self._commit(lambda now: relocated(self.folder, now, root))

    @property
    def media_folder(self) -> str:
        """The folder that `relocate` takes for the old one: the media root, or else the deepest that holds all media.

        Raises:
          ConfigError: no item is a file.
        """
        return media_folder(self.folder, self._snapshot)

    def paths_below(self, folder: str | Path) -> list[str]:
        """The paths that media would have after `relocate`, of those that it moves; nothing is changed.

        Args:
          folder: as of `relocate`.

        Raises:
          ConfigError: no item is a file.
        """
        return paths_below(self.folder, self._snapshot, real_path(folder))

    def upgrade(self) -> None:
        """Rewrite the items of segments that older versions wrote as columns; rows and results stay the same.

        Raises:
          IndexBusyError: another writer holds the index.
        """
        self._commit(lambda now: upgraded(self.folder, now))

    def make_cells(self, space: str, cells: int | None = None, *, seed: int = 0) -> None:
        """Keep the cells of a space on disk, for searches with `SearchOptions.probes`: they use them at once.

        Centroids are fitted to a sample of the rows (`jaxret.rank.CentroidIndex.fit`), and each segment keeps its
        vectors once more in float32, cell by cell. Items that are added later are put into the cells of the nearest
        centroids; fit anew when the gallery has become a different one.

        Args:
          space: one of vectors.
          cells: C, in 1 .. rows of the space; None for about the root of their number.
          seed: of the sample and of k-means.

        Raises:
          TypeError, ValueError: the space holds no vectors, or cells or seed is no whole number or out of range.
          IndexFormatError: a stored vector is damaged.
          IndexBusyError: another writer holds the index.
        """
        self._space_of_vectors(space)
        self._commit(lambda now: celled(self.folder, now, space, cells, seed))

    def drop_cells(self, space: str) -> None:
        """Keep the cells of a space no longer; nothing where there are none.

        Raises:
          ValueError: the space holds no vectors.
          IndexBusyError: another writer holds the index.
        """
        self._space_of_vectors(space)
        self._commit(lambda now: without_cells(now, space))

    def keep_lists(self, space: str, terms: Terms) -> None:
        """Keep on disk, for `term_lists`, which rows hold each term of a space of records; nothing where they are kept.

        Items that are added later are listed as they are written. Readers of before this format's version 4 refuse the
        index from then on.

        Args:
          space: one of whole numbers.
          terms: which of them are terms.

        Raises:
          ValueError: the space holds no whole numbers, or a term is larger than `terms.count`.
          IndexBusyError: another writer holds the index.
        """
        known = self._known_space(space)
        if known.representation != "record" or "int" not in known.dtype:
            raise ValueError(f"terms are of spaces of whole numbers, and space {space!r} holds {known.dtype}")
        if terms.first >= known.dimension:
            raise ValueError(f"terms of space {space!r} must begin within its {known.dimension} numbers, got {terms!r}")
        if self._snapshot.manifest.terms.get(space) != terms:
            self._commit(lambda now: listed(self.folder, now, space, terms))

    def compact(self) -> None:
        """Rewrite the index as one segment without removed items, in bounded memory; results stay the same.

        Worth it after many removals: their rows take space.

        Raises:
          IndexFormatError: a space is of a representation that this version cannot rewrite.
          IndexBusyError: another writer holds the index.
        """
        self._commit(lambda now: compacted(self.folder, now))

    def _commit(self, change: Callable[[Snapshot], Manifest]) -> None:
        refuse_copies(self.folder)
        self._snapshot = commit(self.folder, self._snapshot, change, self.lock_timeout)


def _refuse_url(folder: str | Path) -> None:
    if (url := url_of(folder)) is not None:
        raise ConfigError(f"{url}: an index is made on this machine: make it, and copy its folder there")
