"""What `jaxret index` does to an index beside adding, and what it tells of all of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jaxret.errors import ConfigError, JaxretError, MediaError
from jaxret.plain_text import counted, print_text
from jaxret.remote import is_present, url_of

if TYPE_CHECKING:
    from pathlib import Path

    from jaxret.data.dataset import MediaDataset
    from jaxret.index import MediaIndex
    from jaxret.retrieval import AddReport, RayCluster, Retriever

__all__ = ["add_and_tell", "describe_media", "keep_up", "prune_media", "remove_media", "tell_added", "tell_changes"]


def remove_media(index: MediaIndex, media: str, *, dry_run: bool) -> None:
    """Remove the items that lie where the media are, or, where there is no such place, the one of that key.

    Nothing of another folder is removed, even where it has the same names.

    Args:
      index: that shrinks.
      media: a folder, a file, a key, or the name of a data set.
      dry_run: tell what would be removed, alone.

    Raises:
      ConfigError: `media` is none of these.
    """
    from jaxret.data.open import open_dataset, place_of
    from jaxret.retrieval.matches import keys_below, match_items

    index.refresh()  # another command may have removed since
    keys = dict.fromkeys(keys_below(index, place_of(media)))
    clashes = 0
    try:
        dataset = open_dataset(media, probe=False)
        matches = match_items(dataset, index)
        keys |= dict.fromkeys(matches.present.values())
        clashes = len(matches.clashes) + len(matches.twins)
    except JaxretError as error:  # gone, unreadable, or a key
        if not keys and media in index and not os.path.lexists(media):
            keys = {media: None}
        elif not keys:
            raise ConfigError(f"{media!r} is no key or place of an item of {index.folder}: {error}") from error
    if keys and not dry_run:
        index.remove(list(keys), missing_ok=True)
    verb, left = ("would remove", len(index) - len(keys)) if dry_run else ("removed", len(index))
    print_text(f"{verb} {len(keys)} of {counted(len(keys) + clashes, 'item')}; {left} are left in {index.folder}")
    if dry_run:
        for key in keys:
            print_text(f"  {key}")
    if clashes:
        print_text(f"{clashes} names belong to other files of the index, which were left alone")


def prune_media(index: MediaIndex, media: str, unread: Iterable[MediaError], *, dry_run: bool) -> None:
    """Drop the items below a folder whose files are there no more, or changed and cannot be read.

    Args:
      index: that shrinks.
      media: the folder, or the name of a data set in one.
      unread: what of it could not be read.
      dry_run: tell what would be dropped, alone.
    """
    from jaxret.data.open import place_of
    from jaxret.retrieval.matches import gone_keys, stale_keys

    index.refresh()  # another command may have pruned since
    gone, stale = gone_keys(index, place_of(media)), stale_keys(index, unread)
    if (dropped := [*gone, *stale]) and not dry_run:
        index.remove(dropped, missing_ok=True)
    print_text(
        f"{'would prune' if dry_run else 'pruned'} {counted(len(dropped), 'item')} whose files are gone or unreadable; "
        f"{len(index) - (len(dropped) if dry_run else 0)} are left in {index.folder}"
    )
    for verb, keys in (("gone", gone), ("stale", stale)):
        for key in keys:
            print_text(f"  {verb} {key}")


def keep_up(index: MediaIndex, *, upgrade: bool, media: Path | None) -> None:
    """Rewrite what older versions wrote of items, and follow media that moved to another folder."""
    if media is not None:
        _check_moved(index, media)
    if upgrade:
        index.upgrade()
        print_text(f"the items of {index.folder} are as this version writes them")
    if media is not None:
        index.relocate(media)
        gone = sum(path is not None and not is_present(path) for path in index.values("path"))
        print_text(f"media of {index.folder} lie in {index.media_root} now; {gone} of {len(index)} are not there")


def _check_moved(index: MediaIndex, media: Path) -> None:
    """ConfigError where a folder holds none of the media that would be looked for there."""
    if url_of(media) is None and not media.is_dir():
        raise ConfigError(f"--relocate {media}: there is no such folder")
    paths = index.paths_below(media)
    if not any(map(is_present, paths)):
        named = f", such as {paths[0]}" if paths else ""
        raise ConfigError(
            f"--relocate {media}: none of the media of {index.folder}, which lay in {index.media_folder}, is below"
            f" it{named}; name the folder that now holds what that one held. Nothing was changed"
        )


def describe_media(dataset: MediaDataset, columns: Path) -> MediaDataset:
    """The data set with the columns of a CSV; tells of columns and lines that say nothing of its items."""
    from jaxret.data.item_columns import read_item_columns, with_columns

    read = read_item_columns(columns)
    described, others = with_columns(dataset, read)
    if read.passed_over:
        names = " and ".join(read.passed_over)
        print_text(f"passed over {names} of {columns}: these come from the data set, not from --columns")
    if others:
        print_text(f"of {columns} name none of the media: {counted(others, 'line')}")
    return described


def tell_changes(index: MediaIndex, dataset: MediaDataset) -> None:
    """Print what an addition would add, renew, and describe by other columns of the user's own."""
    from jaxret.retrieval.additions import other_columns
    from jaxret.retrieval.matches import changed_items, match_items

    matches = match_items(dataset, index)
    changed = changed_items(dataset, index, matches)
    described = other_columns(dataset, index, matches, set(changed))
    print_text(
        f"would add {counted(len(matches.fresh), 'item')} and renew {len(changed)}; "
        f"{len(matches.known) - len(changed)} are there"
        + (f", {len(described)} of them with other columns of yours" if described else " as they are")
    )
    for verb, keys in (("new", matches.fresh.values()), ("changed", changed.values()), ("described", described)):
        for key in keys:
            print_text(f"  {verb} {key}")


def add_and_tell(
    retriever: Retriever, dataset: MediaDataset, *, threads: int, quiet: bool, ray: RayCluster | None
) -> tuple[MediaError, ...]:
    """Add media under a progress bar, and tell what came of it; what could not be read.

    Args:
      retriever: that gets them.
      dataset: the media.
      threads: files decoded at once.
      quiet: no progress bar.
      ray: a cluster whose workers encode; None: this process does.
    """
    from jaxret.progress import progress_bar

    with progress_bar(None, "item", total=len(dataset), shown=not quiet) as bar:
        report = retriever.add(dataset, threads=threads, on_item=lambda _: bar.update(), ray=ray)
        bar.n = bar.total  # also of what was there already
    tell_added(report, dataset, retriever.index)
    for line in retriever.system.sizes(retriever.index):
        print_text(line)
    return (*dataset.skipped, *report.skipped)


def tell_added(report: AddReport, dataset: MediaDataset, index: MediaIndex) -> None:
    """Print what an addition did, and which files are missing from it, with the reasons."""
    from jaxret.data.datasets.media_kinds import passed_over_in_words

    skipped = [*dataset.skipped, *report.skipped]
    print_text(
        f"added {counted(len(report.added), 'item')}, {len(report.present)} were there already, {len(skipped)} could"
        f" not be read; {len(index)} are in {index.folder}"
    )
    if report.renewed:
        print_text(f"renewed {counted(len(report.renewed), 'item')} whose files changed")
    if report.described:
        were, have = ("was", "has") if len(report.described) == 1 else ("were", "have")
        print_text(f"{counted(len(report.described), 'item')} that {were} there {have} other columns of yours now")
    for error in skipped:
        print_text(f"  skipped {error}")
    if report.stale:
        verb = "stays as it was" if len(report.stale) == 1 else "stay as they were"
        print_text(
            f"{counted(len(report.stale), 'item')} {verb}, though files changed and cannot be read now"
            " (--prune drops them)"
        )
    for key in report.stale:
        print_text(f"  stale {key}")
    # What turned out while reading says more than what the files' headers did.
    for error in {error.path: error for error in (*dataset.damaged, *report.damaged)}.values():
        print_text(f"  damaged {error}")
    if dataset.passed_over:
        print_text(passed_over_in_words(dataset.passed_over))
    for line in dataset.left_out:
        print_text(f"  left out {line}")
    for line in dataset.notes:
        print_text(f"note: {line}")
    if report.renamed:
        key, renamed = next(iter(report.renamed.items()))
        print_text(
            f"{counted(len(report.renamed), 'name')} belonged to other files of the index: such items are in it by"
            f" their full paths, as {renamed} for {key}"
        )
